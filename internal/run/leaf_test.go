package run

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLeaf(t *testing.T) {
	leaf, reason := NewLeaf()
	if leaf == nil {
		t.Skip("needs a cgroup2 of its own: ", reason)
	}
	defer leaf.Close()
	var st unix.Stat_t
	if err := unix.Stat(leaf.Path, &st); err != nil || st.Ino != leaf.ID {
		t.Fatal(st.Ino, leaf.ID, err)
	}
	c, r := prepare(t, Config{Args: []string{"cat", "/proc/self/cgroup"}, Leaf: leaf})
	procs, err := os.ReadFile(leaf.Path + "/cgroup.procs")
	if err != nil || string(procs) != fmt.Sprintln(c.PID()) {
		t.Errorf("in the leaf: %q, %v", procs, err)
	}
	if err := c.Go(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, _ := r.Read(b)
	if res := c.Wait(); !strings.Contains(string(b[:n]), "/"+filepath.Base(leaf.Path)+"\n") || res.ExitCode != 0 {
		t.Errorf("%q", b[:n])
	}
	leaf.Close()
	if exists(leaf.Path) {
		t.Error("it was not removed")
	}
}

// A leaf that a killed watcher left is removed by the next, one with processes in it is not.
func TestLeafStale(t *testing.T) {
	leaf, reason := NewLeaf()
	if leaf == nil {
		t.Skip("needs a cgroup2 of its own: ", reason)
	}
	defer leaf.Close()
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	name := func(random string) string {
		return filepath.Join(filepath.Dir(leaf.Path), fmt.Sprintf("%s%d-%s", leafPrefix, dead.Process.Pid, random))
	}
	stale, busy, fresh := name("00000001"), name("00000002"), name("00000003")
	for _, d := range []string{stale, busy, fresh} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		defer unix.Rmdir(d)
	}
	old := time.Now().Add(-time.Hour)
	for _, d := range []string{stale, busy} {
		if err := os.Chtimes(d, old, old); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.Open(busy)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cat := exec.Command("cat")
	in, err := cat.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cat.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	next, reason := NewLeaf()
	if next == nil {
		t.Fatal(reason)
	}
	next.Close()
	if exists(stale) || !exists(busy) || !exists(fresh) || !exists(leaf.Path) {
		t.Error(exists(stale), exists(busy), exists(fresh), exists(leaf.Path))
	}
	in.Close()
	cat.Wait()
}

func TestOwnCgroup(t *testing.T) {
	for name, c := range map[string]struct{ cgroup, mounts, want string }{
		"unified":     {"0::/user.slice/a b.scope\n", "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/user.slice/a b.scope"},
		"hybrid":      {"9:memory:/x\n0::/y\n", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/unified/y"},
		"namespace":   {"0::/\n", "31 23 0:28 / /sys/fs/cgroup ro shared:9 - cgroup2 cgroup rw\n", "/sys/fs/cgroup"},
		"part":        {"0::/kube/pod/c\n", "31 23 0:28 /kube/pod /my\\040cg rw - cgroup2 cgroup rw\n", "/my cg/c"},
		"not below":   {"0::/other\n", "31 23 0:28 /kube /cg rw - cgroup2 cgroup rw\n", ""},
		"near":        {"0::/kubelet\n", "31 23 0:28 /kube /cg rw - cgroup2 cgroup rw\n", ""},
		"outside":     {"0::/../x\n", "31 23 0:28 / /cg rw - cgroup2 cgroup rw\n", ""},
		"only v1":     {"9:memory:/x\n", "32 31 0:29 / /cg rw - cgroup cgroup rw,cpu\n", ""},
		"not mounted": {"0::/\n", "", ""},
	} {
		dir := t.TempDir()
		for f, text := range map[string]string{"cgroup": c.cgroup, "mountinfo": c.mounts} {
			if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := ownCgroup(dir); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// Limits of the own cgroup would not be found by a program that looks in its very own.
func TestLeafNotBelowLimits(t *testing.T) {
	dir := t.TempDir()
	os.MkdirAll(dir+"/cg", 0o755)
	for f, text := range map[string]string{
		"cgroup": "0::/cg\n", "mountinfo": "31 23 0:28 / " + dir + " rw - cgroup2 cgroup rw\n", "cg/memory.max": "max\n", "cg/cpu.max": "50000 100000\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if leaf, err := newLeaf(dir); leaf != nil || err == nil || !strings.Contains(err.Error(), "cpu.max is 50000 100000") {
		t.Error(leaf, err)
	}
}
