// Timers, eventfds and epolls by the dozen; then one of them is dereferenced as if it had been made.
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <stdlib.h>

struct loop { int fd; };

static struct loop *loop_new(void)
{
	int fd = epoll_create1(0);
	if (fd < 0)
		return NULL;
	struct loop *l = malloc(sizeof *l);
	l->fd = fd;
	eventfd(0, 0);
	return l;
}

int main(void)
{
	volatile int sum = 0;
	for (;;)
		sum += loop_new()->fd; /* no check: a null pointer once descriptors are used up */
}
