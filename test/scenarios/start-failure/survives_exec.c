// Tries programs that are not there, as a search through alternatives does, and ends with a code of its own.
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
	const char *pagers[] = {"/opt/none/less", "/opt/none/more", "/opt/none/most"};
	for (int i = 0; i < 3; i++)
		if (fork() == 0) {
			execl(pagers[i], pagers[i], (char *)0);
			_exit(127);
		} else
			wait(0);
	for (int i = 0; i < 200; i++)
		close(dup(0));
	fprintf(stderr, "no more credit\n");
	return 19;
}
