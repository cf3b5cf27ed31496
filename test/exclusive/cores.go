// Package exclusive lets tests change what is the whole machine's, one at a time, and sees that it is put back.
package exclusive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/coredump"
)

// CorePattern gives the test core_pattern, which is the whole machine's: others that keep to the same
// lock leave it alone meanwhile. In the end it must be as before.
func CorePattern(t *testing.T) (pattern func() string) {
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
