// Takes memory in blocks and never asks whether it got it.
#include <stdlib.h>
#include <string.h>
struct block {
	long used;
	char data[1 << 20];
};
static struct block *volatile last;
static struct block *fresh(void)
{
	struct block *b = last = malloc(sizeof *b);
	b->used = 0;
	return b;
}
int main(void)
{
	for (;;)
		fresh()->used++;
}
