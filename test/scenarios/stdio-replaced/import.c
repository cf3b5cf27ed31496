// A double close: descriptor 1 is closed with the input file's, and the table opened next gets its number.
// What the program prints then lands in the table, which the check at the end finds damaged.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void release(int *fds, int n)
{
	for (int i = 0; i <= n; i++) /* one too many: fds[n] is 1 */
		close(fds[i]);
}

int main(void)
{
	int in[4] = {open("/etc/hostname", O_RDONLY), open("/etc/hostname", O_RDONLY), 1, -1};
	release(in, 2);
	int table = open("stock.tbl", O_RDWR | O_CREAT | O_TRUNC, 0644);
	char record[64] = "RECORD1 anvils 12\n", back[64] = {0};
	if (pwrite(table, record, 64, 0) != 64)
		return 90;
	printf("importing stock\n");
	fflush(stdout);
	if (pread(table, back, 64, 0) != 64 || memcmp(record, back, 64)) {
		fprintf(stderr, "stock.tbl: checksum mismatch in record 1\n");
		return 1;
	}
	return 0;
}
