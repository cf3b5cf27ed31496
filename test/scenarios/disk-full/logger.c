/* Its log finds no room, which it can live with; then it uses a null pointer. */
#include <stdio.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct order { int id; char name[32]; };
static struct order *find(int id) { static struct order some; return id == 12 ? NULL : &some; }

int main(int argc, char **argv)
{
	static char line[4096];
	int lost = 0, fd = open(argv[1], O_CREAT | O_WRONLY | O_APPEND, 0644);

	for (int i = 0; i < 40; i++)
		if (write(fd, line, sizeof(line)) < 0)
			lost++;
	fprintf(stderr, "log: %d lines lost: %s\n", lost, strerror(ENOSPC));
	for (volatile int i = 0; i < 13; i++)
		printf("%d\n", find(i)->id);
	return 0;
}
