// A callback that was never set to code.
#include <stdlib.h>
int main(void)
{
	void (**table)(void) = calloc(4, sizeof *table);
	table[2] = (void (*)(void))table;
	table[2]();
	return 0;
}
