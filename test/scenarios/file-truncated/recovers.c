// Takes SIGBUS, reads the file in another way, and ends for a reason of its own.
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
static sigjmp_buf back;
static void taken(int s) { siglongjmp(back, s); }
int main(void)
{
	int fd = open("store", O_RDWR | O_CREAT, 0644);
	signal(SIGBUS, taken);
	if (ftruncate(fd, 1 << 20))
		return 90;
	volatile char *p = mmap(0, 1 << 20, PROT_READ, MAP_SHARED, fd, 0);
	if (ftruncate(fd, 0))
		return 91;
	if (!sigsetjmp(back, 1))
		return p[5000];
	usleep(200000);
	fprintf(stderr, "quota of tenant 5 is used up\n");
	return 15;
}
