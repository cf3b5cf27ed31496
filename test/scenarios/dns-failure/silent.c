/* Looks up where to send its figures, and leaves without a word where that cannot be had. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct addrinfo want, *at = NULL;

	memset(&want, 0, sizeof(want));
	want.ai_socktype = SOCK_STREAM;
	if (getaddrinfo(argv[1], "9100", &want, &at))
		return argc > 2 ? (fprintf(stderr, "cannot reach the collector\n"), 9) : 3;
	freeaddrinfo(at);
	puts("there");
	return 0;
}
