/* For arm64 without a C library: clang --target=aarch64-linux-gnu -nostdlib. */
__attribute__((noinline)) int leaf(int *p) { return *p; }
__attribute__((noinline)) int middle(int *p) {
	volatile char room[40];
	room[3] = 1;
	int n = leaf(p);
	return n + room[3];
}
__attribute__((noinline)) int outer(int n, int *p) { int v = middle(p); v += n; return v * middle(p); }
void _start(void) { outer(3, (int *)16); for (;;) ; }
