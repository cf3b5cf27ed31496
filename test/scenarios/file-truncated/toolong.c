// Maps more than the file has: its own mistake, nobody cut the file.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int n, char **v)
{
	int fd = open(v[1], O_RDONLY);
	usleep(100000);
	const volatile char *p = mmap(0, 1 << 20, PROT_READ, MAP_SHARED, fd, 0);
	return n > 1 && p[65536];
}
