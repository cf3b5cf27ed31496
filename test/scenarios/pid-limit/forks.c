// A worker for each job.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(void)
{
	for (int i = 0;; i++) {
		pid_t p = fork();
		if (p == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			alarm(20);
			pause();
			_exit(0);
		}
		if (p < 0) {
			fprintf(stderr, "job %s: cannot start a worker: %s\n", "sync", strerror(errno));
			return 11;
		}
	}
}
