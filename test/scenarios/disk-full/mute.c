/* Extends its store, and gives up without a word where that is refused. */
#include <fcntl.h>
#include <unistd.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	static char block[8192];
	int fd = open(argv[1], O_CREAT | O_WRONLY, 0644);

	for (int i = 0; i < 1000; i++)
		if (write(fd, block, sizeof(block)) < 0)
			_exit(7);
	return 0;
}
