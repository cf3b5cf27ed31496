// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// Calls select once with a set in one of the places where programs have them, and descriptor 1100 open.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

struct server { long before[4]; fd_set in; long between[64]; fd_set out; long after[64]; };
static struct { fd_set in; long room[64]; } global;

int main(int argc, char **argv)
{
	struct rlimit l;
	struct timeval tv = {0, 0};
	int p[2], fd = 1100;
	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = 2000;
	if (setrlimit(RLIMIT_NOFILE, &l) || pipe(p) || dup2(p[0], fd) < 0) return 2;
	for (volatile int i = 0; i < 100; i++) free(malloc(i * 24)); /* a used heap */
	while (!strcmp(argv[1], "dense") && dup(0) < fd); /* so that whatever bits are set are of open ones */
	if (!strcmp(argv[1], "malloc") || !strcmp(argv[1], "dense")) {
		fd_set *in = malloc(sizeof(fd_set)), *next = malloc(1000);
		FD_ZERO(in);
		next[0] = next[0];
		return select(fd + 1, in, 0, 0, &tv) < -1;
	} else if (!strcmp(argv[1], "calloc")) {
		fd_set *in = calloc(fd / 64 + 1, 8);
		return select(fd + 1, in, 0, 0, &tv) < -1;
	} else if (!strcmp(argv[1], "large")) { /* a mapping of its own */
		fd_set *in = calloc(1, 1 << 20);
		return select(fd + 1, in, 0, 0, &tv) < -1;
	} else if (!strcmp(argv[1], "struct")) {
		struct server *s = calloc(1, sizeof(*s));
		return select(fd + 1, &s->in, &s->out, 0, &tv) < -1;
	} else if (!strcmp(argv[1], "stack")) {
		struct { fd_set in, out; long room[64]; } s;
		memset(&s, 0, sizeof(s));
		return select(fd + 1, &s.in, &s.out, 0, &tv) < -1;
	} else if (!strcmp(argv[1], "data")) {
		((char *)&global.in)[fd / 8] |= 1 << fd % 8;
		return select(FD_SETSIZE, &global.in, 0, 0, &tv) < -1;
	}
	return 3;
}
