// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// Holds more than 1024 descriptors and calls select with them: the kernel's answer runs over what lies
// behind the sets, and the program dies of it.
#include <stdio.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

struct server {
	fd_set in, out;
	char *name;
};

__attribute__((noinline)) static int serve(struct server *s, int highest)
{
	struct timeval now = {0, 0};

	if (select(highest + 1, &s->in, &s->out, NULL, &now) < 0)
		return 3;
	return s->name[0] == 'x';
}

int main(void)
{
	static struct server s;
	struct rlimit l = {4096, 4096};
	int fd = -1, p[2];

	if (setrlimit(RLIMIT_NOFILE, &l) || pipe(p))
		return 2;
	while (fd < 1100) /* never ready for writing: the bits of the answer are zero */
		fd = dup(p[0]);
	s.name = "cart";
	return serve(&s, fd);
}
