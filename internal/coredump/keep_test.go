package coredump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/oklog/ulid/v2"
)

func sitters(t testing.TB) string {
	return build(t, sittersC, "threads.c", "cc", "-g", "-O1", "-pthread", "-o", "OUT", "SRC")
}

// names are the files of a folder, but for the lock.
func names(t testing.TB, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != lockName {
			list = append(list, e.Name())
		}
	}
	return list
}

// onlyStacks asserts that e is a whole core of stacks, says why, and that nothing else was left.
func onlyStacks(t *testing.T, s *Store, e *Entry, why string) {
	t.Helper()
	if e.Kept != Stacks || !strings.Contains(e.Why, why) {
		t.Errorf("kept %s: %q; want stacks and a word of %q", e.Kept, e.Why, why)
	}
	if list := names(t, s.Dir()); len(list) != 2 {
		t.Errorf("left in the folder: %q", list)
	}
	core := open(t, unpack(t, s, e))
	if len(core.Threads) != 4 || core.Signal != evidence.SIGSEGV || len(core.Damage) > 0 {
		t.Errorf("%d threads, %v, %q", len(core.Threads), core.Signal, core.Damage)
	}
	p := make([]byte, 8)
	for _, thread := range core.Threads {
		if core.Memory(thread.SP, p) != len(p) {
			t.Errorf("the stack of thread %d is not there", thread.TID)
		}
	}
}

// A stalling or ending reader stands for a kernel, or a disk behind it, that does so.
type interrupted struct {
	io.ReadCloser
	left   int
	stall  bool
	closed chan struct{}
	once   sync.Once
}

