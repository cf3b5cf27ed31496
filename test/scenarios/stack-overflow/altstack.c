// flags: -O0
// Measures its own stack: overflows it, catches the fault on another stack, and goes on, as some collectors do.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
static sigjmp_buf back;
static void caught(int s) { siglongjmp(back, 1); }
static int dive(int n) { volatile char room[1024]; room[0] = n; return dive(n + 1) + room[0]; }
int main(int argc, char **argv)
{
	stack_t st = {.ss_sp = malloc(65536), .ss_size = 65536};
	sigaltstack(&st, 0);
	struct sigaction sa = {.sa_handler = caught, .sa_flags = SA_ONSTACK};
	sigaction(SIGSEGV, &sa, 0);
	if (!sigsetjmp(back, 1))
		dive(0);
	puts("stack measured");
	return argc > 1 ? 6 : 0;
}
