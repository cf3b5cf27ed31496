// flags: -O2 -D_FORTIFY_SOURCE=2
// "buffer overflow detected" in a program with 1,500 descriptors that also selects, on sets large enough: the
// overflow is of a name that is too long.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

struct user { char name[16]; int id; };

int main(int argc, char **argv)
{
	int top = 0;
	while (top < 1500)
		top = dup(0);
	unsigned long *in = calloc(64, 8);
	in[3 / 64] |= 1UL << 3;
	struct timeval t = {0, 0};
	select(top + 1, (fd_set *)in, NULL, NULL, &t);
	struct user u = {.id = argc};
	char *name = getenv("LONG_NAME");
	strcpy(u.name, name ? name : "nobody");
	printf("%s %d\n", u.name, u.id);
	return 0;
}
