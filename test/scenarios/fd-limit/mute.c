// Duplicates a descriptor per job and gives up without a word.
#include <stdlib.h>
#include <unistd.h>

static int job_handle(void) { return dup(0); }

int main(void)
{
	for (int n = 0; n < 50000; n++)
		if (job_handle() == -1)
			_exit(3);
	return 0;
}
