// flags: -O1
// Sets on the stack that are large enough, side by side, with more than 1024 descriptors; then a wild pointer.
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct { unsigned long r[64], w[64]; } big;
	int top = 0;
	while (top < 1100)
		top = dup(0);
	memset(&big, 0, sizeof big);
	for (int fd = 3; fd <= top; fd++)
		big.r[fd / 64] |= 1UL << (fd % 64);
	struct timeval t = {0, 0};
	if (select(top + 1, (fd_set *)big.r, (fd_set *)big.w, NULL, &t) < 0)
		return 90;
	printf("%d\n", top);
	fflush(stdout);
	if (argc > 1)
		return 1;
	*(volatile long *)0x5151515151518 = 1;
	return 0;
}
