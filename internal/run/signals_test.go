package run

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// startCounting starts a watched program that counts signals, and gives its pid.
func startCounting(t *testing.T, result string) (p *process, pid int) {
	t.Helper()
	p = start(t, "-result", result, self(t), "count-signals")
	return p, number(t, strings.TrimPrefix(p.line(t), "pid "))
}

// A signal to the watcher alone reaches the command once; one to the group as well, without another
// from the watcher. Signals are passed on one after the other, so the last that arrives shows that
// none of the earlier is still to come.
func TestSignalsOnce(t *testing.T) {
	result := t.TempDir() + "/result"
	p, pid := startCounting(t, result)
	watcher := p.Process.Pid
	var want []string
	expect := func(sig syscall.Signal) {
		t.Helper()
		want = append(want, fmt.Sprintf("got %d", sig))
		if got := p.line(t); got != want[len(want)-1] {
			t.Fatalf("%q in place of %q", got, want[len(want)-1])
		}
	}
	for range 10 {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT, 40} {
			unix.Kill(watcher, sig)
			expect(sig)
			unix.Kill(-watcher, sig)
			expect(sig)
		}
	}
	unix.Kill(watcher, syscall.SIGPWR)
	expect(syscall.SIGPWR)
	unix.Kill(pid, syscall.SIGALRM)
	if rest := p.rest(t); rest != "" {
		t.Errorf("more signals than were sent: %q", rest)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	r := readResult(t, result)
	if !r.Interrupted || !slices.Contains(r.Signals, SignalSeen{syscall.SIGINT, 10, 10}) || !slices.Contains(r.Signals, SignalSeen{syscall.SIGPWR, 0, 1}) {
		t.Errorf("%+v", r.Signals)
	}
}

// The relay is slow to say what it got: the answer is right all the same.
func TestSlowRelay(t *testing.T) {
	p, pid := startCounting(t, t.TempDir()+"/result")
	watcher := p.Process.Pid
	relay := relayOf(t, watcher)
	for range 10 {
		unix.Kill(relay, syscall.SIGSTOP)
		eventually(t, "the relay is stopped", func() bool { return isStopped(relay) })
		unix.Kill(-watcher, syscall.SIGINT)
		time.Sleep(2 * groupWait) // to be late, which is the point; no event shows it
		unix.Kill(relay, syscall.SIGCONT)
		if got := p.line(t); got != "got 2" {
			t.Fatal(got)
		}
		unix.Kill(watcher, syscall.SIGTERM)
		if got := p.line(t); got != "got 15" {
			t.Fatalf("%q: passed on although the group got it", got)
		}
	}
	unix.Kill(pid, syscall.SIGALRM)
	p.Wait()
}

// Sent to the watcher and at once to its group, as timeout(1) does, a signal reaches the command at
// most twice, as it would without a watcher.
func TestSignalToWatcherAndGroup(t *testing.T) {
	p, pid := startCounting(t, t.TempDir()+"/result")
	unix.Kill(p.Process.Pid, syscall.SIGTERM)
	unix.Kill(-p.Process.Pid, syscall.SIGTERM)
	if got := p.line(t); got != "got 15" {
		t.Error(got)
	}
	unix.Kill(p.Process.Pid, syscall.SIGPWR)
	got := p.line(t)
	if got == "got 15" {
		got = p.line(t)
	}
	if got != "got 30" {
		t.Error(got)
	}
	unix.Kill(pid, syscall.SIGALRM)
	p.Wait()
}

