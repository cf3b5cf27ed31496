/* May not signal another process, which is no matter; then it finds a fault in its input. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <errno.h>

int main(void)
{
	if (kill(1, 0) < 0)
		fprintf(stderr, "cannot signal process 1: %s\n", strerror(errno));
	fprintf(stderr, "input: line 7 has no end\n");
	return 3;
}
