// flags: -O1
// Four processes log to one pipe. Argument "pieces": without a buffer, each line in many writes, between
// which the others get in. "whole": each line is one write. Then exit code 3.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int pieces = argc > 1 && !strcmp(argv[1], "pieces");
	for (int p = 0; p < 4; p++) {
		if (fork())
			continue;
		setvbuf(stdout, NULL, pieces ? _IONBF : _IOLBF, BUFSIZ);
		for (int i = 0; i < 2000; i++) {
			char when[32];
			time_t now = time(NULL);
			strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", localtime(&now));
			printf("%s INFO worker %d: ", when, p);
			if (i % 20 == 7)
				usleep(300); // it works out what it says next
			printf("request %d took %d ms, %d bytes sent to the client\n", i, i * 7 % 90, i * 31 % 4000);
		}
		exit(0);
	}
	while (wait(NULL) > 0)
		;
	fprintf(stderr, "workers are done\n");
	return 3;
}