// A signal that ends the command ends the watcher too, with 128+n; one that the command catches
// does not.
func TestSignalEnds(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGABRT} {
		for _, group := range []bool{false, true} {
			p := start(t, "sh", "-c", "echo ready; exec cat")
			p.line(t)
			to := p.Process.Pid
			if group {
				to = -to
			}
			unix.Kill(to, sig)
			p.Wait()
			if p.ProcessState.ExitCode() != 128+int(sig) {
				t.Errorf("%v, group %v: %v", sig, group, p.ProcessState)
			}
		}
	}
	p := start(t, "sh", "-c", "trap 'echo caught; exit 9' TERM; echo ready; while :; do read x; done")
	p.line(t)
	unix.Kill(p.Process.Pid, syscall.SIGTERM)
	if got := p.line(t); got != "caught" {
		t.Error(got)
	}
	p.Wait()
	if p.ProcessState.ExitCode() != 9 {
		t.Error(p.ProcessState)
	}
}

// Ctrl-Z stops command and watcher, and the parent sees its job stopped; fg continues both.
func TestStopAndContinue(t *testing.T) {
	for _, group := range []bool{true, false} {
		p := start(t, "sh", "-c", "echo $$; read x; echo $x; read x; echo $x; exit 3")
		pid := number(t, p.line(t))
		watcher := p.Process.Pid
		to := watcher
		if group {
			to = -watcher
		}
		for range 2 {
			eventually(t, "the watcher catches it", func() bool { return catches(t, watcher, syscall.SIGTSTP) })
			unix.Kill(to, syscall.SIGTSTP)
			var ws syscall.WaitStatus
			if _, err := syscall.Wait4(watcher, &ws, syscall.WUNTRACED, nil); err != nil || !ws.Stopped() || ws.StopSignal() != syscall.SIGTSTP {
				t.Fatal(ws, err)
			}
			if !isStopped(pid) {
				t.Error("the watcher is stopped, the command is not")
			}
			unix.Kill(to, syscall.SIGCONT)
			if _, err := syscall.Wait4(watcher, &ws, syscall.WCONTINUED, nil); err != nil || !ws.Continued() {
				t.Fatal(ws, err)
			}
			fmt.Fprintln(p.stdin, "go on")
			if got := p.line(t); got != "go on" {
				t.Error(got)
			}
		}
		p.Wait()
		if p.ProcessState.ExitCode() != 3 {
			t.Error(p.ProcessState)
		}
	}
}

func catches(t *testing.T, pid int, sig syscall.Signal) bool {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\nSigCgt:\t")
	set, err := strconv.ParseUint(rest[:16], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return set&sigBit(int(sig)) != 0
}

// Who stops and continues the command by its pid does not stop the watcher.
func TestStopCommandAlone(t *testing.T) {
	p := start(t, "sh", "-c", "echo $$; read x; exit 4")
	pid := number(t, p.line(t))
	unix.Kill(pid, syscall.SIGSTOP)
	eventually(t, "the command is stopped", func() bool { return isStopped(pid) })
	unix.Kill(pid, syscall.SIGCONT)
	fmt.Fprintln(p.stdin)
	p.Wait()
	if p.ProcessState.ExitCode() != 4 {
		t.Error(p.ProcessState)
	}
}

// A command that is not let go never runs, and a signal ends it as it would end any.
func TestPreparedOnly(t *testing.T) {
	c, r := prepare(t, Config{Args: []string{"echo", "never"}})
	if c.PID() <= 0 || syscall.Kill(c.PID(), 0) != nil {
		t.Fatal("it has no process")
	}
	c.Close()
	<-c.Dead()
	b := make([]byte, 10)
	if n, _ := r.Read(b); n != 0 {
		t.Errorf("%q", b[:n])
	}

	c, _ = prepare(t, Config{Args: []string{"echo", "never"}})
	c.Signal(syscall.SIGQUIT)
	<-c.Dead()
	if err := c.Go(); err == nil {
		t.Error("it was started after its death")
	}
	if res := c.Wait(); res.Started || res.Signal != syscall.SIGQUIT || c.Tap().Totals(Stdout).Written != 0 {
		t.Errorf("%+v", res)
	}
}

func TestBadConfig(t *testing.T) {
	if _, err := Prepare(Config{}); err == nil {
		t.Error("no command was taken")
	}
}
