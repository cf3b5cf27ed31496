//go:build cluster

package suite

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/casebook"
	"github.com/descry-dev/descry/internal/evidence"
)

// agent is `descry agent` on the node, and the places that outlive it.
type agent struct {
	t     *testing.T
	dir   string // state, cases, pins
	flags []string
	cmd   *exec.Cmd
	log   *logged
	ended chan error
	read  map[string]*evidence.Case
}

// logged is what the agents of one test wrote.
type logged struct {
	sync.Mutex
	b bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.Lock()
	defer l.Unlock()
	return l.b.String()
}

// newAgent makes the places of an agent, without starting it. Its pins are in a bpffs of its own.
func newAgent(t *testing.T, flags ...string) *agent {
	t.Helper()
	if os.Getenv("CLUSTER_DESCRY") == "" {
		t.Skip("needs descry: CLUSTER_DESCRY names it")
	}
	a := &agent{t: t, dir: t.TempDir(), flags: flags, log: &logged{}, read: map[string]*evidence.Case{}}
	bpffs := filepath.Join(a.dir, "bpf")
	if err := os.Mkdir(bpffs, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("bpf", bpffs, "bpf", 0, ""); err != nil {
		t.Fatalf("mount a bpffs: %v", err)
	}
	t.Cleanup(func() {
		if a.cmd != nil {
			a.end(syscall.SIGTERM)
		}
		if err := unix.Unmount(bpffs, 0); err != nil {
			t.Errorf("unmount the bpffs: %v", err)
		}
		if t.Failed() {
			t.Logf("what the agents said:\n%s", tail(a.log.String(), 12_000))
			a.keep()
		}
	})
	return a
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// keep leaves the cases of a failed test where the machine finds them.
func (a *agent) keep() {
	to := filepath.Join(os.Getenv("CLUSTER_RUN"), "kept", a.t.Name())
	_ = os.RemoveAll(to)
	_ = os.MkdirAll(filepath.Dir(to), 0o755)
	_ = exec.Command("cp", "-r", a.cases(), to).Run()
	_ = os.WriteFile(to+".log", []byte(a.log.String()), 0o644)
	a.t.Logf("the cases are kept in %s", to)
}

func (a *agent) cases() string { return filepath.Join(a.dir, "cases") }

// start starts the agent and waits until it watches.
func (a *agent) start() { a.startAs(os.Getenv("CLUSTER_DESCRY")) }

func (a *agent) startAs(binary string) {
	a.t.Helper()
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/kubepods")
	for limit := time.Now().Add(time.Minute); len(groups) == 0 && time.Now().Before(limit); time.Sleep(50 * time.Millisecond) { // the kubelet makes it
		groups, _ = filepath.Glob("/sys/fs/cgroup/*/kubepods")
	}
	was := strings.Count(a.log.String(), "msg=watching")
	args := append([]string{"agent", "--scope", "/kubepods", "--state", filepath.Join(a.dir, "state"), "--cases", a.cases(),
		"--pins", filepath.Join(a.dir, "bpf", "descry"), "--metrics", "127.0.0.1:0", "--log-level", "debug",
		"--runtime-endpoint", "/run/containerd/containerd.sock", "--closer", "64"}, a.flags...)
	a.cmd = exec.Command(binary, args...)
	a.cmd.Stdout, a.cmd.Stderr = a.log, a.log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	ended, cmd := make(chan error, 1), a.cmd
	a.ended = ended
	go func() { ended <- cmd.Wait() }()
	for limit := time.Now().Add(time.Minute); strings.Count(a.log.String(), "msg=watching") == was; time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			a.cmd = nil
			a.t.Fatalf("the agent ended at its start: %v\n%s", err, tail(a.log.String(), 3000))
		default:
		}
		if time.Now().After(limit) {
			a.t.Fatal("the agent does not watch after a minute")
		}
	}
}

// end ends the agent by a signal.
func (a *agent) end(sig syscall.Signal) {
	a.t.Helper()
	if err := a.cmd.Process.Signal(sig); err != nil {
		a.t.Errorf("the agent ended by itself: %v", <-a.ended)
		a.cmd = nil
		return
	}
	select {
	case err := <-a.ended:
		if sig == syscall.SIGTERM && err != nil {
			a.t.Errorf("the agent ended with %v at SIGTERM", err)
		}
	case <-time.After(20 * time.Second):
		a.t.Errorf("the agent does not end at %v within 20 s", sig)
		_ = a.cmd.Process.Kill()
		<-a.ended
	}
	a.cmd = nil
}

// list gives all cases, the oldest first.
func (a *agent) list() []*evidence.Case {
	a.t.Helper()
	book := casebook.New(a.cases(), casebook.Bounds{})
	entries, problems, err := book.List()
	if err != nil && !os.IsNotExist(err) {
		a.t.Fatal(err)
	}
	for _, p := range problems {
		a.t.Errorf("a case cannot be read: %v", p)
	}
	var out []*evidence.Case
	for _, e := range entries {
		c := a.read[e.ID]
		if c == nil {
			if c, err = book.Get(e.ID); err != nil {
				a.t.Errorf("a listed case cannot be read: %v", err)
				continue
			}
			c.FDTable = nil
			c.Timeline = slices.DeleteFunc(c.Timeline, func(o evidence.Observation) bool { _, ok := o.Detail.(*evidence.Step); return !ok })
			a.read[e.ID] = c
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(x, y *evidence.Case) int { return strings.Compare(x.ID, y.ID) })
	return out
}

// verdict is the first finding in words.
func verdict(c *evidence.Case) (cause string, sure evidence.Confidence) {
	if len(c.Findings) == 0 {
		return "unexplained", ""
	}
	return c.Findings[0].Cause, c.Findings[0].Confidence
}

// show is a case in one line.
func show(c *evidence.Case) string {
	cause, sure := verdict(c)
	s := c.Subject
	line := fmt.Sprintf("%s %s of %s/%s %s (%.12s, restart %d): %s %s", c.ID, c.Kind, s.Namespace, s.Pod, s.Container, s.ContainerID, restarts(c), cause, sure)
	if c.Death != nil {
		line += fmt.Sprintf(", exit %d", c.Death.ExitCode)
	}
	if len(c.Findings) > 0 {
		line += ": " + c.Findings[0].Summary
	}
	return line
}
