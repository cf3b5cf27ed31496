// A file larger than the disk it lies on, filled through a mapping.
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void)
{
	int fd = open("ring", O_RDWR | O_CREAT, 0644);
	if (ftruncate(fd, 4 << 20))
		return 90;
	char *p = mmap(0, 4 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memset(p, 7, 4 << 20);
	return 0;
}
