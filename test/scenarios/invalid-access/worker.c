// flags: -O1 -lpthread
// The fault is in a thread; the others sleep.
#include <pthread.h>
#include <unistd.h>
static int *volatile cell;
static void *count(void *x) { *cell += 1; return x; }
static void *idle(void *x) { pause(); return x; }
int main(void)
{
	pthread_t t;
	for (int i = 0; i < 3; i++)
		pthread_create(&t, 0, idle, 0);
	pthread_create(&t, 0, count, 0);
	pause();
	return 0;
}
