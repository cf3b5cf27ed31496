// Connects without waiting in connect(), as event loops do, and asks the socket what came of it. Says a number, or with "mute" nothing.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
	inet_pton(AF_INET, argv[1], &a.sin_addr);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), err = 0;
	socklen_t len = sizeof err;
	if (connect(s, (struct sockaddr *)&a, sizeof a) < 0) {
		struct pollfd p = {.fd = s, .events = POLLOUT};
		if (poll(&p, 1, argc > 4 ? atoi(argv[4]) : 10000) == 0) {
			fprintf(stderr, "feeder: upstream not ready, timed out\n");
			return 9;
		}
		getsockopt(s, SOL_SOCKET, SO_ERROR, &err, &len);
		if (err) {
			if (strcmp(argc > 3 ? argv[3] : "", "mute"))
				fprintf(stderr, "feeder: upstream failed with %d\n", err);
			return 8;
		}
	}
	return 0;
}
