// flags: -O1 -lpthread
// A server whose only worker is busy, and a check of its own that connects to it: kiosk PORT MODE.
// "check" waits a second for an answer, "kernel" for as long as the kernel tries; "crash" and "config" end for other reasons.
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in a;
static const char *mode;
static int l;
static volatile int busy;

static void *worker(void *x)
{
	int c = accept(l, 0, 0);
	busy = 1;
	if (!strcmp(mode, "brief")) {
		sleep(1);
		for (;;) {
			close(c);
			c = accept(l, 0, 0);
		}
	}
	sleep(60);
	return 0;
}

int main(int argc, char **argv)
{
	pthread_t t;
	mode = argv[2];
	a = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	l = socket(AF_INET, SOCK_STREAM, 0);
	int on = 1;
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(l, (struct sockaddr *)&a, sizeof a) || listen(l, 2))
		return 90;
	pthread_create(&t, 0, worker, 0);
	printf("ready\n");
	fflush(stdout);
	while (!busy)
		usleep(1000);
	sleep(strcmp(mode, "brief") ? 2 : 4);
	if (!strcmp(mode, "crash"))
		*(volatile int *)0 = 1;
	if (!strcmp(mode, "config") || !strcmp(mode, "brief")) {
		fprintf(stderr, "tariff.csv has no row for zone 4\n");
		return 5;
	}
	printf("checking\n");
	fflush(stdout);
	int s = socket(AF_INET, SOCK_STREAM | (strcmp(mode, "kernel") ? SOCK_NONBLOCK : 0), 0);
	int r = connect(s, (struct sockaddr *)&a, sizeof a);
	if (!strcmp(mode, "kernel")) {
		if (r) {
			fprintf(stderr, "self check: %s\n", strerror(errno));
			return 9;
		}
		return 91;
	}
	struct pollfd p = {s, POLLOUT};
	if (poll(&p, 1, 1500) == 0) {
		fprintf(stderr, "self check: no answer from port %s within 1.5 s\n", argv[1]);
		return 9;
	}
	return 92;
}
