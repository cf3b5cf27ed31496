// Seccomp's strict mode: anything but read, write and exit is answered with SIGKILL, and nobody sent it.
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(void)
{
	write(1, "entering the sandbox\n", 21);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
	getppid();
	return 0;
}
