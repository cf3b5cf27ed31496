package coredump

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var matrix = flag.String("matrix", "", "write the table of the comparison with gdb to this `file`")

// crash is a program that dies.
type crash struct {
	name string
	make func(t testing.TB) (argv, env []string)
}

// compiled is a crash of a program that is built from source.
func compiled(name, source, file string, args []string, command ...string) crash {
	return crash{name: name, make: func(t testing.TB) ([]string, []string) {
		return append([]string{build(t, source, file, command...)}, args...), nil
	}}
}

// deathsC dies in the way that its argument names.
const deathsC = `
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <assert.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#ifdef __GLIBC__ /* musl's compiler has no headers of the kernel */
#include <linux/filter.h>
#include <linux/seccomp.h>
#endif
#include <fcntl.h>
#define NOINLINE __attribute__((noinline))
volatile long zero;
void *volatile nothing;
struct item { struct item *next; long size; char name[64]; };
static NOINLINE long item_size(struct item *i) { return i->size + 1; }
static inline __attribute__((always_inline)) long inner(struct item *i) { return item_size(i) * 3; }
static NOINLINE long walk(struct item *i, int depth) { long n = depth > 0 ? walk(i, depth - 1) : inner(i); return n + depth; }
static NOINLINE int recurse(int n) { volatile char buf[256]; buf[n % 256] = (char)n; return recurse(n + 1) + buf[n % 256]; }
static int compare(const void *a, const void *b) { if (*(const int *)a == 7) abort(); return *(const int *)a - *(const int *)b; }
static NOINLINE void smash(const char *s) { char buf[8]; strcpy(buf, s); puts(buf); }
static NOINLINE void divide(int a) { printf("%d\n", a / (int)zero); }
static NOINLINE void jump(void (*f)(void)) { f(); zero++; }
static void on_segv(int sig) { (void)sig; static const char m[] = "handler\n"; if (write(2, m, 8) < 0) return; abort(); }
static NOINLINE void handled(void) { stack_t ss = { .ss_sp = malloc(1 << 16), .ss_size = 1 << 16 }; sigaltstack(&ss, 0);
	struct sigaction sa = { .sa_handler = on_segv, .sa_flags = SA_ONSTACK }; sigaction(SIGSEGV, &sa, 0); zero = walk(nothing, 3); }
static pthread_mutex_t m1 = PTHREAD_MUTEX_INITIALIZER, m2 = PTHREAD_MUTEX_INITIALIZER;
static NOINLINE void take(pthread_mutex_t *a, pthread_mutex_t *b) { pthread_mutex_lock(a); usleep(50000); pthread_mutex_lock(b); }
static void *other(void *p) { take(&m2, &m1); return p; }
static void *killer(void *p) { usleep(200000); kill(getpid(), *(int *)p); for (;;) pause(); return 0; }
static NOINLINE void deadlock(int sig) { pthread_t t; pthread_create(&t, 0, killer, &sig); pthread_create(&t, 0, other, 0); take(&m1, &m2); }
static NOINLINE void *worker(void *p) { if (p) { usleep(50000); zero = walk(nothing, 2); } for (;;) pause(); return p; }
static NOINLINE void threads(void) { pthread_t t; for (long i = 0; i < 8; i++) pthread_create(&t, 0, worker, (void *)(i / 7)); pthread_join(t, 0); }
static NOINLINE void *stacky(void *p) { recurse(1); return p; }
const char constant[] = "constant";
int main(int argc, char **argv) {
	const char *how = argc > 1 ? argv[1] : "null";
	if (!strcmp(how, "null")) zero = walk(nothing, 4);
	if (!strcmp(how, "recurse")) recurse(0);
	if (!strcmp(how, "recurse-thread")) { pthread_t t; pthread_create(&t, 0, stacky, 0); pthread_join(t, 0); }
	if (!strcmp(how, "qsort")) { int v[] = { 3, 7, 1, 9, 4, 7, 2 }; qsort(v, 7, sizeof *v, compare); }
	if (!strcmp(how, "smash")) smash("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	if (!strcmp(how, "divide")) divide(3);
	if (!strcmp(how, "jump")) jump(0);
	if (!strcmp(how, "jump-wild")) jump((void (*)(void))0x123456789000);
	if (!strcmp(how, "jump-data")) jump((void (*)(void))&zero);
	if (!strcmp(how, "handler")) handled();
	if (!strcmp(how, "handler-info")) { struct sigaction sa = { .sa_handler = on_segv, .sa_flags = SA_SIGINFO }; sigaction(SIGSEGV, &sa, 0); zero = walk(nothing, 3); }
#ifdef __GLIBC__
	if (!strcmp(how, "seccomp")) { struct sock_filter f[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
		struct sock_fprog p = { 4, f }; prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); prctl(PR_SET_SECCOMP, 2, &p); zero = getppid(); }
#endif
	if (!strcmp(how, "deadlock")) deadlock(SIGABRT);
	if (!strcmp(how, "quit")) deadlock(SIGQUIT);
	if (!strcmp(how, "threads")) threads();
	if (!strcmp(how, "assert")) assert(argc == 7 && "an assertion");
	if (!strcmp(how, "trap")) __builtin_trap();
	if (!strcmp(how, "wild")) zero = item_size((struct item *)0xdead000000000000);
	if (!strcmp(how, "wild-write")) strcpy((char *)0x4141414141414141, "x");
	if (!strcmp(how, "readonly")) *(char *)constant = 'x';
	if (!strcmp(how, "readonly-text")) *(char *)main = 'x';
	if (!strcmp(how, "double-free")) { char *p = malloc(2000), *q = malloc(2000); free(p); zero = (long)q; char *volatile r = p; *(long *)r = 0; free(r); free(r); free(q); }
	if (!strcmp(how, "unmapped")) { struct item *i = mmap(0, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0); munmap(i, 8192); zero = item_size(i); }
	if (!strcmp(how, "protected")) { struct item *i = mmap(0, 8192, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0); zero = item_size(i); }
	if (!strcmp(how, "truncated")) { int fd = open("mapped", O_RDWR|O_CREAT, 0600); if (ftruncate(fd, 20000)) return 3;
		char *p = mmap(0, 20000, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0); if (ftruncate(fd, 4096)) return 3; zero = item_size((struct item *)(p + 8192)); }
	return 0;
}`

