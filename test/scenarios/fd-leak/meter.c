// flags: -O1 -lpthread
// Reads a meter and keeps each reading's file open: 60 a second, or, with "pool", up to a fixed number.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void read_meter(void)
{
	if (open("/proc/self/stat", O_RDONLY) < 0)
		exit(7);
}

int main(int argc, char **argv)
{
	int rate = argc > 1 ? atoi(argv[1]) : 60, most = argc > 2 ? atoi(argv[2]) : 1 << 20;
	for (int n = 0;; n++) {
		if (n < most)
			read_meter();
		struct timespec pause = {0, 1000000000 / rate};
		nanosleep(&pause, 0);
		if (n % rate == 0) {
			printf("reading %d\n", n / rate);
			fflush(stdout);
		}
	}
}
