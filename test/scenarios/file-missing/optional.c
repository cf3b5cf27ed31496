/* Looks for a configuration that need not be there, and fails for another reason. */
#include <stdio.h>
#include <string.h>
#include <errno.h>

int main(int argc, char **argv)
{
	FILE *f = fopen("optional.conf", "r");

	if (!f)
		fprintf(stderr, "optional.conf: %s, taking defaults\n", strerror(errno));
	f = fopen("prices", "r");
	if (!f)
		return 9;
	fprintf(stderr, "prices: line 3: 12,x is no amount\n");
	return 1;
}
