// A thread writes what is no text to standard error; then the program gives up.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((noinline)) static void flush_log(void)
{
	unsigned char b[312];

	srand(7);
	for (int i = 0; i < 312; i++)
		b[i] = rand() >> 7;
	if (write(2, b, sizeof(b)) != sizeof(b))
		exit(90);
}

static void *work(void *none)
{
	usleep(50000);
	flush_log();
	return none;
}

int main(void)
{
	pthread_t t;

	for (int i = 0; i < 200; i++)
		printf("2026-11-22 07:24:16 INFO checkout %d ok\n", i);
	fflush(stdout);
	fprintf(stderr, "starting up, all fine here\n");
	pthread_create(&t, 0, work, 0);
	pthread_join(t, 0);
	fprintf(stderr, "FATAL bad state\n");
	return 3;
}
