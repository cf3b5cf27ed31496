// Wants its keys never to be swapped out.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
int main(void)
{
	char *keys = malloc(1 << 20);
	if (mlock(keys, 1 << 20)) {
		perror("mlock of the key store");
		return 5;
	}
	return 0;
}
