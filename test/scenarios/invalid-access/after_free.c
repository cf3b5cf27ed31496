// A large block is given back to the system and used again.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void)
{
	char *image = malloc(4 << 20);
	memset(image, 7, 4 << 20);
	free(image);
	fprintf(stderr, "thumbnail\n");
	return image[12345];
}
