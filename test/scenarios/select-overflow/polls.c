// flags: -O1
// Thousands of descriptors, but poll; its crash is a division by a number that was read as zero.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
	struct pollfd *p = calloc(3000, sizeof *p);
	for (int i = 0; i < 3000; i++)
		p[i] = (struct pollfd){.fd = dup(0), .events = POLLIN};
	int ready = poll(p, 3000, 0);
	volatile int weight = ready > 3000;
	printf("ready\n");
	fflush(stdout);
	return 100 / weight;
}
