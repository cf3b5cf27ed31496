package coredump

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sittersC = `
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int ready;
static void *sit(void *p) { __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST); for (;;) sleep(100); return p; }
struct order { int id; const char *name; };
__attribute__((noinline)) static int inner(struct order *o, volatile char *p) { char text[64]; strcpy(text, o->name); p[0] = text[0]; return p[0] + text[1]; }
__attribute__((noinline)) static int middle(struct order *o, int n) { return n ? middle(o, n - 1) + 1 : inner(o, 0) + 2; }
int main(int argc, char **argv) {
	int n = argc > 1 ? atoi(argv[1]) : 0;
	size_t big = argc > 2 ? (size_t)atoi(argv[2]) << 20 : 0;
	char *b = big ? malloc(big) : 0;
	for (size_t i = 0; i < big; i += 8) *(size_t *)(b + i) = i * 2654435761u;
	for (int i = 0; i < n; i++) { pthread_t t; pthread_create(&t, 0, sit, 0); }
	while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) < n) usleep(1000);
	struct order *o = malloc(sizeof *o);
	o->id = 4711; o->name = strdup("an order");
	return middle(o, 5) + 3;
}
`

// unpack writes the core of e to a file as zstd would.
func unpack(t testing.TB, s *Store, e *Entry) string {
	t.Helper()
	r, size, closer, err := s.OpenCore(e)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	path := filepath.Join(t.TempDir(), "core")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := io.Copy(f, io.NewSectionReader(r, 0, size)); err != nil || n != e.CoreBytes {
		t.Fatalf("%d of %d bytes: %v", n, e.CoreBytes, err)
	}
	return path
}

// gdbSays runs commands on a core.
func gdbSays(t testing.TB, program, core string, commands ...string) string {
	t.Helper()
	if _, err := exec.LookPath("gdb"); err != nil {
		t.Skip("gdb is not installed")
	}
	args := []string{"-nx", "-batch", "-iex", "set debuginfod enabled off"}
	for _, c := range commands {
		args = append(args, "-ex", c)
	}
	out, err := exec.Command("gdb", append(args, program, core)...).CombinedOutput()
	if err != nil {
		t.Fatalf("gdb: %v\n%s", err, out)
	}
	return string(out)
}

// framesOf keeps of gdb's words the threads and the frames.
func framesOf(s string) (list []string) {
	for line := range strings.Lines(s) {
		if regexp.MustCompile(`^(#\d+ |Thread \d+)`).MatchString(line) {
			line = regexp.MustCompile(`^Thread.*`).ReplaceAllString(line, "Thread") // their order changes
			list = append(list, strings.TrimSpace(line))
		}
	}
	return list
}

func storeFor(t testing.TB, b Bounds, p Policy) *Store {
	t.Helper()
	s, err := NewStore(filepath.Join(t.TempDir(), "cores"), b, p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func take(t testing.TB, s *Store, d *Dump) *Entry {
	t.Helper()
	e, err := s.Take(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// gdb must see in stacks what it sees in the whole core, with masks and without.
func TestStacksAgainstFull(t *testing.T) {
	program := build(t, sittersC, "threads.c", "cc", "-g", "-O1", "-pthread", "-o", "OUT", "SRC")
	var want []string
	for _, p := range []Policy{{Keep: Full}, {Keep: Stacks}, {Keep: Stacks, Unmasked: true}} {
		s := storeFor(t, Bounds{}, p)
		d := waiting(t, nil, "setarch", "-R", program, "8", "64")
		e := take(t, s, d)
		t.Logf("%s: %d bytes kept, core of %d, memory %d, waited %.1f ms, masked %d, %s", e.Kept, e.Bytes, e.CoreBytes, e.Saved, e.WaitedMS, e.MaskedAt, e.Why)
		if e.Kept != p.Keep || e.Why != "" {
			t.Fatalf("%s: kept %s: %s", p.Keep, e.Kept, e.Why)
		}
		if p.Keep == Stacks && e.CoreBytes > 4<<20 {
			t.Errorf("stacks of %d bytes", e.CoreBytes)
		}
		core := unpack(t, s, e)
		said := gdbSays(t, program, core, "set print frame-arguments none", "thread apply all bt", "info sharedlibrary", "frame 2", "p *o")
		got := framesOf(said)
		if !strings.Contains(said, "an order") {
			t.Errorf("%s: what the dying thread pointed to is not kept:\n%s", p.Keep, said)
		}
		if want == nil {
			if want = got; len(want) < 9*3 {
				t.Fatalf("gdb sees %d frames: %s", len(want), said)
			}
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, unmasked %v: other frames than in the whole core (-want +got):\n%s", p.Keep, p.Unmasked, diff)
		}
	}
}
