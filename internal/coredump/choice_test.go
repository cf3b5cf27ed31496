package coredump

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/symbol"
	"github.com/google/go-cmp/cmp"
)

const edgesC = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
__attribute__((noinline)) static int deep(volatile int *n) { volatile char room[1000]; room[0] = *n; (*n)++; int r = deep(n); return r + room[0]; }
static void handler(int s) { (void)s; abort(); }
__attribute__((noinline)) static int touch(volatile char *p) { return p[5000]; }
static void *sit(void *p) { for (;;) pause(); return p; }
int main(int argc, char **argv) {
	if (argc < 2) return 2;
	if (!strcmp(argv[1], "altstack") || !strcmp(argv[1], "deepalt")) {
		stack_t s = { .ss_sp = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), .ss_size = 1 << 16 };
		sigaltstack(&s, 0);
		struct sigaction a = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
		sigaction(SIGSEGV, &a, 0);
		if (argv[1][0] == 'a') return touch((char *)0);
	}
	if (strstr(argv[1], "deep")) { int n = 0; return deep(&n); }
	if (!strcmp(argv[1], "file")) {
		char name[] = "/tmp/descry-edge-XXXXXX";
		int fd = mkstemp(name);
		unlink(name);
		if (ftruncate(fd, 1 << 16)) return 2;
		char *p = mmap(0, 1 << 16, PROT_READ, MAP_SHARED, fd, 0);
		if (ftruncate(fd, 0)) return 2;
		return touch(p);
	}
	if (!strcmp(argv[1], "threads")) {
		pthread_attr_t at;
		pthread_attr_init(&at);
		pthread_attr_setstacksize(&at, 64 << 10);
		for (int i = 0; i < 1500; i++) { pthread_t t; if (pthread_create(&t, &at, sit, 0)) return 2; }
		usleep(200000);
		return touch((char *)0);
	}
	char key[80] = "apikey=0123456789";
	strcat(key, "abcdef");
	char *other = strdup(key);
	return touch(0) + key[3] + other[1];
}
`

// gdb's backtraces of stacks against those of the whole core, where stacks are not simple.
func TestStacksOfTheOdd(t *testing.T) {
	program := build(t, edgesC, "edges.c", "cc", "-g", "-O1", "-pthread", "-o", "OUT", "SRC")
	for _, c := range []struct {
		way  string
		say  []string // of gdb
		want string
	}{
		{"deep", []string{"bt 40", "bt -3"}, "main ("},
		{"altstack", []string{"bt"}, "touch ("},
		{"deepalt", []string{"bt 40"}, "deep ("},
		{"file", []string{"bt"}, "touch ("},
		{"plain", []string{"bt"}, "touch ("},
		{"threads", []string{"bt", "thread 700", "bt"}, "sit ("},
	} {
		t.Run(c.way, func(t *testing.T) {
			var want []string
			for _, keep := range []Depth{Full, Stacks} {
				s := storeFor(t, Bounds{}, Policy{Keep: keep})
				e := take(t, s, waiting(t, nil, "setarch", "-R", program, c.way))
				t.Logf("%s: core of %d, memory %d, file %d, waited %.1f ms, unreadable %d, masked %d, %s", e.Kept, e.CoreBytes, e.Saved, e.Bytes, e.WaitedMS, e.Unreadable, e.MaskedAt, e.Why)
				if e.Kept != keep {
					t.Fatalf("kept %s: %s", e.Kept, e.Why)
				}
				if c.way == "deep" && keep == Stacks {
					// The middle of the stack is not kept: its two ends are.
					core := open(t, unpack(t, s, e))
					m := core.MappingAt((core.Threads[0].SP + 4096 + 256) &^ 4095)
					if m == nil || !m.Saved {
						t.Errorf("the top of an overflown stack is not kept: %+v, sp %#x", m, core.Threads[0].SP)
					}
					c.say = c.say[:1]
				}
				said := gdbSays(t, program, unpack(t, s, e), append([]string{"set print frame-arguments none", "set print entry-values no"}, c.say...)...)
				got := framesOf(said)[1:] // but the one that gdb begins with, in words of its own
				if keep == Full {
					want = got
					if !strings.Contains(said, c.want) {
						t.Fatalf("gdb does not see %q: %s", c.want, said)
					}
					continue
				}
				if c.way == "deep" {
					want = want[:min(len(want), len(got))]
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("other frames than in the whole core (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// Secrets of the environment, of arguments and of the program's own variables are not in a masked core.
func TestMasksInStacks(t *testing.T) {
	program := build(t, edgesC, "edges.c", "cc", "-g", "-O1", "-pthread", "-o", "OUT", "SRC")
	secrets := []string{"fromtheenvironment", "fromtheargument", "0123456789abcdef"}
	for _, unmasked := range []bool{false, true} {
		s := storeFor(t, Bounds{}, Policy{Keep: Stacks, Unmasked: unmasked})
		e := take(t, s, waiting(t, []string{"HARMLESS=fromtheenvironment"}, program, "plain", "--password", "fromtheargument"))
		if e.Kept != Stacks || e.Masked == unmasked {
			t.Fatalf("kept %s, masked %v: %s", e.Kept, e.Masked, e.Why)
		}
		b, err := os.ReadFile(unpack(t, s, e))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if i := bytes.Index(b, []byte(secret)); i >= 0 != unmasked {
				t.Errorf("unmasked %v: %q is at %d: %q", unmasked, secret, i, b[max(0, i-100):i+30])
			}
		}
		if !bytes.Contains(b, []byte("HARMLESS=")) {
			t.Error("the environment's names are gone")
		}
		entry, err := os.ReadFile(s.Dir() + "/" + e.ID + entrySuffix)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if bytes.Contains(entry, []byte(secret)) {
				t.Errorf("the entry has %q", secret)
			}
		}
		if e.Signal != evidence.SIGSEGV || !strings.Contains(strings.Join(e.Command, " "), "--password ***") {
			t.Errorf("the entry: %v, %q", e.Signal, e.Command)
		}
	}
}

// What a stream begins with is believed nothing that it has no room for.
func FuzzDumpHead(f *testing.F) {
	h := &dumpHead{}
	copy(h.header[:], "\x7fELF\x02\x01\x01")
	h.header[16], h.header[18], h.header[32], h.header[54] = 4, 62, headerSize, segmentSize
	note := append([]byte("\x05\x00\x00\x00\x50\x01\x00\x00\x01\x00\x00\x00CORE\x00\x00\x00\x00"), make([]byte, 0x150)...)
	h.notes = note
	var b bytes.Buffer
	if err := writeCore(&b, h, nil); err != nil {
		f.Fatal(err)
	}
	if got, err := readHead(bytes.NewReader(b.Bytes())); err != nil || len(got.threads) != 1 {
		f.Fatalf("the seed is no core: %v", err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:100])
	f.Fuzz(func(_ *testing.T, b []byte) {
		h, err := readHead(bytes.NewReader(b))
		if err != nil {
			return
		}
		maskNotes(h.notes)
		smallSegments(h.loads, []piece{{0x1000, make([]byte, 100)}}, false)
	})
}

// Of a process that the kernel did not wait for there is only its core.
func TestStacksOfTheGone(t *testing.T) {
	program := build(t, edgesC, "edges.c", "cc", "-g", "-O1", "-pthread", "-o", "OUT", "SRC")
	s := storeFor(t, Bounds{}, Policy{Keep: Stacks})
	d := waiting(t, nil, program, "plain")
	d.Proc = t.TempDir()
	e := take(t, s, d)
	if e.Kept != Stacks || len(e.Process.Missing) == 0 {
		t.Fatalf("kept %s: %s; missing %q", e.Kept, e.Why, e.Process.Missing)
	}
	said := gdbSays(t, program, unpack(t, s, e), "bt")
	if !strings.Contains(said, "touch (") || !strings.Contains(said, "main (") {
		t.Errorf("gdb says %s", said)
	}
}

// leftC is a program whose first thread ends, and another one dies later.
const leftC = `
#include <pthread.h>
#include <unistd.h>
static pthread_t first;
__attribute__((noinline)) static void touch(void) { *(volatile int *volatile)8 = 1; __asm__(""); }
static void *other(void *x) { pthread_join(first, 0); usleep(50000); touch(); return x; }
int main(void) { pthread_t t; first = pthread_self(); pthread_create(&t, 0, other, 0); pthread_exit(0); }
`

// A process whose first thread has ended shows a zombie under its own number, and its memory under the others'.
func TestStacksOfThreadsThatOutliveTheFirst(t *testing.T) {
	program := build(t, leftC, "left.c", "cc", "-g", "-O1", "-pthread", "-o", "OUT", "SRC")
	s := storeFor(t, Bounds{}, Policy{Keep: Stacks})
	e := take(t, s, waiting(t, nil, program))
	if e.Kept != Stacks || e.Process.Exe != program || len(e.Process.Mappings) == 0 || len(e.Command) != 1 {
		t.Fatalf("kept %s: %s; of %q %q; missing %q", e.Kept, e.Why, e.Process.Exe, e.Command, e.Process.Missing)
	}
	if said := gdbSays(t, program, unpack(t, s, e), "bt"); !strings.Contains(said, "touch (") || !strings.Contains(said, "other (") {
		t.Errorf("gdb says %s", said)
	}
}

// deafC overflows its stack with a handler of faults that has no stack of its own to run on.
const deafC = `
#include <signal.h>
static void handler(int s) {}
__attribute__((noinline)) static int dive(int n) { volatile char room[512]; room[0] = n; return dive(n + 1) + room[0]; }
int main(int argc, char **argv) { signal(SIGSEGV, handler); return dive(argc); }
`

// The kernel ends a process whose handler has no room with a signal of its own, without an address.
func TestStacksWithoutRoomForASignal(t *testing.T) {
	program := build(t, deafC, "deaf.c", "cc", "-g", "-O0", "-o", "OUT", "SRC")
	s := storeFor(t, Bounds{}, Policy{Keep: Stacks})
	e := take(t, s, waiting(t, nil, program))
	res := symbol.New(symbol.Options{})
	defer res.Close()
	sum, err := s.Summary(e, SummaryOptions{Resolver: res})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Fault != evidence.CoreStack || !strings.Contains(sum.Meaning, "no room") {
		t.Errorf("%s: %s", sum.Fault, sum.Meaning)
	}
}
