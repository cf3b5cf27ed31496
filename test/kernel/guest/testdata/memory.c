// A cache that keeps all it ever had.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *volatile kept; // so that no compiler can tell that nobody reads it

int main(void) {
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);
	if (fd < 0 || write(fd, "900", 3) != 3)
		return 9;
	for (;;) {
		char *p = malloc(1 << 20);
		if (!p)
			return 7;
		memset(p, 1, 1 << 20);
		kept = p;
	}
}
