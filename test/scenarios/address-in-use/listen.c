// Listens on the address given; "next" tries the ports behind it, "quiet" says nothing when it fails.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int port = atoi(argv[1]), type = SOCK_STREAM;
	const char *how = argc > 2 ? argv[2] : "";
	if (!strcmp(how, "udp"))
		type = SOCK_DGRAM;
	for (;;) {
		struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		int s = socket(AF_INET, type, 0);
		if (bind(s, (struct sockaddr *)&a, sizeof a) == 0)
			break;
		close(s);
		if (!strncmp(how, "next", 4)) {
			port++;
			continue;
		}
		if (!strcmp(how, "quiet"))
			return 2;
		fprintf(stderr, "gateway: cannot serve: errno %d\n", errno);
		return 13;
	}
	if (!strcmp(how, "next-crash")) {
		volatile int *table = 0;
		return table[4];
	}
	for (int i = 0; i < 400; i++)
		getppid();
	return !strcmp(how, "next") ? 21 : 0;
}
