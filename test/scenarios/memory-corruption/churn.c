// A healthy program that allocates a lot and prints alarming words as data.
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
	for (int i = 0; i < 20000; i++)
		free(malloc(i));
	puts("free(): invalid pointer is what glibc says; here all is well");
	return 0;
}
