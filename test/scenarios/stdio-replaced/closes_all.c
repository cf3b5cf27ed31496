// The old way of a daemon: closes 0 to 2, and opens /dev/null three times to fill them.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	for (int fd = 0; fd < 3; fd++)
		if (open("/dev/null", O_RDWR) != fd)
			return 90;
	int log = open("d.log", O_WRONLY | O_CREAT | O_APPEND, 0644);
	write(log, "up\n", 3);
	volatile int *p = 0;
	return *p;
}
