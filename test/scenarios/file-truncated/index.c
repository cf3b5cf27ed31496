// Reads its index through a mapping, over and over, while others may write it anew.
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int n, char **v)
{
	struct stat st;
	int fd = open(v[1], O_RDONLY);
	if (n < 2 || fd < 0 || fstat(fd, &st))
		return 90;
	const volatile char *p = mmap(0, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	long sum = 0;
	for (int i = 0; i < 4000; i++) {
		for (long k = 0; k < st.st_size; k += 4096)
			sum += p[k];
		if (i == 0) {
			printf("serving\n");
			fflush(stdout);
		}
		usleep(5000);
	}
	return sum == 1;
}