const deathsCC = `
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>
#include <algorithm>
#include <thread>
#include <cstring>
namespace shop {
template <typename T> struct Cart {
	std::map<std::string, T> items;
	__attribute__((noinline)) T &find(const std::string &k) { auto it = items.find(k); if (it == items.end()) throw std::out_of_range("no item " + k); return it->second; }
	__attribute__((noinline)) int total(const T *p) const { return p->price + (int)items.size(); }
};
struct Item { int id, price; };
Item *volatile none;
namespace { __attribute__((noinline)) int hidden(const Cart<Item> &c, const Item *p) { return c.total(p) + 1; } }
struct Base { virtual ~Base() {} virtual int run() = 0; };
struct Job : Base { Cart<Item> c; int run() override { std::vector<int> v{3, 1, 2}; std::sort(v.begin(), v.end(), [this](int a, int b) { return hidden(c, none) < a + b; }); return v[0]; } };
}
int main(int argc, char **argv) {
	std::unique_ptr<shop::Base> j(new shop::Job);
	if (argc > 1 && !strcmp(argv[1], "throw")) { shop::Cart<shop::Item> c; return c.find("apple").price; }
	if (argc > 1 && !strcmp(argv[1], "thread")) { std::thread t([&] { return j->run(); }); t.join(); }
	return j->run();
}`

const deathsRS = `
use std::collections::HashMap;
mod store { pub struct Store<T> { pub items: Vec<T> } impl<T: Copy> Store<T> {
  #[inline(never)] pub fn get(&self, i: usize) -> T { self.items[i] }
  #[inline(never)] pub unsafe fn raw(&self, p: *const T) -> T { std::ptr::read_volatile(p) } } }
trait Run { fn run(&self) -> u64; }
impl Run for store::Store<u64> { #[inline(never)] fn run(&self) -> u64 { let mut m = HashMap::new(); m.insert(1, 2); self.items.iter().map(|x| unsafe { self.raw(*x as *const u64) }).sum::<u64>() + m.len() as u64 } }
fn main() {
  let how = std::env::args().nth(1).unwrap_or_default();
  let s = store::Store { items: vec![16u64, 2, 3] };
  if how == "panic" { println!("{}", s.get(7)); }
  if how == "thread" { std::thread::spawn(move || s.run()).join().unwrap(); return; }
  let b: Box<dyn Run> = Box::new(s);
  println!("{}", b.run());
}`

const deathsGo = `package main

import (
	"fmt"
	"os"
	"sort"
	"sync"
)

type item struct{ name string; next *item }

//go:noinline
func (i *item) last() string { for i.next != nil { i = i.next }; return i.name }

//go:noinline
func find[T any](v []T, f func(T) bool) T { i := sort.Search(len(v), func(k int) bool { return f(v[k]) }); return v[i] }

func main() {
	var wg sync.WaitGroup
	for range 3 { wg.Add(1); go func() { select {} }() }
	if len(os.Args) > 1 && os.Args[1] == "panic" { fmt.Println(find([]int{1, 2}, func(int) bool { return false })) }
	var i *item
	fmt.Println(i.last())
	wg.Wait()
}
`

// interpreted is a crash of a program for an interpreter.
func interpreted(name, interpreter, source, file string, env []string, flags ...string) crash {
	return crash{name: name, make: func(t testing.TB) ([]string, []string) {
		path, err := exec.LookPath(interpreter)
		if err != nil {
			t.Skipf("%s is not installed", interpreter)
		}
		src := filepath.Join(t.TempDir(), file)
		if err := os.WriteFile(src, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			t.Fatal(err)
		}
		return append(append([]string{path}, flags...), src), env
	}}
}

