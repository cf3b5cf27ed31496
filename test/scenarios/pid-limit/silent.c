// Threads for its connections; ends without a word.
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
static void *serve(void *x) { pause(); return x; }
int main(void)
{
	pthread_t t;
	for (;;)
		if (pthread_create(&t, 0, serve, 0))
			exit(9);
}
