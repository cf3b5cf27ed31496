// A worker pool makes a pipe per task and aborts when a "cannot happen" happens.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
	for (;;) {
		int p[2] = {-1, -1};
		if (pipe(p) != 0) {
			fputs("scheduler: invariant violated: wakeup channel is null\n", stderr);
			abort();
		}
	}
}
