// Its own timer ends it, without a word.
#include <unistd.h>
int main(void)
{
	ualarm(300000, 0);
	for (;;)
		pause();
}
