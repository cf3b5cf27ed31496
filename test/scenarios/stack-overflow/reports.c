// flags: -O1 -fno-optimize-sibling-calls
// Walks a tree without a bound; its handler of faults runs on a stack of its own, writes a report and aborts.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static void report(int s) { write(2, "fatal: see crash.log\n", 21); abort(); }
__attribute__((noinline)) static int descend(int n) { volatile char room[512]; room[0] = n; return descend(n + 1) + room[0]; }
int main(int argc, char **argv)
{
	stack_t st = {.ss_sp = malloc(65536), .ss_size = 65536};
	sigaltstack(&st, 0);
	struct sigaction sa = {.sa_handler = report, .sa_flags = SA_ONSTACK};
	sigaction(SIGSEGV, &sa, 0);
	return descend(argc);
}
