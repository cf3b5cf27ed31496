package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/casebook"
	"github.com/descry-dev/descry/internal/coredump"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/probe"
	"github.com/descry-dev/descry/internal/run"
)

// The test binary is the agent, and the programs that die in containers, too.
func TestMain(m *testing.M) {
	run.Reexec()
	coredump.Reexec() // the supervisor of core dumps is this binary too
	if text := os.Getenv("DESCRY_TEST_AGENT"); text != "" {
		var cfg NodeConfig
		if err := json.Unmarshal([]byte(text), &cfg); err != nil {
			panic(err)
		}
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
		ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
		defer stop()
		if name := os.Getenv("DESCRY_TEST_PROFILE"); name != "" {
			f, err := os.Create(name)
			if err == nil && pprof.StartCPUProfile(f) == nil {
				defer pprof.StopCPUProfile()
			}
		}
		if err := RunNode(ctx, cfg); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		pprof.StopCPUProfile()
		os.Exit(0)
	}
	if what := os.Getenv("DESCRY_TEST_PROGRAM"); what != "" {
		program(what)
	}
	os.Exit(m.Run())
}

// program is what runs in a container. It begins with its end when it gets a line.
func program(what string) {
	what, arg, _ := strings.Cut(what, ":")
	n, _ := strconv.Atoi(arg)
	io.ReadFull(os.Stdin, make([]byte, 1))
	switch what {
	case "exit":
		os.Exit(n)
	case "signal": // Go would make an exit of its own of it
		unix.Exec("/bin/sh", []string{"sh", "-c", fmt.Sprintf("kill -%d $$", n)}, []string{})
	case "fds":
		unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(n), Max: uint64(n)})
		for {
			if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
				fmt.Fprintln(os.Stderr, "open /dev/null:", err)
				os.Exit(1)
			}
		}
	case "leak": // n a second
		unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: 1024})
		for {
			if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
				time.Sleep(time.Hour) // not select {}: Go ends a program that nothing can wake
			}
			time.Sleep(time.Second / time.Duration(n))
		}
	case "maps": // n a second, two for each
		b, err := unix.Mmap(-1, 0, 40000*2*os.Getpagesize(), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
		if err != nil {
			panic(err)
		}
		for i := 0; i < 32000; i++ {
			if err := unix.Mprotect(b[2*i*os.Getpagesize():][:os.Getpagesize()], unix.PROT_READ); err != nil {
				break
			}
			if i%100 == 0 {
				time.Sleep(200 * time.Second / time.Duration(n))
			}
		}
		time.Sleep(time.Hour) // not select {}: Go ends a program that nothing can wake
	case "child":
		cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("kill -%d $$", n))
		cmd.Env = []string{}
		cmd.Run()
		time.Sleep(time.Hour) // not select {}: Go ends a program that nothing can wake
	case "kill":
		var pid, sig int
		fmt.Sscanf(arg, "%d,%d", &pid, &sig)
		if err := unix.Kill(pid, unix.Signal(sig)); err != nil {
			panic(err)
		}
		os.Exit(0)
	case "wait":
		time.Sleep(time.Hour) // not select {}: Go ends a program that nothing can wake
	}
	panic("no such program: " + what)
}

// testNode is a part of the cgroup tree that is the test's alone, with an agent that watches it.
type testNode struct {
	t     *testing.T
	dir   string // of the scope
	scope string
	cfg   NodeConfig
	agent *exec.Cmd
	log   string

	stdout, stderr *os.File // of the next boxes; nil: none
}

var testNodes atomic.Int32

func newTestNode(t *testing.T) *testNode {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("watching a node needs root")
	}
	set, err := probe.Open(probe.Config{})
	if err != nil {
		t.Skipf("no probes here: %v", err)
	}
	set.Close()
	leaf, why := run.NewLeaf()
	if leaf == nil {
		t.Skipf("no cgroup can be made here: %s", why)
	}
	base := filepath.Dir(leaf.Path)
	leaf.Close()
	n := &testNode{t: t, dir: filepath.Join(base, fmt.Sprintf("descry-node-%d-%d", os.Getpid(), testNodes.Add(1)))}
	if err := os.Mkdir(n.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.remove)
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(own)) {
		if p, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			n.scope = filepath.Join(p, filepath.Base(n.dir))
		}
	}
	state := t.TempDir()
	n.cfg = NodeConfig{Scope: n.scope, State: filepath.Join(state, "state"), Cases: filepath.Join(state, "cases"), Sweep: 100 * time.Millisecond, RuntimeEndpoint: "/nonexistent"}
	n.log = filepath.Join(state, "log")
	return n
}

