// flags: -O0
// A record is longer than what was allocated for it; the heap's own bookkeeping lies behind.
#include <stdlib.h>
#include <string.h>
int main(void)
{
	char *rec = malloc(24);
	memset(rec, 'A', 24 + 32);
	char *next = malloc(3000);
	return next == rec;
}
