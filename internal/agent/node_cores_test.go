package agent

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/coredump"
	"github.com/descry-dev/descry/internal/run"
	"github.com/descry-dev/descry/test/exclusive"
)

// crash starts a shell that waits, puts it into a cgroup if there is one, and lets it die.
func crash(t *testing.T, group, dir string) (pid int32) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "ulimit -c unlimited; read x; kill -SEGV $$")
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	pid = int32(cmd.Process.Pid)
	if group != "" {
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(int(pid))), 0); err != nil {
			cmd.Process.Kill()
			t.Skip("needs cgroups that processes may be put into: ", err)
		}
	}
	in.Write([]byte("go\n"))
	return pid
}

// A core is of the container that its process was in, whatever else dies; what is in none gets what it got before.
func TestNodeCores(t *testing.T) {
	leaf, why := run.NewLeaf()
	if leaf == nil {
		t.Skip("needs a cgroup: ", why)
	}
	defer leaf.Close()
	pattern := exclusive.CorePattern(t)
	before := pattern()
	name := []byte(filepath.Base(leaf.Path))
	dir, elsewhere := t.TempDir(), t.TempDir()
	var said []string
	c, err := openNodeCores(dir, "", coredump.Stacks, func(_ int, groups []byte) bool { return bytes.Contains(groups, name) },
		func(format string, args ...any) { said = append(said, format) })
	if err != nil {
		t.Fatal(err)
	}
	if pattern() == before {
		t.Error("core_pattern is as before")
	}
	mine, other := crash(t, leaf.Path, elsewhere), crash(t, "", elsewhere)
	died := time.Now()
	for _, pid := range []int32{mine, other} {
		if err := c.await(pid, 20*time.Second); err != nil {
			t.Error(err)
		}
	}
	core := c.core(mine, died, "")
	if core == nil || !core.Saved || core.Threads == 0 {
		t.Fatalf("its core: %+v, said %q", core, said)
	}
	if st, err := os.Stat(core.File); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v", core.File, err)
	}
	if c.core(other, died, "") != nil {
		t.Error("the core of a process in no container was taken")
	}
	if c.core(mine, died.Add(time.Hour), "") != nil {
		t.Error("the core of an earlier process with that number")
	}
	if list, err := c.store.List(); err != nil || len(list) != 1 || list[0].PID != mine {
		t.Errorf("kept %+v: %v", list, err)
	}
	if before == "core" { // the one that is usual without any handler
		if all, _ := filepath.Glob(filepath.Join(elsewhere, "core*")); len(all) != 1 {
			t.Errorf("%q stand where the other one died", all)
		}
	}
	c.end()
	if now := pattern(); now != before {
		t.Errorf("core_pattern is %q then, and was %q", now, before)
	}
}

// A death waits for its own dump, not for others'.
func TestNodeCoresAwait(t *testing.T) {
	c := new(nodeCores)
	c.begun(7)
	c.begun(8)
	if c.await(9, time.Hour) != nil {
		t.Error("one without a dump is waited for")
	}
	if c.await(7, time.Nanosecond) == nil {
		t.Error("its own dump is not waited for")
	}
	over := make(chan error, 1)
	go func() { over <- c.await(7, time.Hour) }()
	c.taken(&coredump.Kept{PID: 8})
	c.taken(&coredump.Kept{PID: 7})
	if err := <-over; err != nil {
		t.Error(err)
	}
	for range 2 * coresKnown {
		c.begun(1)
		c.taken(&coredump.Kept{PID: 1})
	}
	if len(c.kept) > coresKnown || len(c.coming) != 0 {
		t.Errorf("%d and %d are remembered", len(c.kept), len(c.coming))
	}
}
