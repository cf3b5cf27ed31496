// flags: -O1
// Non-blocking stdout and a slow reader, handled as it must be: it polls and writes the rest. Then it ends: with 0,
// or "fail" with 5, or "crash".
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char line[1000];
	memset(line, 'b', sizeof line);
	line[sizeof line - 1] = '\n';
	fcntl(1, F_SETFL, fcntl(1, F_GETFL) | O_NONBLOCK);
	int told = 0;
	for (int n = 0; n < 600; n++)
		for (size_t done = 0; done < sizeof line;) {
			ssize_t w = write(1, line + done, sizeof line - done);
			if (w >= 0) {
				done += w;
				continue;
			}
			if (errno != EAGAIN)
				return 90;
			if (!told++)
				write(2, "full\n", 5);
			struct pollfd p = {1, POLLOUT};
			poll(&p, 1, -1);
		}
	if (argc > 1 && !strcmp(argv[1], "crash")) {
		for (int i = 0; i < 300; i++)
			getppid();
		*(volatile int *)0 = 1;
	}
	if (argc > 1 && !strcmp(argv[1], "fail")) {
		for (int i = 0; i < 300; i++)
			close(dup(0));
		write(2, "ledger does not balance\n", 24);
		return 5;
	}
	return 0;
}
