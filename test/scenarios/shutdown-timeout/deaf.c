// flags: -O1
// Notes SIGTERM and does not end.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static void term(int s) { write(1, "saving...\n", 10); }
int main(int argc, char **argv)
{
	signal(SIGTERM, argc > 1 ? SIG_IGN : term);
	printf("ready\n");
	fflush(stdout);
	for (;;)
		pause();
}
