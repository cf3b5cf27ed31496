// flags: -O2 -D_FORTIFY_SOURCE=2
// "buffer overflow detected" with five descriptors open: a name that is too long, no fd_set anywhere.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv)
{
	char label[8];
	char *from = getenv("LABEL");
	strcpy(label, from ? from : "none");
	puts(label);
	return 0;
}
