// A mapped file is cut short under it: SIGBUS.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void)
{
	int fd = open("map.bin", O_RDWR | O_CREAT, 0644);
	if (ftruncate(fd, 8192))
		return 90;
	volatile char *p = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	p[4096] = 1;
	if (ftruncate(fd, 100))
		return 91;
	return p[4096];
}
