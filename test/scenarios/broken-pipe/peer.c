// A client whose server hangs up in the middle of an upload: SIGPIPE from a socket.
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	int s[2];
	char part[512] = {0};
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	write(s[0], part, sizeof part);
	fprintf(stderr, "part 1 sent\n");
	close(s[1]);
	write(s[0], part, sizeof part);
	fprintf(stderr, "part 2 sent\n");
	return 0;
}
