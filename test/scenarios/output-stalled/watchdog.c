// Its log blocks: nobody reads stdout. A watchdog ends what does not answer for two seconds (SIGALRM).
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	for (long n = 0;; n++) {
		alarm(2);
		printf("request %ld answered with 200 in 3 ms, cache hit, region eu-west, shard 17 of 64, trace %016lx\n", n, n * 7919);
	}
}
