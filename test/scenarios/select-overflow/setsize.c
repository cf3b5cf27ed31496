// flags: -O1
// Calls select(FD_SETSIZE, ...), as many do, with a descriptor beyond it in the set: the kernel never sees that bit,
// the memory behind the set does.
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <unistd.h>

static struct {
	fd_set in;
	const char *greeting[6];
} state = {.greeting = {"hello", "hallo", "salut", "hola", "ciao", "hej"}};

int main(void)
{
	volatile size_t sum = 0;
	for (;;) {
		int fd = dup(0);
		if (fd < 0)
			return 9;
		FD_SET(fd, &state.in);
		fd_set *in = &state.in;
		struct timeval t = {0, 0};
		select(FD_SETSIZE, in, NULL, NULL, &t);
		FD_SET(fd, in);
		if (fd > 1090)
			for (int i = 0; i < 6; i++)
				sum += state.greeting[i][0];
	}
}
