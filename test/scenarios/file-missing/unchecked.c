/* Opens a file, does not look whether that went well, and reads. */
#include <stdio.h>

int main(int argc, char **argv)
{
	char line[100];
	FILE *f = fopen(argv[1], "r");

	fgets(line, sizeof(line), f);
	puts(line);
	return 0;
}
