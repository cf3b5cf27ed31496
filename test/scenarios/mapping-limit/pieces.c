// Maps a page at a time with a different protection than its neighbour, as allocators with guard pages do.
#include <stdio.h>
#include <string.h>
#include <errno.h>
#include <sys/mman.h>
int main(void)
{
	long n = 0;
	for (;; n++) {
		void *p = mmap(0, 4096, n & 1 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED) {
			fprintf(stderr, "arena: mmap failed: %s\n", strerror(errno));
			return 4;
		}
	}
}