func (r *interrupted) Read(p []byte) (int, error) {
	if r.left <= 0 {
		if r.stall {
			<-r.closed
			return 0, os.ErrClosed
		}
		return 0, io.EOF
	}
	n, err := r.ReadCloser.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

func (r *interrupted) Close() error {
	r.once.Do(func() { close(r.closed) })
	return r.ReadCloser.Close()
}

func TestFullFallsBackToStacks(t *testing.T) {
	program := sitters(t)
	for _, c := range []struct {
		name   string
		bounds Bounds
		wait   time.Duration
		stall  bool
		why    string
	}{
		{"the kernel stalls", Bounds{}, 500 * time.Millisecond, true, "did not end within"},
		{"the dump is cut", Bounds{}, 0, false, "the kernel wrote"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := storeFor(t, c.bounds, Policy{Keep: Full, Wait: c.wait})
			d := waiting(t, nil, program, "3", "16")
			d.Core = &interrupted{ReadCloser: d.Core, left: 4 << 20, stall: c.stall, closed: make(chan struct{})}
			onlyStacks(t, s, take(t, s, d), c.why)
		})
	}
	t.Run("one core's bound", func(t *testing.T) {
		s := storeFor(t, Bounds{Core: 2 << 20}, Policy{Keep: Full})
		onlyStacks(t, s, take(t, s, waiting(t, nil, program, "3", "16")), "one core may have")
	})
	t.Run("all cores' bound", func(t *testing.T) {
		s := storeFor(t, Bounds{Bytes: 6 << 20}, Policy{Keep: Full})
		onlyStacks(t, s, take(t, s, waiting(t, nil, program, "3", "16")), "all cores may have")
	})
	t.Run("called off", func(t *testing.T) {
		s := storeFor(t, Bounds{}, Policy{Keep: Full})
		d := waiting(t, nil, program, "3", "16")
		d.Core = &interrupted{ReadCloser: d.Core, left: 4 << 20, stall: true, closed: make(chan struct{})}
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(300*time.Millisecond, func() { cancel(errors.New("descry ends")) })
		e, err := s.Take(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		onlyStacks(t, s, e, "descry ends")
	})
}

// On a disk that fills up in the middle a core ends as stacks.
func TestDiskFull(t *testing.T) {
	const disk = "DESCRY_TEST_SMALL_DISK"
	if dir := os.Getenv(disk); dir != "" {
		s, err := NewStore(filepath.Join(dir, "cores"), Bounds{DiskShare: -1}, Policy{Keep: Full})
		if err != nil {
			t.Fatal(err)
		}
		onlyStacks(t, s, take(t, s, waiting(t, nil, os.Getenv("DESCRY_TEST_PROGRAM"), "3", "64")), "no space left on device")
		return
	}
	program := sitters(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := `mount -t tmpfs -o size=12m none "$0" || exit 77; exec "$@"`
	cmd := exec.Command("unshare", "-m", "sh", "-c", script, dir, self, "-test.run", "^TestDiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), disk+"="+dir, "DESCRY_TEST_PROGRAM="+program)
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == 77 {
		t.Skipf("small disk: a tmpfs cannot be mounted: %s", out)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// fake is a dump of a process that lives, with a core that is only a stream.
func fake(t testing.TB, core io.Reader) *Dump {
	return &Dump{PID: int32(os.Getpid()), Proc: "/proc/self", Core: io.NopCloser(core), At: time.Now()}
}

// What a receiver that was killed has left is gone at the next start, and nothing of it is called a core.
func TestKilled(t *testing.T) {
	const folder = "DESCRY_TEST_KILLED"
	if dir := os.Getenv(folder); dir != "" {
		s, err := NewStore(dir, Bounds{}, Policy{Keep: Full})
		if err != nil {
			t.Fatal(err)
		}
		d := waiting(t, nil, os.Getenv("DESCRY_TEST_PROGRAM"), "0", "32")
		d.Core = &interrupted{ReadCloser: d.Core, left: 12 << 20, stall: true, closed: make(chan struct{})}
		fmt.Println("taking")
		take(t, s, d)
		return
	}
	program := sitters(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(self, "-test.run", "^TestKilled$", "-test.v")
	cmd.Env = append(os.Environ(), folder+"="+dir, "DESCRY_TEST_PROGRAM="+program)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	written := func() (n int64) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if st, err := e.Info(); err == nil && isPart(e.Name()) {
				n += st.Size()
			}
		}
		return n
	}
	for deadline := time.Now().Add(time.Minute); written() < 1<<20; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing is written: %q", names(t, dir))
		}
	}
	// Another start, while the writer lives, leaves it alone.
	if _, err := NewStore(dir, Bounds{}, Policy{}); err != nil {
		t.Fatal(err)
	}
	if n := len(names(t, dir)); n != 2 { // stacks and the whole core, neither with its name
		t.Errorf("beside a living writer: %q", names(t, dir))
	}
	cmd.Process.Kill()
	cmd.Wait()
	s, err := NewStore(dir, Bounds{}, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 || len(names(t, dir)) != 0 {
		t.Errorf("after a kill: %v, %v, files %q", list, err, names(t, dir))
	}
}

// A core whose name came before its entry is swept, one with an entry stays.
func TestSweep(t *testing.T) {
	s := storeFor(t, Bounds{}, Policy{Keep: None})
	e := take(t, s, fake(t, strings.NewReader("")))
	stray := ulid.Make().String()
	for _, name := range []string{e.ID + coreSuffix, stray + coreSuffix, "." + stray + ".full" + partSuffix, "notes.txt", ".hidden"} {
		if err := os.WriteFile(filepath.Join(s.Dir(), name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := NewStore(s.Dir(), Bounds{}, Policy{}); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(names(t, s.Dir()), " ")
	if want := strings.Join([]string{".hidden", e.ID + coreSuffix, e.ID + entrySuffix, "notes.txt"}, " "); got != want {
		t.Errorf("left %q, want %q", got, want)
	}
}

// filler gives a store with n cores of kib KiB each, one a minute, the newest a minute ago.
func filler(t *testing.T, b Bounds, n, kib int) *Store {
	t.Helper()
	all := storeFor(t, Bounds{Count: -1, Bytes: -1, DiskShare: -1, Age: -1}, Policy{Keep: None})
	for i := range n {
		d := fake(t, strings.NewReader(""))
		d.At = time.Now().Add(time.Duration(i-n) * time.Minute)
		e := take(t, all, d)
		if err := os.WriteFile(filepath.Join(all.Dir(), e.ID+coreSuffix), make([]byte, kib<<10), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := NewStore(all.Dir(), b, Policy{Keep: None})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		name   string
		bounds Bounds
		left   int // of 10 cores and one more
	}{
		{"count", Bounds{Count: 4}, 4},
		{"bytes", Bounds{Bytes: 600 << 10}, 6}, // 5 of 100 KiB with their entries, and the new entry
		{"age", Bounds{Age: 3*time.Minute + 30*time.Second}, 4},
		{"share", Bounds{DiskShare: 1e-12}, 1},
		{"none", Bounds{Count: -1, Bytes: -1, DiskShare: -1, Age: -1}, 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := filler(t, c.bounds, 10, 100)
			e := take(t, s, fake(t, strings.NewReader("")))
			list, err := s.List()
			if err != nil {
				t.Fatal(err)
			}
			if len(list) != c.left || list[0].ID != e.ID {
				t.Errorf("%d are left, the newest %s; want %d, %s", len(list), list[0].ID, c.left, e.ID)
			}
			for _, name := range names(t, s.Dir()) {
				id, _, _ := strings.Cut(name, ".")
				if _, err := s.Get(id); err != nil {
					t.Errorf("%s has no entry: %v", name, err)
				}
			}
		})
	}
}

// Several processes and goroutines keep and drop in one folder.
func TestTogether(t *testing.T) {
	const folder = "DESCRY_TEST_TOGETHER"
	if dir := os.Getenv(folder); dir != "" {
		var wg sync.WaitGroup
		for range 4 {
			s, err := NewStore(dir, Bounds{Count: 5}, Policy{Keep: None})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				wg.Go(func() {
					for range 10 {
						if _, err := s.Take(context.Background(), fake(t, strings.NewReader(""))); err != nil {
							t.Error(err)
						}
						if _, err := s.List(); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			cmd := exec.Command(self, "-test.run", "^TestTogether$")
			cmd.Env = append(os.Environ(), folder+"="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	if n := len(names(t, dir)); n != 5 {
		t.Errorf("%d are left: %q", n, names(t, dir))
	}
}
