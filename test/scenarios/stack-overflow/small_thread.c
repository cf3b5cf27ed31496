// flags: -O0 -lpthread
// A thread with a small stack and a large local array.
#include <pthread.h>
#include <stdio.h>
static int visit(int n)
{
	char page[3000];
	snprintf(page, sizeof page, "%d", n);
	return n == 1 << 28 ? page[0] : visit(n + 1) + page[0];
}
static void *work(void *x) { visit((int)(long)x); return 0; }
int main(void)
{
	pthread_t t;
	pthread_attr_t a;
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 128 << 10);
	pthread_create(&t, &a, work, 0);
	pthread_join(t, 0);
	return 0;
}
