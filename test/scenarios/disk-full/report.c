/* Writes a report through stdio and looks at every result. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

int main(int argc, char **argv)
{
	FILE *f = fopen(argv[1], "w");

	if (!f) {
		fprintf(stderr, "report: cannot open %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	for (int i = 0; i < 200000; i++)
		if (fprintf(f, "line %d of the report\n", i) < 0)
			goto failed;
	if (fclose(f) == 0)
		return 0;
failed:
	fprintf(stderr, "report: writing %s failed: %s\n", argv[1], strerror(errno));
	return 1;
}
