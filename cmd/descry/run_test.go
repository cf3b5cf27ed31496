package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// watched is a `descry run` that a test talks to.
type watched struct {
	*exec.Cmd
	t      *testing.T
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

func start(t *testing.T, args ...string) *watched {
	t.Helper()
	w := &watched{Cmd: exec.Command("descry", append([]string{"run"}, args...)...), t: t}
	w.Env = append(os.Environ(), "DESCRY_CASES="+filepath.Join(t.TempDir(), "cases"))
	w.Stderr = &w.stderr
	// A group of its own: what is sent to it is not sent to the test.
	w.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := w.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.out = bufio.NewReader(out)
	if w.in, err = w.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { syscall.Kill(-w.Process.Pid, syscall.SIGKILL) })
	t.Cleanup(func() { timer.Stop() })
	return w
}

// line waits for one line of the program.
func (w *watched) line(want string) {
	w.t.Helper()
	got, err := w.out.ReadString('\n')
	if err != nil || got != want+"\n" {
		w.t.Fatalf("the program wrote %q (%v), want %q\nstderr: %s", got, err, want, &w.stderr)
	}
}

// end waits for the end and gives the exit code, 128+n where a signal ended descry itself.
func (w *watched) end() int {
	w.t.Helper()
	io.Copy(io.Discard, w.out)
	err := w.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	if ws := w.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return w.ProcessState.ExitCode()
}

func (w *watched) said(pattern string) {
	w.t.Helper()
	if !regexp.MustCompile(pattern).MatchString(w.stderr.String()) {
		w.t.Errorf("descry did not say %s but\n%s", pattern, &w.stderr)
	}
}

// A shell that counts what it is sent, and ends at the second. A signal may end its read, too.
const counts = `n=0 ends=0; trap 'n=$((n+1)); echo got $n; test $n = 2 && exit 7' INT TERM; echo up; while :; do read x || ends=$((ends+1)); test $ends -lt 1000 || exit 8; done`

func TestInterruptTwice(t *testing.T) {
	w := start(t, "--no-probes", "--", "sh", "-c", counts)
	w.line("up")
	for i := 1; i <= 2; i++ { // as the terminal does: to the whole group
		syscall.Kill(-w.Process.Pid, syscall.SIGINT)
		fmt.Fprintln(w.in, "a trap runs between two lines")
		w.line("got " + strconv.Itoa(i))
	}
	if code := w.end(); code != 7 {
		t.Errorf("exit code %d, want 7\n%s", code, &w.stderr)
	}
}

func TestTerminatePassesOn(t *testing.T) {
	w := start(t, "--no-probes", "--", "sh", "-c", "trap 'echo asked; exit 9' TERM; echo up; while :; do read x; done")
	w.line("up")
	w.Process.Signal(syscall.SIGTERM)
	fmt.Fprintln(w.in, "")
	w.line("asked")
	if code := w.end(); code != 9 {
		t.Errorf("exit code %d, want 9", code)
	}

	w = start(t, "--", "sh", "-c", "echo up; read x")
	w.line("up")
	w.Process.Signal(syscall.SIGTERM)
	if code := w.end(); code != 143 {
		t.Errorf("exit code %d, want 143", code)
	}
	w.said(`descry: sh was ended by SIGTERM`)
	if probes() == nil {
		w.said(`Somebody sent SIGTERM to descry run, which passed it on`)
	}
}

func TestNobodyReadsTheReport(t *testing.T) {
	w := exec.Command("descry", "run", "--no-probes", "--cases", t.TempDir(), "--", "sh", "-c", "read x; echo words >&2; exit 3")
	r, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.Stderr = stderr
	in, err := w.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	stderr.Close()
	r.Close() // before the program writes anything
	fmt.Fprintln(in, "go")
	w.Wait()
	// The program itself met the pipe without a reader, as it would without descry.
	if code := w.ProcessState.ExitCode(); code != 141 && code != 3 {
		t.Errorf("%v, want the program's own exit code", w.ProcessState)
	}

	w = exec.Command("descry", "run", "--report", "no/such/directory", "--", "true")
	if r, stderr, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Stderr = stderr
	w.Run()
	stderr.Close()
	if code := w.ProcessState.ExitCode(); code != 125 {
		t.Errorf("%v, want exit code 125", w.ProcessState)
	}
}

// descry is killed while the program runs: the program does not notice, and what was kept is read,
// while it is written, after the kill, and with its end torn off.
func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rec")
	w := start(t, "--no-probes", "--keep", dir, "--", "sh", "-c", `echo $$; read x; echo one; echo two >&2; sleep 0.01; echo three; exit 3`)
	pid, err := w.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	judge(t, dir, "breaks off at .* or it still runs")
	w.Process.Kill()
	w.Process.Wait()
	fmt.Fprintln(w.in, "go")
	w.line("one")
	w.line("three")
	if _, err := w.out.ReadByte(); err != io.EOF {
		t.Errorf("the output did not end: %v", err)
	}
	if err := w.Wait(); err == nil {
		t.Error("descry was not killed")
	}
	if got := w.stderr.String(); got != "two\n" {
		t.Errorf("stderr is %q", got)
	}
	out := judge(t, dir, "breaks off at")
	if !strings.Contains(out, `"pid": `+strings.TrimSpace(pid)) {
		t.Errorf("the case is not of process %s: %s", pid, out)
	}
	segments, err := filepath.Glob(dir + "/first.0.rec")
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(segments[0], int64(len(bytes.TrimRight(b, "\x00"))-2)); err != nil {
		t.Fatal(err)
	}
	judge(t, dir, "the recording is damaged: first.0.rec: the last [0-9]+ bytes are no whole record and were left out")
}

