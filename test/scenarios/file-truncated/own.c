// Shrinks its own store and then reads where it was.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void)
{
	int fd = open("store", O_RDWR | O_CREAT, 0644);
	if (ftruncate(fd, 1 << 20))
		return 90;
	volatile char *p = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	p[900000] = 1;
	if (ftruncate(fd, 5000))
		return 91;
	return p[900000];
}
