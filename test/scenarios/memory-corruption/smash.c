// flags: -O1 -fstack-protector-all
#include <stdio.h>
#include <string.h>
__attribute__((noinline)) static int parse(const char *header, int n)
{
	char name[16];
	for (int i = 0; i < n; i++)
		name[i] = header[i];
	return strlen(name);
}
int main(void)
{
	char header[64];
	memset(header, 'h', sizeof header);
	header[63] = 0;
	printf("parsing\n");
	fflush(stdout);
	printf("%d\n", parse(header, 64));
	return 0;
}
