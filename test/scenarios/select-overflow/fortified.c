// flags: -O2 -D_FORTIFY_SOURCE=2
// Built as distributions build: glibc refuses a descriptor that an fd_set cannot hold.
#include <stdio.h>
#include <sys/select.h>
#include <unistd.h>

static int poll_client(int fd)
{
	fd_set s;
	struct timeval t = {0, 0};
	FD_ZERO(&s);
	FD_SET(fd, &s);
	return select(fd + 1, &s, NULL, NULL, &t);
}

int main(void)
{
	for (;;) {
		int fd = dup(0);
		if (fd < 0)
			return 9;
		poll_client(fd);
	}
}
