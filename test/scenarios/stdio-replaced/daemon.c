// A daemon that points 0 at /dev/null and 1 and 2 at a log of its own, on purpose, and rotates it once.
// Then: "wait" for a signal, "fail" with code 5, "end".
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void to_log(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	dup2(fd, 1);
	dup2(fd, 2);
	close(fd);
}

int main(int argc, char **argv)
{
	const char *then = argc > 1 ? argv[1] : "end";
	printf("going to the background\n");
	fflush(stdout);
	int null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	close(null);
	to_log("daemon.log");
	printf("day 1\n");
	fflush(stdout);
	to_log("daemon.log.1");
	fprintf(stderr, "day 2\n");
	if (!strcmp(then, "wait"))
		for (;;)
			pause();
	return !strcmp(then, "fail") ? 5 : 0;
}
