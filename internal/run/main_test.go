package run

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The test binary also plays the watcher, the launcher and the relay, and a program that counts
// signals.
func TestMain(m *testing.M) {
	Reexec()
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "watch":
			os.Exit(watch(os.Args[2:]))
		case "count-signals":
			os.Exit(countSignals())
		}
	}
	var err error
	if scratch, err = os.MkdirTemp("", "descry-run"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

// watch [-tty] [-leaf] [-result FILE] [-hold D] COMMAND... runs a command as descry does.
func watch(args []string) int {
	cfg := Config{Release: true}
	result := ""
	for ; len(args) > 0 && strings.HasPrefix(args[0], "-"); args = args[1:] {
		switch args[0] {
		case "-tty":
			cfg.TTY = true
		case "-leaf":
			cfg.Leaf, _ = NewLeaf()
			defer cfg.Leaf.Close()
		case "-result":
			result, args = args[1], args[1:]
		case "-hold":
			cfg.HoldTime, _ = time.ParseDuration(args[1])
			args = args[1:]
		}
	}
	cfg.Args = args
	c, err := Prepare(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		return 125
	}
	defer c.Close()
	c.Go()
	r := c.Wait()
	if result != "" {
		tail, _ := c.Tap().Tail(nil, Stdout, 1000)
		b, _ := json.Marshal(watched{
			Result: r, Watcher: os.Getpid(), PID: c.PID(), Relay: c.RelayPID(), Reasons: c.Reasons(),
			Out: c.Tap().Totals(Stdout), Err: c.Tap().Totals(Stderr), Merged: c.Tap().Merged(), Tail: string(tail),
		})
		if os.WriteFile(result, b, 0o600) != nil {
			return 125
		}
	}
	return r.ExitCode
}

// watched is what watch leaves in its result file.
type watched struct {
	Result
	Watcher, PID, Relay int
	Reasons             []string
	Out, Err            Totals
	Merged              bool
	Tail                string
}

func readResult(t *testing.T, file string) (w watched) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &w); err != nil {
		t.Fatal(err)
	}
	return w
}

// countSignals prints its pid and then each signal that it gets, and ends with SIGALRM.
func countSignals() int {
	ch := make(chan os.Signal, 100)
	signal.Notify(ch, forwarded()...)
	fmt.Println("pid", os.Getpid())
	for s := range ch {
		if s == syscall.SIGALRM {
			return 0
		}
		fmt.Println("got", int(s.(syscall.Signal)))
	}
	return 1
}

// selfBinary is a test binary with symbols: plain `go test` links without.
var selfBinary = sync.OnceValues(func() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	if _, err := runtimeVariables(nil); err == nil {
		return exe, nil
	}
	exe = filepath.Join(scratch, "watcher")
	out, err := exec.Command("go", "test", "-c", "-o", exe, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build a test binary with symbols: %w: %s", err, out)
	}
	return exe, nil
})

var scratch string // removed at the end

// self is the test binary in its other roles.
func self(t testing.TB) string {
	t.Helper()
	exe, err := selfBinary()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs %s: %v", p, err)
		}
	}
}

// script runs sh with $W as the way to watch a command, and gives its output and exit code.
func script(t *testing.T, watched bool, text string) (out string, code int) {
	t.Helper()
	w := ""
	if watched {
		w = self(t) + " watch"
	}
	// An interpreter that stays the parent, and defines W without leaving it in the environment.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf("W='%s'\n%s\n", w, text))
	cmd.Dir = t.TempDir()
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		t.Fatal(err)
	}
	return b.String(), cmd.ProcessState.ExitCode()
}

// alike runs a shell script bare and watched and expects the same output and exit code.
func alike(t *testing.T, text string) string {
	t.Helper()
	bare, c1 := script(t, false, text)
	got, c2 := script(t, true, text)
	if bare != got || c1 != c2 {
		t.Errorf("%s\n--- bare, exit code %d:\n%s\n--- watched, exit code %d:\n%s", text, c1, bare, c2, got)
	}
	return got
}

// process is a started one whose standard output is read.
type process struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout *os.File
}

// start starts a watcher in a process group of its own.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	cmd := exec.Command(self(t), append([]string{"watch"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	p := &process{Cmd: cmd}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, p.stdout = w, r
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		r.Close()
		if cmd.ProcessState == nil {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			cmd.Wait()
		}
	})
	return p
}

// line reads one line of the output.
func (p *process) line(t *testing.T) string {
	t.Helper()
	p.stdout.SetReadDeadline(time.Now().Add(20 * time.Second))
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := p.stdout.Read(b); err != nil {
			t.Fatalf("read a line of the output, up to now %q: %v", line, err)
		}
		if b[0] == '\n' {
			return string(line)
		}
		line = append(line, b[0])
	}
}

// number is the pid at the start of text; 0 or -1 would be more than one process to send a signal to.
func number(t *testing.T, text string) int {
	t.Helper()
	var pid int
	if _, err := fmt.Sscan(text, &pid); err != nil || pid < 2 {
		t.Fatalf("no pid in %q: %v", text, err)
	}
	return pid
}

// rest reads the output to its end.
func (p *process) rest(t *testing.T) string {
	t.Helper()
	p.stdout.SetReadDeadline(time.Now().Add(20 * time.Second))
	b, err := io.ReadAll(p.stdout)
	if err != nil {
		t.Fatalf("read the output to its end: %v", err)
	}
	return string(b)
}

// eventually waits until f holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it was waited in vain until %s", what)
		}
	}
}

func writeScript(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prog")
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return file
}