// judge gives the case of a recording as JSON; stderr must match.
func judge(t *testing.T, dir, stderr string) string {
	t.Helper()
	cmd := exec.Command("descry", "judge", "-o", "json", dir)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil || !regexp.MustCompile(stderr).Match(said.Bytes()) {
		t.Fatalf("judge of the recording: %v\nstderr %q, want %s", err, &said, stderr)
	}
	return string(out)
}

// Without root there is less to see, one line says so, and a death is still explained.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it becomes another user")
	}
	// The test's own binary is where that user may not go.
	dir, err := os.MkdirTemp("", "descry-nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "descry")
	if err := errors.Join(os.WriteFile(bin, self, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	as := func(args ...string) (code int, stdout, stderr string) {
		cmd := exec.Command(bin, args...)
		cmd.Dir = "/"
		cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		var out, serr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &serr
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), out.String(), serr.String()
	}
	code, out, stderr := as("run", "--", "sh", "-c", "echo words; exit 3")
	if code != 3 || out != "words\n" {
		t.Errorf("exit code %d, output %q", code, out)
	}
	first, rest, _ := strings.Cut(stderr, "\n")
	if !strings.HasPrefix(first, "descry: sees only /proc and the output: ") || !strings.Contains(first, "run it with sudo") {
		t.Errorf("the first line is %q", first)
	}
	for _, want := range []string{"descry: sh exited with code 3", `its last words: "words"`,
		"the case is not kept: neither HOME nor XDG_STATE_HOME names a place for it (--cases DIR or DESCRY_CASES=DIR does)"} {
		if !strings.Contains(strings.Join(strings.Fields(rest), " "), want) {
			t.Errorf("it does not say %q but\n%s", want, stderr)
		}
	}
	if strings.Contains(stderr, "ruled out") {
		t.Errorf("what was not watched is ruled out:\n%s", stderr)
	}
	if code, _, stderr := as("run", "--quiet", "--", "true"); code != 0 || stderr != "" {
		t.Errorf("true under --quiet: exit code %d, %q", code, stderr)
	}
	if code, _, stderr := as("run", "--no-probes", "--", "no-such-command"); code != 127 || !strings.Contains(stderr, "is in no directory of PATH") {
		t.Errorf("a command that is not there: exit code %d, %q", code, stderr)
	}
	if code, _, stderr := as("run", "--no-probes", "--", filepath.Join(t.TempDir(), "x")); code != 126 || !strings.Contains(stderr, "cannot be reached, since a directory") {
		t.Errorf("a command that cannot be reached: exit code %d, %q", code, stderr)
	}
	for _, cmd := range []string{"cases", "why"} {
		if code, _, stderr := as(cmd); code != 1 || !strings.Contains(stderr, "no place for cases is known") {
			t.Errorf("%s: exit code %d, %q", cmd, code, stderr)
		}
	}
	if code, out, _ := as("doctor"); code != 0 || !strings.Contains(out, "sudo descry doctor") {
		t.Errorf("doctor: exit code %d, %q", code, out)
	}
}

// Many runs leave nothing behind: no process, no cgroup.
func TestLeavesNothing(t *testing.T) {
	runs := 40
	if testing.Short() {
		runs = 10
	}
	// Whatever loses its parent becomes a child of this process.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	before := children(t)
	var pids []string
	for range runs {
		cmd := exec.Command("descry", "run", "--quiet", "--", "true")
		if out, err := cmd.CombinedOutput(); err != nil || len(out) != 0 {
			t.Fatalf("%v: %s", err, out)
		}
		pids = append(pids, strconv.Itoa(cmd.Process.Pid))
	}
	var left []int
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		left = left[:0]
		for pid := range children(t) {
			if !before[pid] {
				left = append(left, pid)
				syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
			}
		}
		if len(left) == 0 {
			break
		}
	}
	if len(left) != 0 {
		t.Errorf("processes %v are left", left)
	}
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		for _, pid := range pids {
			if err == nil && strings.HasPrefix(d.Name(), "descry-"+pid+"-") {
				t.Errorf("cgroup %s is left", path)
			}
		}
		return nil
	})
}

// children are the pids whose parent is this process.
func children(t *testing.T) map[int]bool {
	t.Helper()
	found := map[int]bool{}
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range lists {
		b, _ := os.ReadFile(name) // a thread that has ended
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				found[pid] = true
			}
		}
	}
	return found
}
