// flags: -O1
// 5,000 descriptors and select with sets that are made as large as they must be: correct, and not to be accused.
// Then: "end", "fail" (exit code 4), "crash" (a null pointer), "strcpy" (another overflow than select's).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *then = argc > 1 ? argv[1] : "end";
	int n = argc > 2 ? atoi(argv[2]) : 5000, top = 0;
	while (top < n) {
		top = dup(0);
		if (top < 0)
			return 90;
	}
	size_t bytes = (top / 64 + 1) * 8;
	unsigned long *in = calloc(1, bytes), *out = calloc(1, bytes);
	for (int round = 0; round < 20; round++) {
		memset(in, 0, bytes);
		memset(out, 0, bytes);
		for (int fd = 3; fd <= top; fd++) {
			in[fd / 64] |= 1UL << (fd % 64);
			out[fd / 64] |= 1UL << (fd % 64);
		}
		struct timeval t = {0, 0};
		if (select(top + 1, (fd_set *)in, (fd_set *)out, NULL, &t) < 0)
			return 91;
	}
	printf("watched %d descriptors\n", top);
	fflush(stdout);
	if (!strcmp(then, "fail"))
		return 4;
	if (!strcmp(then, "crash")) {
		volatile char *next = NULL;
		*next = 'x';
	}
	free(in);
	free(out);
	return 0;
}
