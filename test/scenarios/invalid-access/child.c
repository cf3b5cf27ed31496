// A child crashes; the parent does the work again and ends well (or, with "code", passes the death on as its own code).
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	if (fork() == 0)
		*(volatile int *)0 = 1;
	int st;
	wait(&st);
	if (argc > 1)
		return WIFSIGNALED(st) ? 128 + WTERMSIG(st) : 0;
	puts("worker lost, its share was done by another");
	return 0;
}
