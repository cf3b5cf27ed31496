// flags: -O1
// Sets of sizeof(fd_set) from malloc; beyond 1024 the neighbours on the heap are overwritten.
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <unistd.h>

int main(void)
{
	fd_set *want = malloc(sizeof *want);
	char *title = malloc(40);
	char *body = malloc(200);
	snprintf(title, 40, "forwarder");
	int top = 0;
	while (top < 1300) {
		top = dup(0);
		if (top < 0)
			return 9;
	}
	for (int round = 0; round < 50; round++) {
		FD_ZERO(want);
		for (int fd = 0; fd <= top; fd++)
			FD_SET(fd, want);
		struct timeval t = {0, 0};
		select(top + 1, want, NULL, NULL, &t);
		free(title);
		free(body);
		title = malloc(40 + round);
		body = malloc(4000);
	}
	return 0;
}
