//go:build linux

package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["hog"] = func([]string) {
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			keep = append(keep, b)
		}
	}
}

// memoryGroup makes a cgroup that allows so many bytes, of either version.
func memoryGroup(t *testing.T, bytes int) (join func(pid int)) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	must(err)
	for _, line := range strings.Split(string(mounts), "\n") {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		at, file := f[1], ""
		switch {
		case f[2] == "cgroup" && strings.Contains(","+f[3]+",", ",memory,"):
			file = "memory.limit_in_bytes"
		case f[2] == "cgroup2":
			has, _ := os.ReadFile(at + "/cgroup.controllers")
			if !strings.Contains(string(has), "memory") {
				continue
			}
			control := at + "/cgroup.subtree_control"
			if on, _ := os.ReadFile(control); !strings.Contains(string(on), "memory") {
				if err := os.WriteFile(control, []byte("+memory"), 0o644); err != nil {
					continue
				}
				t.Cleanup(func() { must(os.WriteFile(control, []byte("-memory"), 0o644)) })
			}
			file = "memory.max"
		default:
			continue
		}
		dir := filepath.Join(at, fmt.Sprintf("descry-test-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skip("needs a cgroup of its own: ", err)
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		})
		if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(bytes)), 0o644); err != nil {
			t.Skip("needs a memory limit: ", err)
		}
		_ = os.WriteFile(filepath.Join(dir, "memory.swap.max"), []byte("0"), 0o644)
		return func(pid int) {
			must(os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644))
		}
	}
	t.Skip("needs the memory controller of cgroups")
	return nil
}

func TestVictimOfMemory(t *testing.T) {
	join := memoryGroup(t, 48<<20)
	w := open(t, Config{})
	w.need("probe/oom")
	k := command(t, "hog")
	k.before = join
	w.run(k)
	k.end()
	w.flushed()
	o := w.await("victim", kind(evidence.KindOOM))
	d := o.Detail.(*evidence.OOM)
	if int(o.PID) != k.pid || d.RSSBytes != 0 && (d.RSSBytes < 8<<20 || d.RSSBytes > 128<<20) {
		t.Errorf("%+v: %+v", o, d)
	}
	if !d.GlobalKnown || d.Global || d.Max != 48<<20 || d.Used < 40<<20 || d.Used > 49<<20 || d.Above != 0 || !strings.HasSuffix(d.Cgroup, fmt.Sprintf("descry-test-%d", os.Getpid())) {
		t.Errorf("whose limit: %+v", d)
	}
	if w.Counters()[evidence.CountOOM] != 1 {
		t.Errorf("counters %v", w.Counters())
	}
	sent := w.await("signal", isSent(k.pid)).Detail.(*evidence.SignalSent)
	if sent.Signal != evidence.SIGKILL || sent.Sender != 0 || sent.Code != 0x80 {
		t.Errorf("sent: %+v", sent)
	}
	fatal := w.await("fatal signal", isFatal(k.pid)).Detail.(*evidence.SignalFatal)
	if fatal.Signal != evidence.SIGKILL || fatal.Sender != 0 || fatal.Self {
		t.Errorf("fatal: %+v", fatal)
	}
	if _, e := w.exitOf(k.pid); e.Signal != evidence.SIGKILL || e.FDs == nil || e.EnderTID != 0 {
		t.Errorf("exit: %+v", e)
	}
}
