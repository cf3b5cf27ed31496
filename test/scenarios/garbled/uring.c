// Writes its log by io_uring, and a block that is no text among it; then it gives up.
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct io_uring_params p;
static char *ring;
static struct io_uring_sqe *sqes;
static int fd;

static void put(const void *data, unsigned len)
{
	unsigned *tail = (unsigned *)(ring + p.sq_off.tail), *mask = (unsigned *)(ring + p.sq_off.ring_mask);
	unsigned *array = (unsigned *)(ring + p.sq_off.array), *head = (unsigned *)(ring + p.cq_off.head);
	unsigned i = *tail & *mask;

	memset(&sqes[i], 0, sizeof(sqes[i]));
	sqes[i].opcode = IORING_OP_WRITE;
	sqes[i].fd = 1;
	sqes[i].addr = (unsigned long)data;
	sqes[i].len = len;
	sqes[i].off = -1;
	array[i] = i;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		exit(91);
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
}

int main(void)
{
	unsigned char b[312];
	char line[80];

	fd = syscall(SYS_io_uring_setup, 8, &p);
	if (fd < 0) {
		perror("io_uring_setup");
		return 92;
	}
	ring = mmap(0, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe) + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
	sqes = mmap(0, p.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
	if (ring == MAP_FAILED || sqes == MAP_FAILED || !(p.features & IORING_FEAT_SINGLE_MMAP))
		return 93;
	for (int i = 0; i < 100; i++)
		put(line, sprintf(line, "2026-11-22 07:24:16 INFO checkout %d ok\n", i));
	srand(7);
	for (int i = 0; i < 312; i++)
		b[i] = rand() >> 7;
	put(b, sizeof(b));
	for (int i = 0; i < 100; i++)
		put(line, sprintf(line, "2026-11-22 07:24:16 INFO checkout %d ok\n", i));
	usleep(700000);
	fprintf(stderr, "FATAL bad state\n");
	return 3;
}
