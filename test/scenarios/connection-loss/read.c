// Reads until there is no more; says nothing about why it stops. With "write" it writes once the peer is gone.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7200), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, SOCK_STREAM, 0);
	char b[4096];
	long n;
	if (connect(s, (struct sockaddr *)&a, sizeof a) < 0)
		return 2;
	write(s, "feed\n", 5);
	while ((n = read(s, b, sizeof b)) > 0)
		;
	if (argc > 1)
		for (;;)
			write(s, "bye\n", 4);
	return n < 0 ? 14 : 0;
}
