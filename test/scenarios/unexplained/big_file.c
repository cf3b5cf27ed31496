// Writes beyond RLIMIT_FSIZE: SIGXFSZ.
#include <fcntl.h>
#include <unistd.h>
int main(void)
{
	char block[4096] = {0};
	int fd = open("dump.bin", O_WRONLY | O_CREAT, 0644);
	for (;;)
		if (write(fd, block, sizeof block) < 0)
			return 9;
}
