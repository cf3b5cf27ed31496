// Takes memory in blocks until malloc says no, and gives up.
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
	printf("loading\n");
	fflush(stdout);
	for (;;) {
		if (!malloc(1 << 20)) {
			perror("cannot load the index");
			return 3;
		}
	}
}
