package coredump

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/symbol"
)

// crashesCC dies in the way that its argument names.
const crashesCC = `
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>
struct Order { int id; char *name; };
static void *waits(void *p) { for (;;) pause(); return p; }
template <typename T> __attribute__((noinline)) int priced(T *o, int n) { int r = (int)strlen(o->name) + n; asm volatile("" : "+r"(r)); return r; }
__attribute__((noinline)) int ordered(int n) { Order o = {n, 0}; if (n > 100) o.name = (char *)"x"; int r = priced(&o, n); asm volatile("" : "+r"(r)); return r + 1; }
__attribute__((noinline)) int deep(int n);
__attribute__((noinline)) int deeper(int n) { volatile char a[200]; a[n % 200] = (char)n; int r = deep(n + 1); return r + a[n % 100]; }
__attribute__((noinline)) int deep(int n) { volatile char a[300]; a[n % 300] = (char)n; int r = deeper(n + 1); return r + a[n % 100]; }
__attribute__((noinline)) void smash(const char *s) { char b[16]; strcpy(b, s); asm volatile("" :: "r"(b) : "memory"); }
__attribute__((noinline)) void twice() { char *p = (char *)malloc(10); free(p); asm volatile("" : "+r"(p)); free(p); }
int main(int argc, char **argv) {
	pthread_t t;
	for (int i = 0; i < 5; i++) pthread_create(&t, 0, waits, 0);
	usleep(20000);
	const char *how = argv[1];
	if (!strcmp(how, "null")) return ordered(argc);
	if (!strcmp(how, "deep")) return deep(argc);
	if (!strcmp(how, "smash")) smash("a string that is longer than the sixteen bytes, and than what lies behind");
	if (!strcmp(how, "twice")) twice();
	if (!strcmp(how, "jump")) { void (*volatile f)() = (void (*)())0x123456789000; f(); }
	if (!strcmp(how, "write")) { *(volatile char *)"constant" = 1; }
	if (!strcmp(how, "wild")) { *(volatile int *)0x4141414141414141 = 1; }
	if (!strcmp(how, "divide")) { volatile int z = 0; return 7 / z; }
	if (!strcmp(how, "cut")) {
		char name[] = "cut-XXXXXX"; int fd = mkstemp(name); if (ftruncate(fd, 8192)) return 1;
		volatile char *p = (char *)mmap(0, 8192, PROT_READ, MAP_SHARED, fd, 0);
		if (ftruncate(fd, 10)) return 1;
		return p[5000];
	}
	abort();
}
`

func summarised(t testing.TB, path string, debug ...string) *evidence.Core {
	t.Helper()
	res := symbol.New(symbol.Options{DebugDirs: debug})
	t.Cleanup(res.Close)
	return Summarise(open(t, path), SummaryOptions{Resolver: res})
}

