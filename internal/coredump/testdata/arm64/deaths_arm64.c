// Small deaths for arm64, without a libc: cores of this are in this folder.
// aarch64-linux-gnu-gcc -g -O1 -fno-omit-frame-pointer -fasynchronous-unwind-tables -nostdlib -static -fno-stack-protector -Wl,--build-id -o deaths_arm64 deaths_arm64.c
typedef unsigned long word;
struct item { struct item *next; long size; };
void *volatile nothing;
volatile long sink;
#define NOINLINE __attribute__((noinline))
static long call(long n, long a, long b, long c, long d, long e) {
	register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}
NOINLINE long item_size(struct item *i) { return i->size + 1; }
static inline __attribute__((always_inline)) long inner(struct item *i) { return item_size(i) * 3; }
NOINLINE long walk(struct item *i, int n) { return n ? walk(i, n - 1) + n : inner(i) + 1; }
NOINLINE long recurse(int n) { volatile char b[200]; b[n % 200] = (char)n; return recurse(n + 1) + b[n % 200]; }
NOINLINE void jump(void (*f)(void)) { f(); sink++; }
NOINLINE void on_segv(int sig) { sink = sig; call(129, call(172, 0, 0, 0, 0, 0), 6, 0, 0, 0); sink++; }
NOINLINE void handled(void) {
	struct { void (*f)(int); word flags; void *restorer; word mask; } sa = { on_segv, 0, 0, 0 };
	call(134, 11, (long)&sa, 0, 8, 0);
	sink = walk(nothing, 2);
}
static char stack[16384] __attribute__((aligned(16)));
NOINLINE void in_thread(void) { sink = walk(nothing, 1); }
NOINLINE void thread(void) {
	register long x8 __asm__("x8") = 220, x0 __asm__("x0") = 0x50f00, x1 __asm__("x1") = (long)(stack + sizeof stack), x2 __asm__("x2") = 0, x3 __asm__("x3") = 0, x4 __asm__("x4") = 0;
	__asm__ volatile("svc 0\n cbnz x0, 1f\n mov x29, 0\n mov x30, 0\n bl in_thread\n1:" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory", "x30");
	for (;;) { long ts[2] = { 1, 0 }; call(101, (long)ts, 0, 0, 0, 0); }
}
NOINLINE int run(char how) {
	switch (how) {
	case 'n': sink = walk(nothing, 3); break;
	case 'r': sink = recurse(0); break;
	case 'j': jump(nothing); break;
	case 't': __builtin_trap();
	case 'h': handled(); break;
	case 'c': thread(); break;
	case 'w': sink = item_size((struct item *)0xdead00000000); break;
	case 'o': *(volatile int *)run = 7; break;
	}
	return 3;
}
NOINLINE void begin(word *sp) { call(93, run(sp[0] > 1 ? *(char *)sp[2] : 'n'), 0, 0, 0, 0); }
__asm__(".globl _start\n.type _start, %function\n_start:\n .cfi_startproc\n .cfi_undefined x30\n mov x29, 0\n mov x30, 0\n mov x0, sp\n bl begin\n .cfi_endproc\n .size _start, .-_start\n");
