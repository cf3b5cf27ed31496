// Ends without a word when there is no memory.
#include <stdlib.h>
int main(void)
{
	while (malloc(1 << 20))
		;
	return 12;
}
