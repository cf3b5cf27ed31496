// flags: -O1
// A set and a log's buffer behind it; or, with "heap" and "other", sets as large as they must be, whose memory is
// used for binary records later.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>
#include <unistd.h>

struct server { fd_set readable; char log[4096]; };

static struct server server;
static int reader[1900], readers, highest;

static inline __attribute__((always_inline)) int wait_for(long *bits)
{
	memset(bits, 0, (highest + 64) / 64 * 8);
	for (int i = 0; i < readers; i++)
		bits[reader[i] / 64] |= 1L << (reader[i] % 64);
	struct timeval t = {0, 1000};
	return select(highest + 1, (fd_set *)bits, NULL, NULL, &t);
}

static inline __attribute__((always_inline)) void serve(struct server *s)
{
	for (int turn = 0; turn < 5; turn++) {
		int n = snprintf(s->log, sizeof(s->log), "INFO request beta of %s done by worker %d, all is well and nothing is lost\n", "customer", turn);
		wait_for((long *)&s->readable);
		write(1, s->log, n);
	}
}

static __attribute__((noinline)) void in_stack(void)
{
	struct server s;
	serve(&s);
	fputs("giving up\n", stderr);
	exit(3);
}

static __attribute__((noinline)) void sets_in_stack(void)
{
	long bits[512];
	wait_for(bits);
}

static __attribute__((noinline)) void records_in_stack(void)
{
	unsigned char records[4096];
	for (int i = 0; i < 4096; i++)
		records[i] = i * 2654435761u >> 13;
	write(1, records + 128, 256);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "data";
	for (int i = 0; i < 1900; i++) {
		int p[2];
		if (pipe(p) < 0)
			return 9;
		reader[readers++] = p[0];
		highest = p[1];
		write(p[1], "x", 1);
	}
	for (int i = 0; i < 20; i++)
		dprintf(1, "INFO request alpha done by worker %d, all is well\n", i);
	if (!strcmp(how, "data")) {
		serve(&server);
		abort();
	}
	if (!strcmp(how, "stack"))
		in_stack();
	if (!strcmp(how, "heap")) {
		long *bits = malloc(4096);
		wait_for(bits);
		free(bits);
		unsigned char *records = malloc(4096);
		for (int i = 0; i < 4096; i++)
			records[i] = i * 2654435761u >> 13;
		write(1, records + 128, 256);
	} else {
		sets_in_stack();
		records_in_stack();
	}
	fputs("giving up\n", stderr);
	return 3;
}
