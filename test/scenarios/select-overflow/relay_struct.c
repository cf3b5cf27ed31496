// flags: -O1
// A relay as textbooks write it: two fd_sets in its state, one behind the other, and what it needs next behind them.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>
#include <unistd.h>

struct route { int hits; char name[28]; };

static struct {
	fd_set readable, writable;
	struct route *routes[8];
} relay;

int main(void)
{
	int highest = 0;
	for (int i = 0; i < 8; i++)
		relay.routes[i] = calloc(1, sizeof(struct route));
	for (int n = 0; n < 1400; n++) {
		int p[2];
		if (pipe(p) < 0)
			return 9;
		if (n % 2)
			close(p[1]);
		highest = p[0] > highest ? p[0] : highest;
		FD_ZERO(&relay.readable);
		FD_ZERO(&relay.writable);
		for (int fd = 3; fd <= highest; fd++)
			FD_SET(fd, &relay.writable);
		struct timeval t = {0, 0};
		select(highest + 1, &relay.readable, &relay.writable, NULL, &t);
		relay.routes[n % 8]->hits++;
	}
	return 0;
}
