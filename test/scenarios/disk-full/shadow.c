/* Its log finds no room and it says nothing of that; then it does not like what it was told to do. */
#include <stdio.h>
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static char line[4096];
	int fd = open(argv[1], O_CREAT | O_WRONLY | O_APPEND, 0644);

	for (int i = 0; i < 40; i++)
		(void)!write(fd, line, sizeof(line));
	fprintf(stderr, "shadow: unknown currency XQQ in the price list, line 14\n");
	return 2;
}
