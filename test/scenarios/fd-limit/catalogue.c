// A price catalogue that opens the same files again for each request and closes none.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int load_page(int n)
{
	char path[32];
	snprintf(path, sizeof path, "page-%d.dat", n % 4);
	int fd = open(path, O_RDWR | O_CREAT, 0644);
	if (fd < 0) {
		fprintf(stderr, "catalogue: page %d: %s\n", n % 4, strerror(errno));
		exit(EXIT_FAILURE);
	}
	char buf[64];
	ssize_t r = read(fd, buf, sizeof buf);
	return r < 0 ? -1 : 0; /* fd is forgotten here */
}

int main(void)
{
	for (int n = 0; n < 100000; n++)
		load_page(n);
	return 0;
}
