package scenarios

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// marker is set in the environment of everything that a scenario starts, so that its processes
// are found, and ended, whoever became their parent.
const marker = "SCENARIO_MARK"

const patience = 25 * time.Second

// Run is one run of a scenario, bare or watched.
type Run struct {
	t       *testing.T
	s       *Scenario
	dir     string
	mark    string
	watched bool
	holder  int    // process that holds the namespaces; 0: the machine's
	cgroup  string // memory
	pids    string // cgroup of pids
	uid     uint32 // of descry too

	cmd      *exec.Cmd
	out, err *capture
	outR     *os.File
	held     chan struct{} // closed when stdout may be read
	unhold   sync.Once
	done     chan struct{}
	reads    sync.WaitGroup

	exit     int
	duration time.Duration
}

// capture keeps what was read and wakes those who wait for a text in it.
type capture struct {
	mu   sync.Mutex
	cond *sync.Cond
	buf  bytes.Buffer
	eof  bool
}

func newCapture() *capture {
	c := new(capture)
	c.cond = sync.NewCond(&c.mu)
	return c
}

func (c *capture) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf.Write(b)
	c.cond.Broadcast()
	return len(b), nil
}

func (c *capture) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.eof = true
	c.cond.Broadcast()
}

func (c *capture) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

// await waits until text was written, and says whether it was before the end.
func (c *capture) await(text string) bool {
	timer := time.AfterFunc(patience, c.end)
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !bytes.Contains(c.buf.Bytes(), []byte(text)) {
		if c.eof {
			return false
		}
		c.cond.Wait()
	}
	return true
}

// Await waits until the program wrote text to stdout.
func (r *Run) Await(text string) {
	r.t.Helper()
	if !r.out.await(text) {
		r.t.Fatalf("%s: never wrote %q to stdout\nstdout: %.2000q\nstderr: %.2000q", r.how(), text, r.out, r.err)
	}
}

// AwaitErr waits until the program (or descry) wrote text to stderr.
func (r *Run) AwaitErr(text string) {
	r.t.Helper()
	if !r.err.await(text) {
		r.t.Fatalf("%s: never wrote %q to stderr\nstdout: %.2000q\nstderr: %.2000q", r.how(), text, r.out, r.err)
	}
}

func (r *Run) how() string {
	if r.watched {
		return "under descry"
	}
	return "bare"
}

// Release lets stdout be read, which Hold kept from it.
func (r *Run) Release() { r.unhold.Do(func() { close(r.held) }) }

// CloseStdout closes the reader's end of the program's output.
func (r *Run) CloseStdout() { r.outR.Close() }

// processes of this run, by their command name; all of them for "".
func (r *Run) processes(comm string) []int {
	type process struct {
		pid, parent int
		comm        string
		ours        bool
	}
	var list []process
	byPID := map[int]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		stat, err := os.ReadFile(d + "/stat")
		if err != nil {
			continue
		}
		open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
		if open < 0 || end < open || len(stat) < end+4 || stat[end+2] == 'Z' {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(d))
		p := process{pid: pid, comm: string(stat[open+1 : end])}
		p.parent, _ = strconv.Atoi(strings.Fields(string(stat[end+2:]))[1])
		env, _ := os.ReadFile(d + "/environ")
		p.ours = bytes.Contains(env, []byte(marker+"="+r.mark+"\x00")) || r.cmd != nil && pid == r.cmd.Process.Pid
		byPID[pid] = len(list)
		list = append(list, p)
	}
	var pids []int
	for _, p := range list {
		// By descent too: some programs (redis) write their title over their environment.
		for q := p; ; {
			if q.ours {
				if comm == "" || p.comm == comm {
					pids = append(pids, p.pid)
				}
				break
			}
			i, ok := byPID[q.parent]
			if !ok || q.parent <= 1 {
				break
			}
			q = list[i]
		}
	}
	return pids
}

// Find waits for a process of this run by its command name, and gives the one that started first.
func (r *Run) Find(comm string) int {
	r.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if pids := r.processes(comm); len(pids) > 0 {
			first := pids[0]
			for _, p := range pids {
				first = min(first, p)
			}
			return first
		}
		select {
		case <-r.done:
			r.t.Fatalf("%s: ended before a process %s was seen; stderr %.1000q", r.how(), comm, r.err)
		default:
		}
	}
	r.t.Fatalf("%s: no process %s was seen", r.how(), comm)
	return 0
}

