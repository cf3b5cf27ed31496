//go:build linux

package probe

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// grounds is a scope of the test's own, in the hierarchies of the test's choice.
type grounds struct {
	t    *testing.T
	path string // as /proc/PID/cgroup has it
	dirs []hierarchy
}

// newGrounds makes a scope. Of version 1 are the hierarchies that are named; "" is version 2. It skips
// where this machine does not have one of them.
func newGrounds(t *testing.T, names ...string) *grounds {
	t.Helper()
	all, err := findHierarchies("")
	if err != nil {
		t.Fatal(err)
	}
	var r [4]byte
	rand.Read(r[:])
	g := &grounds{t: t, path: "/descry-test-" + hex.EncodeToString(r[:])}
	for _, name := range names {
		found := false
		for _, h := range all {
			if h.name == name {
				h.dir = filepath.Join(h.dir, g.path)
				g.dirs = append(g.dirs, h)
				found = true
			}
		}
		if !found {
			t.Skipf("needs the hierarchy %q of cgroups", name)
		}
	}
	for _, h := range g.dirs {
		if err := os.Mkdir(h.dir, 0o755); err != nil {
			t.Skip("needs to make cgroups: ", err)
		}
	}
	t.Cleanup(func() {
		for _, h := range g.dirs {
			_ = filepath.WalkDir(h.dir, func(dir string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					b, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
					for pid := range strings.FieldsSeq(string(b)) {
						n, _ := strconv.Atoi(pid)
						_ = unix.Kill(n, unix.SIGKILL)
					}
				}
				return nil
			})
			until := time.Now().Add(patience)
			for removeTree(h.dir) != nil && time.Now().Before(until) {
				time.Sleep(5 * time.Millisecond)
			}
		}
	})
	return g
}

// removeTree removes cgroups, the innermost first.
func removeTree(dir string) error {
	all, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	for _, d := range all {
		if d.IsDir() {
			if err := removeTree(filepath.Join(dir, d.Name())); err != nil {
				return err
			}
		}
	}
	return unix.Rmdir(dir)
}

// mkdir makes a cgroup in all hierarchies.
func (g *grounds) mkdir(path string) string {
	g.t.Helper()
	for _, h := range g.dirs {
		if err := os.MkdirAll(filepath.Join(h.dir, path), 0o755); err != nil {
			g.t.Fatal(err)
		}
	}
	g.feed(path)
	return path
}

// put puts a process into a cgroup, in one hierarchy after the other.
func (g *grounds) put(path string, pid int) {
	g.t.Helper()
	for _, h := range g.dirs {
		if err := os.WriteFile(filepath.Join(h.dir, path, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
			g.t.Fatal(err)
		}
	}
}

func (g *grounds) remove(path string) {
	g.t.Helper()
	for _, h := range g.dirs {
		until := time.Now().Add(patience)
		for {
			err := removeTree(filepath.Join(h.dir, path))
			if err == nil {
				break
			}
			if time.Now().After(until) {
				g.t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// newID is a container's id.
func newID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

const podUID = "pod0a1b2c3d-1111-2222-3333-444455556666"

// openNode opens a Set for what is below the grounds.
func openNode(t *testing.T, g *grounds, n Node) *watch {
	t.Helper()
	n.Scope = g.path
	return open(t, Config{Node: &n})
}

// sh starts a shell that waits for a line before it runs a script, and is put into a cgroup before.
func (g *grounds) sh(path, script string) *kid {
	g.t.Helper()
	k := g.shell(script)
	g.put(path, k.pid)
	return k
}

// shell is one that is in no cgroup of the grounds yet.
func (g *grounds) shell(script string) *kid {
	g.t.Helper()
	k := &kid{Cmd: exec.Command("/bin/sh", "-c", "read go; "+script), t: g.t, out: bufio.NewReader(strings.NewReader(""))}
	k.Stderr = os.Stderr
	var err error
	if k.in, err = k.StdinPipe(); err != nil {
		g.t.Fatal(err)
	}
	if err := k.Start(); err != nil {
		g.t.Skip("needs /bin/sh: ", err)
	}
	k.pid = k.Process.Pid
	g.t.Cleanup(func() {
		_ = k.Process.Kill()
		_ = k.Wait()
	})
	return k
}

func (k *kid) run() {
	k.t.Helper()
	if _, err := io.WriteString(k.in, "go\n"); err != nil {
		k.t.Fatal(err)
	}
}

// container waits for what happened to the container of a cgroup.
func (w *watch) container(action, path string) *evidence.Observation {
	w.t.Helper()
	return w.await(action+" of "+path, func(o *evidence.Observation) bool {
		d, ok := o.Detail.(*evidence.Container)
		return ok && d.Action == action && strings.HasSuffix(d.Cgroup, path)
	})
}

// ofSubject gives all that was seen of a subject.
func (w *watch) ofSubject(n uint32) []*evidence.Observation {
	return w.all(func(o *evidence.Observation) bool { return o.Subject == n })
}

func actionsOf(all []*evidence.Observation) (out []string) {
	for _, o := range all {
		if d, ok := o.Detail.(*evidence.Container); ok {
			out = append(out, d.Action)
		}
	}
	return out
}

// but leaves out an action: whether a shell has executed its command before it is put into a cgroup is chance.
func but(actions []string, action string) []string {
	return slices.DeleteFunc(actions, func(a string) bool { return a == action })
}
