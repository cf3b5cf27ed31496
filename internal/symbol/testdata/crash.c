#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone))

static volatile int zero;
static void (*volatile nowhere)(void);

KEEP int crash(volatile int *p) { *p = 7; return *p + zero; }
KEEP static int hidden(int n) { return crash((int *)(long)zero) + n; }
KEEP int outer(int n) { char room[300]; memset(room, n, sizeof room); return hidden(room[zero]) + room[1]; }

KEEP int deep(int n) { if (n == 0) return crash((int *)(long)zero); n += deep(n - 1); zero = 0; return n; }

KEEP int compare(const void *a, const void *b) { return crash((int *)(long)zero) + *(const int *)a - *(const int *)b; }
KEEP void sorter(void) { int v[3] = {3, 1, 2}; qsort(v, 3, sizeof v[0], compare); printf("%d\n", v[zero]); }

KEEP void giveup(int n) { if (n) abort(); zero++; }
KEEP void caller_of_null(int n) { nowhere(); zero += n; }
KEEP void wild(int n) { ((void (*)(void))(0x41414141L + zero))(); zero += n; }

KEEP void handler(int s) { zero = crash((int *)(long)zero) + s; }
KEEP void handler_aborts(int s) { giveup(s); zero++; }
KEEP void with_handler(void (*h)(int), int onstack) {
	struct sigaction sa = {.sa_handler = h, .sa_flags = SA_RESETHAND | SA_NODEFER | (onstack ? SA_ONSTACK : 0)};
	if (onstack) {
		stack_t st = {.ss_sp = malloc(65536), .ss_size = 65536};
		sigaltstack(&st, 0);
	}
	sigaction(SIGSEGV, &sa, 0);
	outer(1);
	zero++;
}

KEEP void *thread(void *p) { outer(2); return p; }

KEEP void smashed(void) {
	volatile unsigned long *p = (unsigned long *)__builtin_frame_address(0);
	p[0] = 0x4141414141414141; p[1] = 0x4242424242424242;
	zero++;
}
KEEP void smasher(int n) { smashed(); zero += n; }
KEEP void freed_twice(void) { char *volatile p = malloc(4000), *volatile q = malloc(10); free(p); free(p); free(q); }

int main(int argc, char **argv) {
	const char *how = argc > 1 ? argv[1] : "plain";
	if (!strcmp(how, "plain")) outer(1);
	else if (!strcmp(how, "deep")) deep(20);
	else if (!strcmp(how, "bottomless")) deep(100000000);
	else if (!strcmp(how, "qsort")) sorter();
	else if (!strcmp(how, "abort")) giveup(1);
	else if (!strcmp(how, "null")) caller_of_null(1);
	else if (!strcmp(how, "wild")) wild(1);
	else if (!strcmp(how, "handler")) with_handler(handler, 0);
	else if (!strcmp(how, "altstack")) with_handler(handler, 1);
	else if (!strcmp(how, "handler-abort")) with_handler(handler_aborts, 0);
	else if (!strcmp(how, "smashed")) smasher(1);
	else if (!strcmp(how, "free")) freed_twice();
	else if (!strcmp(how, "thread")) {
		pthread_t t;
		pthread_create(&t, 0, thread, 0);
		pthread_join(t, 0);
	}
	return zero;
}
