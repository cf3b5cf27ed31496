#include <stdio.h>
#include <stdlib.h>
struct order { int id; struct order *next; };
__attribute__((noinline)) static int last_id(struct order *o)
{
	while (o->id != 99)
		o = o->next;
	return o->id;
}
int main(void)
{
	struct order b = {2, 0}, a = {1, &b};
	fprintf(stderr, "orders loaded\n");
	return last_id(&a);
}
