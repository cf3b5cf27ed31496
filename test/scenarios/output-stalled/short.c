// flags: -O1
// Non-blocking stdout: lines are cut short and lost, and when too many are, it gives up.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	char line[1500];
	memset(line, 'a', sizeof line);
	line[sizeof line - 1] = '\n';
	fcntl(1, F_SETFL, fcntl(1, F_GETFL) | O_NONBLOCK);
	for (int lost = 0; lost < 5;)
		if (write(1, line, sizeof line) != sizeof line)
			lost++;
	return 4;
}
