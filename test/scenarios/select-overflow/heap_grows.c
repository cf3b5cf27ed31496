// flags: -O1
// A set of sizeof(fd_set) on the heap, and one descriptor more at each turn, as a leak has it.
#include <stdlib.h>
#include <sys/select.h>
#include <unistd.h>

struct session { struct session *next; int requests; } *volatile first;

int main(void)
{
	fd_set *want = malloc(sizeof *want);
	first = malloc(sizeof *first);
	struct session *second = calloc(1, sizeof *second);
	first->next = second;
	for (int top = 0; top < 1400;) {
		top = dup(0);
		if (top < 0)
			return 9;
		FD_ZERO(want);
		for (int fd = 3; fd <= top; fd++)
			FD_SET(fd, want);
		struct timeval t = {0, 0};
		select(top + 1, want, NULL, NULL, &t);
		first->next->requests++;
	}
	return 0;
}
