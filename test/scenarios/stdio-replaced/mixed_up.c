// Descriptor 1 is closed, a feed's socket gets the number, and then standard output is put back there: the
// thread that holds the number for the feed writes its records into the log.
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int feed;

static void send_records(void)
{
	unsigned char b[400];
	unsigned s = 99;

	for (int i = 0; i < 400; i++) {
		s = s * 1103515245 + 12345;
		b[i] = s >> 16;
	}
	b[0] = 0x17, b[1] = 3, b[2] = 3, b[3] = 1, b[4] = 0x8b; /* a TLS record of 395 bytes */
	if (write(feed, b, sizeof(b)) < 0)
		exit(90);
}

static void *sender(void *none)
{
	char r[8];

	usleep(60000);
	send_records();
	usleep(20000);
	if (recv(feed, r, sizeof(r), MSG_DONTWAIT) < 0) {
		fprintf(stderr, "FATAL the feed is gone\n");
		exit(5);
	}
	return none;
}

int main(void)
{
	pthread_t t;
	int p[2], saved;

	setvbuf(stdout, 0, _IOLBF, 0);
	for (int i = 0; i < 5; i++)
		printf("INFO stock %d counted\n", i);
	saved = dup(1);
	close(1);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, p) || p[0] != 1)
		return 91;
	feed = p[0];
	pthread_create(&t, 0, sender, 0);
	usleep(20000);
	dup2(saved, 1);
	printf("INFO back\n");
	pthread_join(t, 0);
	return 0;
}
