// Waits; what comes is from outside.
#include <stdio.h>
#include <unistd.h>
int main(void)
{
	printf("ready\n");
	fflush(stdout);
	for (;;)
		pause();
}
