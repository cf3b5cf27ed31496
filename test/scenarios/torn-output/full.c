// Two processes print lines of the same length to one pipe, through stdio's buffer; then the program gives up.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void lines(char who, int len)
{
	static char buf[4096];
	char line[256];

	setvbuf(stdout, buf, _IOFBF, sizeof(buf));
	for (int i = 0; i < 40 * 4096 / len; i++) {
		int n = snprintf(line, sizeof(line), "2026-11-22 07:24:16 INFO %c item %06d ", who, i);

		memset(line + n, '.', len - n);
		line[len - 1] = '\n';
		fwrite(line, len, 1, stdout);
		if (i % 32 == 0)
			usleep(500);
	}
	exit(0);
}

int main(int argc, char **argv)
{
	int len = argc > 1 ? atoi(argv[1]) : 47;

	for (int k = 0; k < 2; k++)
		if (fork() == 0)
			lines('a' + k, len);
	while (wait(NULL) > 0)
		;
	fprintf(stderr, "FATAL bad state\n");
	return 3;
}
