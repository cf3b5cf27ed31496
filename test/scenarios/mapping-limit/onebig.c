// Asks for far more than there is, in one piece.
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
	char *p = malloc(3L << 40);
	if (!p) {
		perror("matrix");
		return 6;
	}
	return 0;
}