var gcc = []string{"gcc", "-pthread", "-w", "-o", "OUT", "SRC"}

func with(command []string, more ...string) []string {
	return append(append([]string(nil), command...), more...)
}

var crashes = makeCrashes()

func makeCrashes() []crash {
	var out []crash
	c := func(name, how string, command ...string) {
		out = append(out, compiled(name, deathsC, "deaths.c", []string{how}, command...))
	}
	c("C -O0 -g, null pointer", "null", with(gcc, "-g", "-O0")...)
	c("C -O2 -g, inlined", "null", with(gcc, "-g", "-O2")...)
	c("C -O2, no frame pointers", "null", with(gcc, "-O2", "-fomit-frame-pointer")...)
	c("C -O2, stripped", "null", with(gcc, "-O2", "-s")...)
	c("C static", "null", with(gcc, "-O2", "-static")...)
	c("C static-pie, stripped", "null", with(gcc, "-O2", "-static-pie", "-s")...)
	c("C zlib debug sections", "null", with(gcc, "-O2", "-g", "-gz=zlib")...)
	c("C DWARF 4", "null", with(gcc, "-O2", "-gdwarf-4")...)
	c("C clang -O2 -g", "null", "clang", "-pthread", "-w", "-O2", "-g", "-o", "OUT", "SRC")
	c("C musl, static", "null", "musl-gcc", "-w", "-O2", "-static", "-o", "OUT", "SRC")
	c("C musl, dynamic", "null", "musl-gcc", "-w", "-O2", "-o", "OUT", "SRC")
	for _, how := range []string{"recurse", "recurse-thread", "qsort", "divide", "jump", "jump-wild", "jump-data", "handler", "deadlock", "quit", "threads", "assert", "trap", "wild", "wild-write", "readonly", "double-free", "truncated"} {
		c("C "+how, how, with(gcc, "-O1", "-g")...)
	}
	c("C handler, static", "handler", with(gcc, "-O2", "-static")...)
	c("C deadlock, static", "deadlock", with(gcc, "-O2", "-static")...)
	c("C smashed, protected", "smash", with(gcc, "-O1", "-g", "-fstack-protector-all")...)
	c("C smashed, unprotected", "smash", with(gcc, "-O1", "-g", "-fno-stack-protector", "-D_FORTIFY_SOURCE=0")...)
	cc := func(name, how string, command ...string) {
		out = append(out, compiled(name, deathsCC, "shop.cc", []string{how}, command...))
	}
	gxx := []string{"g++", "-std=c++17", "-pthread", "-o", "OUT", "SRC"}
	cc("C++ -O0 -g", "null", with(gxx, "-O0", "-g")...)
	cc("C++ -O2 -g", "null", with(gxx, "-O2", "-g")...)
	cc("C++ uncaught exception", "throw", with(gxx, "-O1")...)
	cc("C++ thread", "thread", with(gxx, "-O2")...)
	cc("C++ static, stripped", "throw", with(gxx, "-O2", "-static", "-s")...)
	rs := func(name, how string, command ...string) {
		out = append(out, compiled(name, deathsRS, "deaths.rs", []string{how}, command...))
	}
	rs("Rust debug", "null", "rustc", "-g", "-o", "OUT", "SRC")
	rs("Rust -O -g", "null", "rustc", "-O", "-g", "-o", "OUT", "SRC")
	rs("Rust -O, panic=abort", "panic", "rustc", "-O", "-C", "panic=abort", "-o", "OUT", "SRC")
	rs("Rust thread", "thread", "rustc", "-O", "-o", "OUT", "SRC")
	goenv := func(p crash) crash {
		inner := p.make
		p.make = func(t testing.TB) ([]string, []string) {
			argv, _ := inner(t)
			return argv, []string{"GOTRACEBACK=crash"}
		}
		return p
	}
	out = append(out, goenv(compiled("Go nil pointer", deathsGo, "main.go", nil, "go", "build", "-o", "OUT", "SRC")),
		goenv(compiled("Go panic, stripped", deathsGo, "main.go", []string{"panic"}, "go", "build", "-ldflags=-s -w", "-o", "OUT", "SRC")))
	out = append(out,
		interpreted("Python, ctypes", "python3", "import ctypes, threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()\ndef deep(n):\n    return deep(n-1) if n else ctypes.string_at(8)\ndeep(5)\n", "deaths.py", nil),
		interpreted("Node.js, process.abort", "node", "function a(n) { if (n) return a(n-1); process.abort(); }\nsetTimeout(() => a(5), 10);\n", "deaths.js", nil),
		interpreted("Java, Unsafe", "java", "import java.lang.reflect.*;\nclass Deaths { public static void main(String[] a) throws Exception { Field f = sun.misc.Unsafe.class.getDeclaredField(\"theUnsafe\"); f.setAccessible(true); ((sun.misc.Unsafe) f.get(null)).putLong(0L, 1); } }\n", "Deaths.java", nil, "-Xmx64m", "-XX:ErrorFile=/dev/null"))
	return out
}
