#include <assert.h>
static int balance(int a, int b) { return a - b; }
int main(void)
{
	assert(balance(3, 5) >= 0);
	return 0;
}
