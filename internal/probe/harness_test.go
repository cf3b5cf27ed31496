//go:build linux

package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// childMode names what a child of these tests does: the test binary runs itself again, so that
// nothing but the binary is needed where it runs.
const childMode = "DESCRY_PROBE_CHILD"

// children are the modes. Each gets the arguments after it and does not return to the tests.
var children = map[string]func(args []string){}

func TestMain(m *testing.M) {
	mode, args, _ := strings.Cut(os.Getenv(childMode), " ")
	if mode == "" {
		os.Exit(m.Run())
	}
	f := children[mode]
	if f == nil {
		fmt.Fprintln(os.Stderr, "no such child:", mode)
		os.Exit(99)
	}
	// Descriptor 3 is the gate: it closes when the child is tracked.
	gate := os.NewFile(3, "gate")
	_, _ = gate.Write([]byte{1}) // where it is a socket: this process is past its own start
	_, _ = io.Copy(io.Discard, gate)
	gate.Close()
	f(strings.Fields(args))
	os.Exit(0)
}

// forever keeps a child. Where nothing but goroutines waits (no cgo), select {} is a deadlock to the runtime.
func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// wait is how long an event that must come is waited for; emulated machines are slow.
const patience = 60 * time.Second

// watch is an open Set whose observations are kept.
type watch struct {
	*Set
	t *testing.T

	mu   sync.Mutex
	more *sync.Cond
	seen []*evidence.Observation
}

// open opens a Set, or skips by name where this machine cannot have one.
func open(t *testing.T, cfg Config) *watch {
	t.Helper()
	s, err := Open(cfg)
	if errors.Is(err, ErrNotSupported) {
		t.Skip("needs eBPF: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{Set: s, t: t}
	w.more = sync.NewCond(&w.mu)
	ran := make(chan error, 1)
	go func() { ran <- s.Run(w.handle) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *watch) handle(o *evidence.Observation) {
	w.mu.Lock()
	w.seen = append(w.seen, o)
	w.mu.Unlock()
	w.more.Broadcast()
}

// need skips where a probe is missing, and fails where it should be there.
func (w *watch) need(name string) {
	w.t.Helper()
	for _, st := range w.Status() {
		if st.Name == name {
			if st.Missing != "" {
				w.t.Fatalf("%s is missing: %s", name, st.Missing)
			}
			return
		}
	}
	w.t.Fatalf("no probe %s", name)
}

// await returns the first observation that ok likes, waiting for it.
func (w *watch) await(what string, ok func(*evidence.Observation) bool) *evidence.Observation {
	w.t.Helper()
	late := time.AfterFunc(patience, w.more.Broadcast)
	defer late.Stop()
	until := time.Now().Add(patience)
	w.mu.Lock()
	defer w.mu.Unlock()
	for from := 0; ; {
		for ; from < len(w.seen); from++ {
			if ok(w.seen[from]) {
				return w.seen[from]
			}
		}
		if !time.Now().Before(until) {
			w.t.Fatalf("no %s among %d observations; lost %v", what, len(w.seen), w.Lost())
		}
		w.more.Wait()
	}
}

// all gives the observations that ok likes, of those that have come.
func (w *watch) all(ok func(*evidence.Observation) bool) (out []*evidence.Observation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.seen {
		if ok(o) {
			out = append(out, o)
		}
	}
	return out
}

func (w *watch) flushed() {
	w.t.Helper()
	if !w.Flush(patience) {
		w.t.Fatal("the ring was not read in time")
	}
}

// kid is a tracked child.
type kid struct {
	*exec.Cmd
	pid int
	out *bufio.Reader // its standard output
	in  io.WriteCloser
	t   *testing.T

	before    func(pid int) // called when it has started and before it does anything
	untracked bool          // it is not tracked: a cgroup says whose it is
	says      bool          // it is tracked only after it has said that it is past its own exec
}

// start runs a child of a mode, tracked before it does anything.
func (w *watch) start(mode string, args ...string) *kid {
	w.t.Helper()
	k := command(w.t, mode, args...)
	w.run(k)
	return k
}

// command prepares a child of a mode.
func command(t *testing.T, mode string, args ...string) *kid {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	k := &kid{Cmd: exec.Command(self), t: t}
	// Go's own signals would interrupt calls that are meant to be as they are.
	k.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1", childMode+"="+strings.Join(append([]string{mode}, args...), " "))
	k.Stderr, k.out = os.Stderr, bufio.NewReader(nil)
	return k
}

// run starts k, tracks it and opens its gate.
func (w *watch) run(k *kid) {
	w.t.Helper()
	in, gate, err := os.Pipe()
	if k.says {
		in, gate, err = socketpair()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	k.ExtraFiles = []*os.File{in}
	if k.Stdout == nil {
		out, err := k.StdoutPipe()
		if err != nil {
			w.t.Fatal(err)
		}
		k.out = bufio.NewReader(out)
	}
	if k.in, err = k.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	err = k.Start()
	in.Close()
	if err != nil {
		gate.Close()
		w.t.Fatal(err)
	}
	k.pid = k.Process.Pid
	w.t.Cleanup(func() {
		gate.Close()
		_ = k.Process.Kill()
		_ = k.Wait()
	})
	if k.says {
		if _, err := gate.Read(make([]byte, 1)); err != nil {
			w.t.Fatalf("the child did not begin: %v", err)
		}
	}
	if !k.untracked {
		if err := w.Track(k.pid); err != nil {
			w.t.Fatal(err)
		}
	}
	if k.before != nil {
		k.before(k.pid)
	}
	gate.Close()
}

func socketpair() (a, b *os.File, err error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	return os.NewFile(uintptr(pair[0]), "gate"), os.NewFile(uintptr(pair[1]), "gate"), err
}

// line reads a line of the child's output.
func (k *kid) line() string {
	k.t.Helper()
	s, err := k.out.ReadString('\n')
	if err != nil {
		k.t.Fatalf("read from the child: %v after %q", err, s)
	}
	return strings.TrimSuffix(s, "\n")
}

// end waits for the child's end.
func (k *kid) end() syscall.WaitStatus {
	k.t.Helper()
	_, _ = io.Copy(io.Discard, k.out)
	err := k.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		k.t.Fatal(err)
	}
	return k.ProcessState.Sys().(syscall.WaitStatus)
}

// exitOf waits for the observation of a process's end.
func (w *watch) exitOf(pid int) (*evidence.Observation, *evidence.Exit) {
	w.t.Helper()
	o := w.await(fmt.Sprintf("exit of %d", pid), func(o *evidence.Observation) bool {
		return int(o.PID) == pid && o.Kind() == evidence.KindExit
	})
	return o, o.Detail.(*evidence.Exit)
}
