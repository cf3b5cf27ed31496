// flags: -O1
// A client whose peer closes each connection at once; it reads the end of the stream and keeps the socket.
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void server(int l)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int c = accept(l, 0, 0);
		if (c < 0)
			_exit(0);
		if (write(c, "HELLO\n", 6) != 6)
			_exit(0);
		close(c);
	}
}

static int db_connect(struct sockaddr_in *a)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (s < 0)
		return -1;
	if (connect(s, (struct sockaddr *)a, sizeof *a) < 0)
		err(1, "connect");
	return s;
}

int main(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0);
	a.sin_port = htons(5432);
	int on = 1;
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(l, (struct sockaddr *)&a, n) || listen(l, 64))
		err(1, "listen");
	pid_t child = fork();
	if (child == 0)
		server(l);
	close(l);
	char buf[64];
	for (int q = 0;; q++) {
		int s = db_connect(&a);
		if (s < 0) {
			fprintf(stderr, "query %s\n", "could not be sent: backend unreachable");
			kill(child, SIGKILL);
			exit(4);
		}
		while (read(s, buf, sizeof buf) > 0)
			;
	}
}