// Signal sends sig to the process of this run with that command name.
func (r *Run) Signal(comm string, sig syscall.Signal) {
	r.t.Helper()
	pid := r.Find(comm)
	if err := syscall.Kill(pid, sig); err != nil {
		r.t.Fatalf("signal %v to %s (%d): %v", sig, comm, pid, err)
	}
}

// SignalFrom sends sig by a process of its own, whose name the report may tell.
func (r *Run) SignalFrom(sender, comm string, sig syscall.Signal) {
	r.t.Helper()
	pid := r.Find(comm)
	link := filepath.Join(r.t.TempDir(), sender)
	if err := os.Symlink("/bin/kill", link); err != nil {
		r.t.Fatal(err)
	}
	if out, err := exec.Command(link, fmt.Sprintf("-%d", sig), strconv.Itoa(pid)).CombinedOutput(); err != nil {
		r.t.Fatalf("%s: %v %s", sender, err, out)
	}
}

var runs struct {
	sync.Mutex
	n int
}

// start runs argv (the whole command, with descry before it or not) in the scenario's surroundings.
func (r *Run) start(prefix []string) {
	s, t := r.s, r.t
	runs.Lock()
	runs.n++
	r.mark = fmt.Sprintf("%d-%d", os.Getpid(), runs.n)
	runs.Unlock()
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	os.Chmod(r.dir, 0o777)
	r.surround()
	if s.Setup != nil {
		s.Setup(r)
	}
	argv := s.argv(t, r.dir)
	for i := range argv {
		argv[i] = strings.ReplaceAll(argv[i], "{cg}", r.cgroup)
	}
	if r.uid != 0 || s.UID != 0 {
		r.handOver(argv)
	}
	l := launch{NoFile: s.NoFile, Limits: s.Limits, Close: s.Close, UID: r.uid, Argv: append(prefix, r.wrap(argv)...)}
	c := r.launcher(l, r.mark)
	c.Dir = r.dir
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.Stdin != "" {
		c.Stdin = strings.NewReader(s.Stdin)
	}
	c.Stdout, c.Stderr = outW, errW
	if s.Merge {
		c.Stderr = outW
	}
	r.cmd, r.out, r.err, r.outR = c, newCapture(), newCapture(), outR
	r.held, r.done = make(chan struct{}), make(chan struct{})
	begin := time.Now()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	outW.Close()
	errW.Close()
	if !s.Hold {
		r.Release()
	}
	r.reads.Add(2)
	go func() { defer r.reads.Done(); <-r.held; io.Copy(r.out, outR); r.out.end(); outR.Close() }()
	go func() { defer r.reads.Done(); io.Copy(r.err, errR); r.err.end(); errR.Close() }()
	go func() {
		err := c.Wait()
		r.exit = c.ProcessState.ExitCode()
		if ws, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			r.exit = 128 + int(ws.Signal())
		}
		_ = err
		r.duration = time.Since(begin)
		close(r.done)
	}()
}

// finish waits for the end, and ends what is left.
func (r *Run) finish() {
	t := r.t
	killed := time.AfterFunc(patience, func() {
		for _, pid := range r.processes("") {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	<-r.done
	if !killed.Stop() {
		t.Errorf("%s: did not end within %v\nstdout: %.2000q\nstderr: %.2000q", r.how(), patience, r.out, r.err)
	}
	for _, pid := range r.processes("") {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	r.Release()
	read := make(chan struct{})
	go func() { r.reads.Wait(); close(read) }()
	select {
	case <-read:
	case <-time.After(patience):
		t.Errorf("%s: its output is still held open by somebody", r.how())
	}
}

// play is one whole run.
func (r *Run) play(prefix []string) {
	r.start(prefix)
	if r.s.Do != nil {
		defer func() {
			if r.t.Failed() {
				for _, pid := range r.processes("") {
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		}()
		r.s.Do(r)
	}
	r.finish()
}
