// An instance for each tenant, until the user has no more of them; descriptors are free. Ends without a word.
#include <sys/inotify.h>

int main(void)
{
	for (;;)
		if (inotify_init1(IN_CLOEXEC) < 0)
			return 11;
}
