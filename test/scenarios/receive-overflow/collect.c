// A collector of numbered samples over UDP. Each takes it a while to store; a gap in the numbers ends it: collect PORT BUFFER [MODE].
// MODE "crash" and "config" forgive gaps and end for reasons of their own; "slow" waits before it reads.
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = atoi(argv[2]);
	const char *mode = argc > 3 ? argv[3] : "";
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	if (bind(fd, (struct sockaddr *)&a, sizeof a))
		return 90;
	printf("ready\n");
	fflush(stdout);
	long next = 0, lost = 0;
	char b[2048];
	for (long n = 0;; n++) {
		ssize_t got = recv(fd, b, sizeof b - 1, 0);
		if (got <= 0)
			return 91;
		b[got] = 0;
		long seq = atol(b);
		if (seq != next) {
			lost += seq - next;
			if (!*mode || !strcmp(mode, "slow")) {
				fprintf(stderr, "sample %ld expected, %ld received: %ld samples are lost\n", next, seq, seq - next);
				return 3;
			}
		}
		next = seq + 1;
		usleep(n ? 2000 : 200000);
		if (n == 60 && !strcmp(mode, "crash"))
			*(volatile int *)0 = 1;
		if (n == 60 && !strcmp(mode, "config")) {
			fprintf(stderr, "region.map has no entry for eu-west\n");
			return 5;
		}
	}
}
