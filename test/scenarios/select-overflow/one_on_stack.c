// flags: -O0 -fno-stack-protector
// One set in a local variable; the bits beyond it land in the caller's frame and the return address.
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

__attribute__((noinline)) static int wait_for(int lo, int hi)
{
	fd_set s;
	struct timeval t = {0, 0};
	memset(&s, 0, sizeof s);
	for (int fd = lo; fd <= hi; fd++)
		s.__fds_bits[fd / 64] |= 1L << (fd % 64);
	return select(hi + 1, &s, 0, 0, &t);
}

int main(void)
{
	int fd = 0;
	while ((fd = dup(0)) >= 0 && fd < 1500)
		if (fd > 3)
			wait_for(fd > 1000 ? 1000 : 4, fd);
	return 0;
}
