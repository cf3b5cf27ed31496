package guest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/probe"
)

// leaf makes a cgroup for a test and returns its directory.
func leaf(t *testing.T, name string) *os.File {
	t.Helper()
	path := filepath.Join("/sys/fs/cgroup", name)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dir.Close()
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// oomScore says how ready the kernel is to kill this process for memory, until the test ends.
func oomScore(t *testing.T, score string) {
	t.Helper()
	const path = "/proc/self/oom_score_adj"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(score), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(path, old, 0); err != nil {
			t.Errorf("put %s back: %v", path, err)
		}
	})
}

// A cgroup is at its memory limit, then the machine has no memory left.
func TestOutOfMemory(t *testing.T) {
	needMachine(t)
	for _, c := range []struct {
		name  string
		limit bool
	}{{"cgroup", true}, {"machine", false}} {
		t.Run(c.name, func(t *testing.T) {
			attr := &syscall.SysProcAttr{}
			if c.limit {
				dir := leaf(t, "guest-memory")
				if err := os.WriteFile(filepath.Join(dir.Name(), "memory.max"), []byte("48M"), 0o644); err != nil {
					t.Fatal(err)
				}
				attr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
			}
			// The kernel may take a second one before the first has given its memory back: not this one.
			oomScore(t, "-1000")
			for range 4 {
				spare(t)
			}
			w := watch(t, probe.Auto, "memory", attr)
			if !w.end.Signaled() || w.end.Signal() != unix.SIGKILL {
				t.Fatalf("the child should have been killed for its memory: %v", w.end)
			}
			victim := details[*evidence.OOM](w)
			if len(victim) != 1 {
				t.Fatalf("%d OOM victims were told, want 1", len(victim))
			}
			if victim[0].GlobalKnown && victim[0].Global == c.limit {
				t.Errorf("%+v, but the limit was the cgroup's: %v", victim[0], c.limit)
			}
			if exit := details[*evidence.Exit](w); len(exit) != 1 || exit[0].Signal != evidence.Signal(unix.SIGKILL) {
				t.Errorf("exit: %+v", exit)
			}
		})
	}
}
