/* Never looks at a result of stdio: the end of the file is lost, and it ends well. */
#include <stdio.h>

int main(int argc, char **argv)
{
	FILE *f = fopen(argv[1], "w");

	for (int i = 0; i < 200000; i++)
		fprintf(f, "line %d of the report\n", i);
	fclose(f);
	puts("report written");
	return 0;
}
