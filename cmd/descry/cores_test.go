package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/coredump"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/test/exclusive"
)

func TestRunCores(t *testing.T) {
	for _, depth := range []string{"", "=stacks", "=full", "=none"} {
		t.Run("cores"+depth, func(t *testing.T) {
			pattern := exclusive.CorePattern(t)
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
	pattern := exclusive.CorePattern(t)
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
	pattern := exclusive.CorePattern(t)
	before := pattern()
	w := start(t, "--", "cat", "/proc/sys/kernel/core_pattern")
	w.line(before)
	w.end()
}
