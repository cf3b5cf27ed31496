// A check of its own words, and abort.
#include <stdio.h>
#include <stdlib.h>
static void require(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "REQUIRE(%s) does not hold, stopping before data is lost\n", what);
	abort();
}
int main(void)
{
	require(1, "magic == 0x51");
	require(0, "page->lsn <= log->head");
	return 0;
}
