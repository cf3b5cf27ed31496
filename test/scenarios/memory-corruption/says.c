// Prints glibc's words, that a child of another machine sent, and ends with 1 ("exit") or by its own check ("abort").
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	fprintf(stderr, "worker 3 on n7 ended with: malloc(): corrupted top size\n");
	fprintf(stderr, "worker 3 on n7 ended with: *** stack smashing detected ***: terminated\n");
	if (argc > 1) {
		fprintf(stderr, "too many workers lost\n");
		abort();
	}
	return 1;
}