func TestSummary(t *testing.T) {
	plainCores(t)
	prog := build(t, crashesCC, "crashes.cc", "g++", "-g", "-O1", "-pthread", "-fstack-protector-all", "-o", "OUT", "SRC")
	for _, k := range []struct {
		how, fault, code, own string
		signal                evidence.Signal
	}{
		{"null", evidence.CoreNull, "SEGV_MAPERR", "priced<Order>", sigSEGV},
		{"deep", evidence.CoreStack, "SEGV_MAPERR", "", sigSEGV},
		{"smash", evidence.CoreAborted, "SI_TKILL", "smash", sigABRT},
		{"twice", evidence.CoreAborted, "SI_TKILL", "twice", sigABRT},
		{"jump", evidence.CoreJump, "SEGV_MAPERR", "main", sigSEGV},
		{"write", evidence.CoreReadOnly, "SEGV_ACCERR", "main", sigSEGV},
		{"divide", evidence.CoreArithmetic, "FPE_INTDIV", "main", sigFPE},
		{"cut", evidence.CorePastEnd, "BUS_ADRERR", "main", sigBUS},
		{"abort", evidence.CoreAborted, "SI_TKILL", "main", sigABRT},
	} {
		t.Run(k.how, func(t *testing.T) {
			path, _ := crashed(t, nil, prog, k.how)
			c := summarised(t, path)
			if c.Signal != k.signal || c.Fault != k.fault || c.CodeName != k.code {
				t.Errorf("%v %s: %q, want %v %s: %q", c.Signal, c.CodeName, c.Fault, k.signal, k.code, k.fault)
			}
			if k.how == "cut" && (c.Mapped == nil || c.Mapped.Offset != 5000 || c.Mapped.Size != 10 || c.Mapped.Changed == 0) {
				t.Errorf("mapped %+v", c.Mapped)
			}
			if c.Program != prog || c.Threads != 6 || len(c.Others) != 1 || c.Others[0].Count != 5 {
				t.Errorf("program %s, %d threads, %d groups", c.Program, c.Threads, len(c.Others))
			}
			own := -1
			for i := range c.Frames {
				if c.Frames[i].Own && own < 0 {
					own = i
				}
			}
			if own < 0 || k.own != "" && c.Frames[own].Function != k.own || c.Frames[own].Line == 0 {
				t.Errorf("own frame %d of %q, want %s", own, c.Backtrace, k.own)
			}
			if len(c.Modules) == 0 || !c.Modules[0].InTrace || c.Modules[0].BuildID == "" {
				t.Errorf("modules %+v", c.Modules)
			}
			t.Logf("%s %q", c.Fingerprint, c.AlikeBy)
		})
	}
}

// TestAlike compares fingerprints over builds of one program: its flags, where it is loaded, and
// whether names are in it or beside it.
func TestAlike(t *testing.T) {
	plainCores(t)
	flags := map[string][]string{
		"-O0":        {"-O0", "-g"},
		"-O2":        {"-O2", "-g"},
		"no pie":     {"-O1", "-g", "-no-pie"},
		"no symbols": {"-O1"},
		"again":      {"-O1", "-g", "-DVERSION=2", "-falign-functions=64"},
	}
	if _, err := exec.LookPath("clang-14"); err == nil {
		flags["clang"] = []string{"-O2", "-g"}
	}
	for _, how := range []string{"null", "deep", "smash"} {
		prints := map[string][]string{}
		for name, f := range flags {
			cc := "g++"
			if name == "clang" {
				cc = "clang++-14"
			}
			if _, err := exec.LookPath(cc); err != nil {
				continue
			}
			prog := build(t, crashesCC, "crashes.cc", append(append([]string{cc}, f...), "-w", "-pthread", "-fstack-protector-all", "-o", "OUT", "SRC")...)
			path, _ := crashed(t, nil, prog, how)
			c := summarised(t, path)
			prints[c.Fingerprint] = append(prints[c.Fingerprint], name+" "+strings.Join(c.AlikeBy, ", "))
			if name != "-O2" {
				continue
			}
			// Stripped, with its debug file beside it.
			dir := t.TempDir()
			id := c.Modules[slices.IndexFunc(c.Modules, func(m evidence.CoreModule) bool { return m.Path == prog })].BuildID
			debug := filepath.Join(dir, ".build-id", id[:2], id[2:]+".debug")
			if err := os.MkdirAll(filepath.Dir(debug), 0o755); err != nil {
				t.Fatal(err)
			}
			for _, cmd := range [][]string{{"objcopy", "--only-keep-debug", prog, debug}, {"strip", prog}} {
				if b, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
					t.Skipf("%v: %v %s", cmd, err, b)
				}
			}
			path, _ = crashed(t, nil, prog, how)
			c = summarised(t, path, dir)
			prints[c.Fingerprint] = append(prints[c.Fingerprint], "stripped "+strings.Join(c.AlikeBy, ", "))
		}
		if len(prints) != 1 {
			t.Errorf("%s: %d fingerprints: %q", how, len(prints), prints)
		}
	}
}
