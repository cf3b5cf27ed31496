// Tries a large block, goes on with a small one, and ends for a bad order much later.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void)
{
	char *p = malloc(1L << 40);
	if (!p)
		p = malloc(1 << 20);
	p[0] = 1;
	usleep(300000);
	fprintf(stderr, "order 4711 has no customer\n");
	return 7;
}
