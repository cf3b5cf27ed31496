// Streams records to its only client: stream PORT|PATH MODE. "alarm": SIGALRM after 4 s without progress; "timeo": SO_SNDTIMEO;
// "tries": non-blocking, and thirty refusals, or with "once" a single one, are enough; "polite": waits as long as it takes, then ends well; "crash", "config": then ends badly;
// "slowclient": one client never reads, and it ends for another reason.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *mode = argv[2];
	int l, on = 1, size = 16384, tries = 0;
	if (atoi(argv[1])) {
		struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr = {htonl(INADDR_LOOPBACK)}};
		l = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		if (bind(l, (struct sockaddr *)&a, sizeof a))
			return 90;
	} else {
		struct sockaddr_un a = {.sun_family = AF_UNIX};
		strcpy(a.sun_path, argv[1]);
		l = socket(AF_UNIX, SOCK_STREAM, 0);
		if (bind(l, (struct sockaddr *)&a, sizeof a))
			return 90;
	}
	listen(l, 8);
	printf("ready\n");
	fflush(stdout);
	int c = accept(l, 0, 0);
	setsockopt(c, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	static char rec[8000];
	recv(c, rec, sizeof rec, 0);
	memset(rec, 'r', sizeof rec);
	if (!strcmp(mode, "timeo")) {
		struct timeval tv = {3, 0};
		setsockopt(c, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
	}
	int wait = !strcmp(mode, "polite") || !strcmp(mode, "crash") || !strcmp(mode, "config") || !strcmp(mode, "slowclient");
	if (wait || !strcmp(mode, "tries") || !strcmp(mode, "once"))
		fcntl(c, F_SETFL, fcntl(c, F_GETFL) | O_NONBLOCK);
	for (int n = 0; n < 1000; n++)
		for (size_t done = 0; done < sizeof rec;) {
			if (!strcmp(mode, "alarm"))
				alarm(4);
			ssize_t w = send(c, rec + done, sizeof rec - done, MSG_NOSIGNAL);
			if (w >= 0) {
				done += w;
				continue;
			}
			if (errno == EAGAIN && !strcmp(mode, "tries") && tries++ < 30) {
				usleep(100000);
				continue;
			}
			if (errno == EAGAIN && wait) {
				struct pollfd p = {c, POLLOUT};
				if (poll(&p, 1, strcmp(mode, "slowclient") ? -1 : 2500) > 0)
					continue;
				fprintf(stderr, "rates.tbl: checksum of row 9 is wrong\n");
				return 5;
			}
			fprintf(stderr, "feed to client: %s\n", strerror(errno));
			return 4;
		}
	if (!strcmp(mode, "crash"))
		*(volatile int *)0 = 1;
	if (!strcmp(mode, "config")) {
		fprintf(stderr, "rates.tbl: checksum of row 9 is wrong\n");
		return 5;
	}
	return 0;
}
