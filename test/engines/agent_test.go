package engines

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

	nodeagent "github.com/descry-dev/descry/internal/agent"
	"github.com/descry-dev/descry/internal/casebook"
	"github.com/descry-dev/descry/internal/evidence"
)

var built struct {
	once sync.Once
	dir  string
	err  error
}

// programs builds descry and the C programs that die, once.
func programs(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "engines"); built.err != nil {
			return
		}
		for _, args := range [][]string{
			{"go", "build", "-o", filepath.Join(built.dir, "descry"), "../../cmd/descry"},
			{"gcc", "-g", "-O1", "-static", "-o", filepath.Join(built.dir, "null"), "../scenarios/invalid-access/null.c"},
		} {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				built.err = fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
				return
			}
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}

// agent is `descry agent` on a node, and the places that outlive it.
type agent struct {
	*node
	flags []string
	cmd   *exec.Cmd
	said  *logged
}

// logged is what agents wrote.
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

func newAgent(n *node, flags ...string) *agent {
	a := &agent{node: n, flags: flags, said: &logged{}}
	n.t.Cleanup(func() {
		a.end(syscall.SIGTERM)
		if n.t.Failed() {
			s := a.said.String()
			n.t.Logf("what the agents said:\n%s", s[max(0, len(s)-12000):])
		}
	})
	return a
}

// watch starts the agent and waits until it watches. It sees the node's files, and the machine's processes and cgroups.
func (a *agent) watch() {
	a.t.Helper()
	was := strings.Count(a.said.String(), "msg=watching")
	args := append([]string{"-t", fmt.Sprint(a.pid), "-m", "--", filepath.Join(programs(a.t), "descry"), "agent", "--scope", a.scope, "--state", a.at("state"),
		"--cases", a.at("cases"), "--metrics", "127.0.0.1:0", "--log-level", "debug"}, a.flags...)
	a.cmd = exec.Command("nsenter", args...)
	a.cmd.Stdout, a.cmd.Stderr = a.said, a.said
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.until("the agent watches", func() bool {
		if unix.Kill(a.cmd.Process.Pid, 0) != nil {
			a.t.Fatal("the agent ended at its start")
		}
		return strings.Count(a.said.String(), "msg=watching") > was
	})
}

// end ends the agent by a signal.
func (a *agent) end(sig syscall.Signal) {
	a.t.Helper()
	if a.cmd == nil {
		return
	}
	_ = a.cmd.Process.Signal(sig)
	if err := a.cmd.Wait(); err != nil && sig == syscall.SIGTERM {
		a.t.Errorf("the agent ended with %v", err)
	}
	a.cmd = nil
}

// cases gives all cases, the oldest first.
func (a *agent) cases() []*evidence.Case {
	a.t.Helper()
	book := casebook.New(a.at("cases"), casebook.Bounds{})
	entries, problems, err := book.List()
	if err != nil && !os.IsNotExist(err) || len(problems) > 0 {
		a.t.Fatal(err, problems)
	}
	var out []*evidence.Case
	for _, e := range entries {
		c, err := book.Get(e.ID)
		if err != nil {
			a.t.Fatal(err)
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(x, y *evidence.Case) int { return strings.Compare(x.ID, y.ID) })
	return out
}

// deaths are the cases of the deaths of one container.
func (a *agent) deaths(name string) (out []*evidence.Case) {
	for _, c := range a.cases() {
		if c.Kind == evidence.CaseDeath && c.Subject.Container == name {
			out = append(out, c)
		}
	}
	return out
}

// death waits for the case of a container's death, of its nth life, from 0.
func (a *agent) death(name string, nth int) *evidence.Case {
	a.t.Helper()
	var all []*evidence.Case
	for end := time.Now().Add(patience); len(all) <= nth; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			for _, c := range a.cases() {
				a.t.Log(show(c))
			}
			a.t.Fatalf("no case of death %d of %s", nth, name)
		}
		all = a.deaths(name)
	}
	return all[nth]
}

// named waits until the agent knows a container's name.
func (a *agent) named(name string) {
	a.t.Helper()
	a.until("the agent knows "+name, func() bool { return a.subject(name) != nil })
}

// subject is a container as the agent knows it, nil where it does not.
func (a *agent) subject(name string) *nodeagent.SubjectStatus {
	st, err := nodeagent.AskNode(a.at("state"))
	if err != nil {
		return nil
	}
	for i := range st.Subjects {
		if s := &st.Subjects[i]; s.Container == name && s.PID != 0 {
			return s
		}
	}
	return nil
}

// touch lets a container end that waits for a file.
func (a *agent) touch(name string) {
	a.t.Helper()
	s := a.subject(name)
	if s == nil {
		a.t.Fatalf("%s is not watched", name)
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/root/tmp/go", s.PID), nil, 0o644); err != nil {
		a.t.Fatal(err)
	}
}

// outputOf says what became of reading a container's log.
func outputOf(c *evidence.Case) evidence.Coverage {
	for _, v := range c.Coverage {
		if v.Source == "output" {
			return v
		}
	}
	return evidence.Coverage{Missing: "there is no word of it"}
}

// show is a case in one line.
func show(c *evidence.Case) string {
	s := c.Subject
	line := fmt.Sprintf("%s %s of %q, image %q (%.12s, restart %d, pod %q)", c.ID, c.Kind, s.Container, s.Image, s.ContainerID, s.RestartCount, s.Namespace+"/"+s.Pod)
	if d := c.Death; d != nil {
		line += fmt.Sprintf(", exit %d, signal %d, reason %q, OOM %t, unseen %t", d.ExitCode, d.Signal, d.Reason, d.OOMKilled, d.Unseen)
	}
	for _, f := range c.Findings {
		line += fmt.Sprintf("\n    %s %s: %s", f.Cause, f.Confidence, f.Summary)
	}
	return line + fmt.Sprintf("\n    output: %+v", outputOf(c))
}
