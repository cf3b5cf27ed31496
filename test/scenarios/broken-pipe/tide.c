// Writes until its reader is gone, and dies of SIGPIPE as the kernel has it.
#include <stdio.h>
int main(void)
{
	for (long n = 0;; n++) {
		printf("level %ld\n", n);
		fflush(stdout);
	}
}
