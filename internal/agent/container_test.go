package agent

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/descry-dev/descry/internal/run"
)

// Who sends a signal from another container is told with it; who is in the same, or in none, is not.
func TestForeignContainer(t *testing.T) {
	leaf, why := run.NewLeaf()
	if leaf == nil {
		t.Fatalf("no cgroup can be made here: %s", why)
	}
	base := filepath.Dir(leaf.Path)
	leaf.Close()
	id := strings.Repeat("0123456789abcdef", 4)
	dir := filepath.Join(base, "docker-"+id+".scope")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	group, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	start := func(attr *syscall.SysProcAttr) int32 {
		cmd := exec.Command("sleep", "60")
		cmd.SysProcAttr = attr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		return int32(cmd.Process.Pid)
	}
	inside := start(&syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())})
	beside := start(&syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())})
	outside := start(nil)
	for _, c := range []struct {
		what            string
		subject, sender int32
		want            string
	}{
		{"the subject outside, the sender in one", outside, inside, id},
		{"both in one", beside, inside, ""},
		{"the sender in none", inside, outside, ""},
		{"the sender is gone", outside, 1 << 22, ""},
	} {
		if got := (&flight{pid: c.subject}).foreignContainer(c.sender); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