// remove removes the scope, whose processes have ended.
func (n *testNode) remove() {
	for range 100 {
		var dirs []string
		filepath.WalkDir(n.dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			unix.Rmdir(dirs[i])
		}
		if _, err := os.Stat(n.dir); errors.Is(err, os.ErrNotExist) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	n.t.Errorf("%s is left over", n.dir)
}

// start starts an agent, and waits until it watches.
func (n *testNode) start() {
	n.t.Helper()
	text, err := json.Marshal(&n.cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	n.agent = exec.Command("/proc/self/exe")
	n.agent.Env = append(os.Environ(), "DESCRY_TEST_AGENT="+string(text))
	n.agent.Stdout, n.agent.Stderr = log, log
	if err := n.agent.Start(); err != nil {
		n.t.Fatal(err)
	}
	agent := n.agent
	n.t.Cleanup(func() {
		agent.Process.Kill()
		agent.Wait()
		if n.t.Failed() {
			b, _ := os.ReadFile(n.log)
			n.t.Logf("log of the agent:\n%s", b)
		}
	})
	n.until("the agent answers", func() bool {
		st, err := AskNode(n.cfg.State)
		return err == nil && st.SweepNanos > 0
	})
}

// stop ends the agent, and fails where it does not end well.
func (n *testNode) stop() {
	n.t.Helper()
	n.agent.Process.Signal(unix.SIGTERM)
	if err := n.agent.Wait(); err != nil {
		n.t.Errorf("the agent ended with %v", err)
	}
}

// kill ends it as nobody wishes for.
func (n *testNode) kill() {
	n.agent.Process.Kill()
	n.agent.Wait()
}

// until waits for a condition.
func (n *testNode) until(what string, met func() bool) {
	n.t.Helper()
	for end := time.Now().Add(90 * time.Second); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// box is a container with a program in it that waits for its end.
type box struct {
	n   *testNode
	id  string
	cmd *exec.Cmd
	end *os.File
}

const testPod = "11111111-2222-3333-4444-555555555555"

func testID(i int) string { return fmt.Sprintf("%064x", 0xabc000+i) }

// box starts a program in a new container of a pod; pod "": of none.
func (n *testNode) box(pod string, i int, what string, command ...string) *box {
	n.t.Helper()
	b := &box{n: n, id: testID(i)}
	dir := filepath.Join(n.dir, "docker-"+b.id+".scope")
	if pod != "" {
		dir = filepath.Join(n.dir, "kubepods", "burstable", "pod"+pod, b.id)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		n.t.Fatal(err)
	}
	group, err := os.Open(dir)
	if err != nil {
		n.t.Fatal(err)
	}
	defer group.Close()
	r, w, err := os.Pipe()
	if err != nil {
		n.t.Fatal(err)
	}
	defer r.Close()
	if len(command) == 0 {
		command = []string{"/proc/self/exe"}
	}
	b.cmd, b.end = exec.Command(command[0], command[1:]...), w
	b.cmd.Env = []string{"DESCRY_TEST_PROGRAM=" + what, "GOTRACEBACK=none"}
	b.cmd.Stdin = r
	if n.stdout != nil {
		b.cmd.Stdout, b.cmd.Stderr = n.stdout, n.stderr
	}
	b.cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd()), Pdeathsig: unix.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { b.cmd.Process.Kill(); b.cmd.Wait(); w.Close() })
	return b
}

// watched waits until the agent knows the container and its main process.
func (b *box) watched() *box {
	b.n.t.Helper()
	b.n.until("the agent watches container "+b.id, func() bool {
		st, err := AskNode(b.n.cfg.State)
		if err != nil {
			return false
		}
		for _, s := range st.Subjects {
			if s.ContainerID == b.id && s.PID == int32(b.cmd.Process.Pid) && s.OpenInAll > 0 {
				return true
			}
		}
		return false
	})
	return b
}

func (b *box) die() { b.end.Write([]byte("\n")) }

func (b *box) wait() { b.cmd.Wait() }

// cases are all that are kept.
func (n *testNode) cases() []casebook.Entry {
	n.t.Helper()
	entries, problems, err := casebook.New(n.cfg.Cases, casebook.Bounds{}).List()
	if err != nil || len(problems) > 0 {
		n.t.Fatal(err, problems)
	}
	return entries
}

// of are the cases of one container.
func (n *testNode) of(b *box) (out []*evidence.Case) {
	n.t.Helper()
	for _, e := range n.cases() {
		if e.ContainerID == b.id {
			c, err := casebook.New(n.cfg.Cases, casebook.Bounds{}).Get(e.ID)
			if err != nil {
				n.t.Fatal(err)
			}
			out = append(out, c)
		}
	}
	return out
}

// Containers that die of several causes at once have a case each, that names the container and its cause; one that
// ends well has none.
func TestNodeDeaths(t *testing.T) {
	n := newTestNode(t)
	before := n.box("", 0, "exit:3") // it runs before the agent
	n.start()
	before.watched()
	ends := []struct {
		what  string
		code  int32
		cause string
	}{
		{"exit:3", 3, "exit-error"}, {"exit:0", 0, ""}, {"signal:11", 139, "killed"}, {"signal:6", 134, ""}, {"fds:64", 1, ""}, {"fds:64", 1, ""},
	}
	boxes := []*box{before}
	for i, e := range ends[1:] {
		pod := ""
		if i%2 == 0 {
			pod = testPod
		}
		boxes = append(boxes, n.box(pod, i+1, e.what))
	}
	for _, b := range boxes[1:] {
		b.watched()
	}
	for _, b := range boxes {
		b.die()
	}
	for _, b := range boxes {
		b.wait()
	}
	n.until("five cases", func() bool { return len(n.cases()) >= 5 })
	n.stop()
	if got := len(n.cases()); got != 5 {
		t.Errorf("%d cases, want 5", got)
	}
	for i, b := range boxes {
		got := n.of(b)
		if ends[i].code == 0 {
			if len(got) != 0 {
				t.Errorf("container %d ended well and has a case", i)
			}
			continue
		}
		if len(got) != 1 {
			t.Errorf("container %d has %d cases", i, len(got))
			continue
		}
		c := got[0]
		if c.Death.ExitCode != ends[i].code || c.Death.PID != int32(b.cmd.Process.Pid) || c.Subject.PID != c.Death.PID {
			t.Errorf("container %d: %+v", i, c.Death)
		}
		if want := ends[i].cause; want != "" && (len(c.Findings) == 0 || c.Findings[0].Cause != want) {
			t.Errorf("container %d: %+v, want %s", i, c.Findings, want)
		}
		if i%2 == 1 && c.Subject.PodUID != testPod {
			t.Errorf("container %d is in pod %q", i, c.Subject.PodUID)
		}
		for _, o := range c.Timeline {
			if o.PID != 0 && o.PID != c.Death.PID && o.Kind() == evidence.KindExit {
				t.Errorf("container %d has the end of process %d in its story", i, o.PID)
			}
		}
		if i == 0 { // it ran before: nothing can be ruled out
			if len(c.RuledOut) > 0 || c.Covered("probe/exit") {
				t.Errorf("container 0 was not watched from its start: %v", c.RuledOut)
			}
		}
	}
}

// A child that dies of a fault while its parent lives on has a case of its own kind.
func TestNodeChildDeath(t *testing.T) {
	n := newTestNode(t)
	n.start()
	b := n.box("", 1, "child:11").watched()
	b.die()
	n.until("a case", func() bool { return len(n.cases()) > 0 })
	c := n.of(b)
	if len(c) != 1 || c[0].Kind != evidence.CaseChildDeath || c[0].Death.Signal != evidence.SIGSEGV || c[0].Subject.PID != int32(b.cmd.Process.Pid) ||
		c[0].Death.PID == c[0].Subject.PID {
		t.Errorf("%+v", c)
	}
	n.stop()
}

// A second agent with the same state is refused; after a kill -9 the next one begins, and nothing is told twice.
func TestNodeKilled(t *testing.T) {
	n := newTestNode(t)
	n.start()
	if _, _, err := openState(n.cfg.State); !errors.Is(err, errAgentRuns) {
		t.Errorf("a second agent: %v", err)
	}
	one := n.box("", 1, "exit:3").watched()
	two := n.box("", 2, "exit:4").watched()
	one.die()
	one.wait()
	n.until("a case", func() bool { return len(n.cases()) == 1 })
	n.kill()
	n.start()
	two.watched()
	two.die()
	two.wait()
	n.until("two cases", func() bool { return len(n.cases()) >= 2 })
	n.stop()
	if len(n.of(one)) != 1 || len(n.of(two)) != 1 {
		t.Errorf("%d and %d cases", len(n.of(one)), len(n.of(two)))
	}
	if _, err := AskNode(n.cfg.State); !errors.Is(err, ErrNoAgent) {
		t.Errorf("an agent that has ended answers: %v", err)
	}
}
