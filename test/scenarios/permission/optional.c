/* May not read a file that it can do without; then it fails for another reason. */
#include <stdio.h>
#include <string.h>
#include <errno.h>

int main(void)
{
	FILE *f = fopen("cache", "r");

	if (!f)
		fprintf(stderr, "warning: cache: %s\n", strerror(errno));
	fprintf(stderr, "no worker answered\n");
	return 6;
}
