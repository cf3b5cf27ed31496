package guest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/probe"
)

// watched is what the probes told of one child.
type watched struct {
	pid int
	all []*evidence.Observation
	end syscall.WaitStatus
}

// watch runs a child under the probes in one of their ways.
func watch(t *testing.T, way probe.Way, name string, attr *syscall.SysProcAttr) *watched {
	t.Helper()
	s, err := probe.Open(probe.Config{Way: way})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := &watched{}
	exited, ran := make(chan struct{}), make(chan error, 1)
	go func() {
		seen := false
		ran <- s.Run(func(o *evidence.Observation) {
			w.all = append(w.all, o)
			if o.Kind() == evidence.KindExit && int(o.PID) == w.pid && !seen {
				seen = true
				close(exited)
			}
		})
	}()
	cmd := child("wait " + name)
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.pid = cmd.Process.Pid
	if err := s.Track(w.pid); err != nil {
		t.Fatal(err)
	}
	in.Close()
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	w.end = cmd.ProcessState.Sys().(syscall.WaitStatus)
	select {
	case <-exited:
	case <-time.After(30 * time.Second):
		t.Error("the child's exit was not told")
	}
	if !s.Flush(30 * time.Second) {
		t.Error("the events were not read to their end")
	}
	s.Close()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, o := range w.all {
				t.Logf("%d %s %+v", o.PID, o.Kind(), o.Detail)
			}
			for _, st := range s.Status() {
				t.Logf("%s by %q %s", st.Name, st.By, st.Missing)
			}
		}
	})
	return w
}

// details are those of one kind of the child itself.
func details[D evidence.Detail](w *watched) []D {
	var all []D
	for _, o := range w.all {
		if d, ok := o.Detail.(D); ok && int(o.PID) == w.pid {
			all = append(all, d)
		}
	}
	return all
}

// sysctl sets a limit of the machine until the test ends.
func sysctl(t *testing.T, name, value string) {
	t.Helper()
	path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(path, old, 0o644); err != nil {
			t.Errorf("put %s back: %v", name, err)
		}
	})
}

// bothWays runs a test in each way of watching system calls that the kernel has.
func bothWays(t *testing.T, test func(t *testing.T, way probe.Way)) {
	for _, way := range []probe.Way{probe.SysExit, probe.Functions} {
		t.Run(way.String(), func(t *testing.T) {
			if way == probe.Functions {
				needTrampolines(t)
			}
			test(t, way)
		})
	}
}

// fewFiles leaves the machine 300 more open files.
func fewFiles(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/fs/file-nr")
	if err != nil {
		t.Fatal(err)
	}
	var open int
	if _, err := fmt.Sscan(string(b), &open); err != nil {
		t.Fatal(err)
	}
	sysctl(t, "fs.file-max", fmt.Sprint(open+300))
}

// The machine has no open file left to give: ENFILE.
func TestSystemFileLimit(t *testing.T) {
	needMachine(t)
	bothWays(t, func(t *testing.T, way probe.Way) {
		fewFiles(t)
		w := watch(t, way, "files", nil)
		if w.end.ExitStatus() != 23 {
			t.Fatalf("the child should have been refused files: exit code %d", w.end.ExitStatus())
		}
		refused := details[*evidence.FDRefused](w)
		if len(refused) == 0 {
			t.Fatal("no refusal was told")
		}
		for i, r := range refused {
			if r.Errno != evidence.Errno(unix.ENFILE) || r.Call != "openat" || r.Path != "/dev/null" || r.Count != int64(i+1) {
				t.Errorf("refusal %d: %+v", i, r)
			}
		}
		if exit := details[*evidence.Exit](w); len(exit) != 1 || exit[0].RefusedFDs != 5 {
			t.Errorf("exit: %+v, want 5 refusals", exit)
		}
	})
}

// A user has used up its inotify instances and watches while descriptors are free.
func TestInotifyLimits(t *testing.T) {
	needMachine(t)
	bothWays(t, func(t *testing.T, way probe.Way) {
		sysctl(t, "fs.inotify.max_user_instances", "3")
		sysctl(t, "fs.inotify.max_user_watches", "5")
		w := watch(t, way, "inotify", nil)
		if w.end.ExitStatus() != 28 {
			t.Fatalf("the child should have been refused a watch: exit code %d", w.end.ExitStatus())
		}
		refused := details[*evidence.InotifyRefused](w)
		want := []struct {
			call  string
			errno unix.Errno
		}{{"inotify_init1", unix.EMFILE}, {"inotify_add_watch", unix.ENOSPC}}
		if len(refused) != len(want) {
			t.Fatalf("%d refusals were told, want %d", len(refused), len(want))
		}
		for i, r := range refused {
			if r.Call != want[i].call || r.Errno != evidence.Errno(want[i].errno) || r.Count != 1 {
				t.Errorf("refusal %d: %+v, want %+v", i, r, want[i])
			}
			if r.Open == 0 || r.Open >= r.SoftLimit {
				t.Errorf("refusal %d: %d descriptors of %d: none was missing", i, r.Open, r.SoftLimit)
			}
		}
		if fd := details[*evidence.FDRefused](w); len(fd) != 0 {
			t.Errorf("taken for a refused descriptor: %+v", fd[0])
		}
	})
}
