/* Ends without a word where its file is not there. */
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (open(argv[1], O_RDONLY) < 0)
		_exit(4);
	return 0;
}
