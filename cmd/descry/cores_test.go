package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/coredump"
	"github.com/descry-dev/descry/internal/evidence"
)

// machinesCores gives the test core_pattern, which is the whole machine's: others that keep to the same
// lock leave it alone meanwhile. In the end it must be as before.
func machinesCores(t *testing.T) (pattern func() string) {
	t.Helper()
	if in := coredump.Inspect(""); in.CanNot != nil {
		t.Skip(in.CanNot)
	}
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "descry-core-pattern.lock"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		b, err := os.ReadFile("/proc/sys/kernel/" + name)
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(string(b))
	}
	before := [2]string{read("core_pattern"), read("core_pipe_limit")}
	t.Cleanup(func() {
		defer lock.Close() // gives up the lock
		if now := [2]string{read("core_pattern"), read("core_pipe_limit")}; now != before {
			t.Errorf("core_pattern and core_pipe_limit are %q and were %q", now, before)
			coredump.Uninstall("")
			os.WriteFile("/proc/sys/kernel/core_pattern", []byte(before[0]), 0)
			os.WriteFile("/proc/sys/kernel/core_pipe_limit", []byte(before[1]), 0)
		}
	})
	return func() string { return read("core_pattern") }
}

func TestRunCores(t *testing.T) {
	for _, depth := range []string{"", "=stacks", "=full", "=none"} {
		t.Run("cores"+depth, func(t *testing.T) {
			pattern := machinesCores(t)
			before := pattern()
			dir := t.TempDir()
			file := filepath.Join(dir, "case.json")
			// A child of the program dies as well.
			w := start(t, "--cores"+depth, "--core-dir", filepath.Join(dir, "cores"), "--report", file, "--",
				"sh", "-c", `cat /proc/sys/kernel/core_pattern; sh -c 'kill -ABRT $$'; kill -SEGV $$`)
			line, err := w.out.ReadString('\n')
			if err != nil || !strings.Contains(line, coredump.DefaultDir) {
				t.Errorf("core_pattern is %q for the program: %v\n%s", line, err, &w.stderr)
			}
			if code := w.end(); code != 139 {
				t.Errorf("exit code %d\n%s", code, &w.stderr)
			}
			if now := pattern(); now != before {
				t.Errorf("core_pattern is %q then, and was %q", now, before)
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			c, err := evidence.ReadCase(f)
			if err != nil {
				t.Fatal(err)
			}
			if c.Core == nil || c.Core.Saved != (depth != "=none") {
				t.Fatalf("the case has %+v of a core\n%s", c.Core, &w.stderr)
			}
			if depth != "=none" {
				if st, err := os.Stat(c.Core.File); err != nil || st.Size() != c.Core.Bytes || st.Mode().Perm() != 0o600 {
					t.Errorf("the core %s: %v", c.Core.File, err)
				}
			}
			store, err := coredump.NewStore(filepath.Join(dir, "cores"), coredump.Bounds{}, coredump.Policy{})
			if err != nil {
				t.Fatal(err)
			}
			list, err := store.List()
			if err != nil || len(list) != 2 || list[0].PID != c.Death.PID || list[0].Signal != 11 || list[1].Signal != 6 {
				t.Errorf("kept %+v: %v", list, err)
			}
		})
	}
}

// What kills descry does not leave core_pattern behind.
func TestRunCoresKilled(t *testing.T) {
	pattern := machinesCores(t)
	before := pattern()
	dir := t.TempDir()
	w := start(t, "--cores", "--core-dir", filepath.Join(dir, "cores"), "--", "sh", "-c", `echo ready; read x`)
	w.line("ready")
	if now := pattern(); now == before {
		t.Errorf("core_pattern is %q while it runs\n%s", now, &w.stderr)
	}
	w.Process.Kill()
	for end := time.Now().Add(patience); pattern() != before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("core_pattern is %q, and was %q", pattern(), before)
		}
	}
	w.in.Close()
	w.Wait()
}

// Without --cores nothing of the machine changes.
func TestRunWithoutCores(t *testing.T) {
	pattern := machinesCores(t)
	before := pattern()
	w := start(t, "--", "cat", "/proc/sys/kernel/core_pattern")
	w.line(before)
	w.end()
}
