// flags: -O0
// A recursive parser without a bound meets a document of brackets alone.
#include <stdio.h>
static int depth(const char *s, long i)
{
	volatile char frame[400];
	frame[0] = s[i % 8];
	return 1 + depth(s, i + 1) + frame[0];
}
int main(void)
{
	printf("parsing\n");
	fflush(stdout);
	return depth("[[[[[[[[", 0) > 5;
}
