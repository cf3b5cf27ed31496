#include <stdlib.h>
static char table[64];
int main(void)
{
	char *volatile p = table + 16;
	free(p);
	return 0;
}
