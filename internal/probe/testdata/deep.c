// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// Uses up its stack: the first thread's, or with an argument that of another.
#include <pthread.h>
#include <unistd.h>
__attribute__((noinline)) int deep(int n) { volatile char frame[2000]; frame[n & 1023] = 1; return deep(n + 1) + frame[0]; }
static void *thread(void *p) { return (void *)(long)deep(0); }
int main(int argc, char **argv) {
	char c; pthread_t t;
	while (read(3, &c, 1) > 0);
	if (argc < 2) return deep(0);
	pthread_create(&t, 0, thread, 0);
	pthread_join(t, 0);
}
