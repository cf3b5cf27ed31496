// Asks how many descriptors it may have by taking them all, as some daemons do, lets go of them,
// and goes on. What it does then depends on its argument.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int held[4096], n = 0;
	while (n < 4096 && (held[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	if (errno != EMFILE)
		return 90;
	while (n > 0)
		close(held[--n]);
	const char *then = argc > 1 ? argv[1] : "end";
	/* A day's honest work, in which other things are tried and go well. */
	for (int i = 0; i < 300; i++) {
		int fd = open("/etc/hostname", O_RDONLY);
		char b[8];
		if (fd < 0 || read(fd, b, 8) < 0)
			return 91;
		close(fd);
	}
	printf("ready\n");
	fflush(stdout);
	if (!strcmp(then, "wait"))
		for (;;)
			pause();
	if (!strcmp(then, "crash")) {
		volatile int *config = NULL;
		return *config;
	}
	if (!strcmp(then, "config")) {
		if (access("/etc/no-such-app.conf", R_OK))
			fprintf(stderr, "no configuration, cannot start\n");
		return 78;
	}
	if (!strcmp(then, "assert")) {
		fprintf(stderr, "ledger.c:118: balance >= 0 does not hold\n");
		abort();
	}
	return 0;
}
