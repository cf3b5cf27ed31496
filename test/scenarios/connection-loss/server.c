// A server whose client leaves with a reset, which it takes as what it is; then a null pointer.
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7201), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	char b[64];
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(l, (struct sockaddr *)&a, sizeof a) < 0 || listen(l, 5) < 0)
		return 2;
	puts("up");
	fflush(stdout);
	int c = accept(l, 0, 0);
	if (read(c, b, sizeof b) < 0)
		perror("client");
	close(c);
	sleep(1);
	if (argc > 1) {
		fprintf(stderr, "server: quota file is damaged\n");
		return 4;
	}
	volatile int *table = 0;
	return table[3];
}
