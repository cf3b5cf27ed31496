// flags: -O0 -lpthread
// One thread writes past its block, another allocates, and dies of it.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
static char *shared;
static void *writer(void *x) { memset(shared, 0x5a, 120); return x; }
int main(void)
{
	pthread_t t;
	shared = malloc(40);
	char *neighbour = malloc(1200);
	char *fence = malloc(16);
	pthread_create(&t, 0, writer, 0);
	pthread_join(t, 0);
	free(neighbour);
	free(fence);
	return 0;
}
