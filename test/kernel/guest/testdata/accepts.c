// A small server whose accept fails; it says nothing.
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof at;
	int s = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
	if (setgid(65534) || setuid(65534) || bind(s, (void *)&at, n) || listen(s, 5) || getsockname(s, (void *)&at, &n) || connect(c, (void *)&at, n))
		return 9;
	printf("ready %d\n", getpid());
	fflush(stdout);
	getchar();
	return accept(s, NULL, NULL) < 0 ? 17 : 0;
}
