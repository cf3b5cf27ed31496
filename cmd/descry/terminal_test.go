package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
)

// screen is a terminal that a command runs at.
type screen struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	mu     sync.Mutex
	more   *sync.Cond
	got    bytes.Buffer
	closed bool
}

// at starts descry at a terminal of that width.
func at(t *testing.T, width uint16, env []string, args ...string) *screen {
	t.Helper()
	s := &screen{t: t, cmd: exec.Command("descry", args...)}
	s.more = sync.NewCond(&s.mu)
	s.cmd.Env = append(append(os.Environ(), "TERM=xterm", "NO_COLOR=", "DESCRY_CASES="+filepath.Join(t.TempDir(), "cases")), env...)
	var err error
	if s.master, err = pty.StartWithSize(s.cmd, &pty.Winsize{Rows: 24, Cols: width}); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) })
	t.Cleanup(func() { timer.Stop(); s.master.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := s.master.Read(b)
			s.mu.Lock()
			s.got.Write(b[:n])
			s.closed = s.closed || err != nil
			s.more.Broadcast()
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

// wait waits until the terminal has shown text n times.
func (s *screen) wait(text string, n int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for strings.Count(s.got.String(), text) < n {
		if s.closed {
			s.t.Fatalf("never showed %q %d times: %q", text, n, &s.got)
		}
		s.more.Wait()
	}
}

func (s *screen) type_(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.master, text); err != nil {
		s.t.Fatal(err)
	}
}

// end gives the exit code and all that was shown.
func (s *screen) end() (code int, shown string) {
	s.t.Helper()
	var exit *exec.ExitError
	if err := s.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed {
		s.more.Wait()
	}
	return s.cmd.ProcessState.ExitCode(), s.got.String()
}

var dies = []string{"run", "--no-probes", "--", "sh", "-c", "echo words with a rather long line of output behind them that no narrow terminal holds; exit 3"}

func TestColourOnlyOnATerminal(t *testing.T) {
	for _, c := range []struct {
		name   string
		env    []string
		colour bool
	}{
		{"terminal", nil, true},
		{"NO_COLOR", []string{"NO_COLOR=1"}, false},
		{"dumb", []string{"TERM=dumb"}, false},
	} {
		code, shown := at(t, 80, c.env, dies...).end()
		if code != 3 || !strings.Contains(shown, "sh exited with code 3") {
			t.Fatalf("%s: exit code %d, %q", c.name, code, shown)
		}
		if got := strings.Contains(shown, "\x1b["); got != c.colour {
			t.Errorf("%s: colour %v, want %v: %q", c.name, got, c.colour, shown)
		}
	}
	out, _ := exec.Command("descry", append([]string{dies[0], "--cases", t.TempDir()}, dies[1:]...)...).CombinedOutput()
	if bytes.Contains(out, []byte("\x1b")) || !bytes.Contains(out, []byte("sh exited with code 3")) {
		t.Errorf("in a pipe: %q", out)
	}
}

func TestWidth(t *testing.T) {
	for _, width := range []uint16{40, 60, 80, 120} {
		_, shown := at(t, width, []string{"NO_COLOR=1"}, dies...).end()
		_, report, _ := strings.Cut(shown, "\r\n") // the program's own line is as long as it is
		for line := range strings.SplitSeq(report, "\r\n") {
			if n := utf8.RuneCountInString(line); n > int(width) && !strings.Contains(line, "descry why") {
				t.Errorf("at %d cells a line of %d: %q", width, n, line)
			}
		}
	}
}

// With --tty the program has a terminal, and so does who types.
func TestTTY(t *testing.T) {
	s := at(t, 80, nil, "run", "--no-probes", "--tty", "--", "sh", "-c",
		`test -t 0 && test -t 1 && test -t 2 && stty size; while printf '>>> ' && read x; do test "$x" = die && kill -ABRT $$; echo "<$x>"; done`)
	s.wait(">>> ", 1)
	s.type_("some words\r")
	s.wait(">>> ", 2)
	s.type_("die\r")
	code, shown := s.end()
	if code != 134 {
		t.Errorf("exit code %d, want 134", code)
	}
	for _, want := range []string{"24 80\r\n", ">>> some words\r\n<some words>\r\n", "descry: sh "} {
		if !strings.Contains(shown, want) {
			t.Errorf("it does not show %q: %q", want, shown)
		}
	}
	if strings.Contains(shown, "\r\r\n") {
		t.Errorf("lines end twice: %q", shown)
	}
	if n := strings.Count(shown, "\n"); n != strings.Count(shown, "\r\n") {
		t.Errorf("lines end without a carriage return: %q", shown)
	}
}

// An interrupt from the terminal ends the program; the user knows why, so one line will do.
func TestInterruptFromTheTerminal(t *testing.T) {
	for _, tty := range []string{"--tty=false", "--tty=true"} {
		s := at(t, 100, nil, "run", "--no-probes", tty, "--", "sh", "-c", "echo up; exec cat")
		s.wait("up", 1)
		s.type_("\x03")
		code, shown := s.end()
		if code != 130 || !strings.Contains(shown, "was ended by an interrupt from the terminal") {
			t.Errorf("%s: exit code %d, %q", tty, code, shown)
		}
		if n := strings.Count(shown, "\n"); n > 4 {
			t.Errorf("%s: %d lines about what the user did: %q", tty, n, shown)
		}
	}
}

// A warning while the terminal is the program's ends its line as that needs it.
func TestWarningAtATerminal(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash: a shell that opens descriptors above 9")
	}
	s := at(t, 200, nil, "run", "--no-probes", "--tty", "--", "bash", "-c",
		// bash gives {fd} numbers from 10 on only, so those below are filled by name: 57 of 60, whatever the test inherited.
		`ulimit -n 60; exec 3</dev/null 4<&3 5<&3 6<&3 7<&3 8<&3 9<&3; for i in {1..47}; do exec {fd}</dev/null; read -t 0.1 x && break; done; read x`)
	s.wait("descry: descriptors grow", 1)
	s.type_("\r\r")
	_, shown := s.end()
	_, rest, _ := strings.Cut(shown, "descry: descriptors grow")
	if line, _, _ := strings.Cut(rest, "\n"); !strings.HasSuffix(line, "\r") || strings.HasSuffix(line, "\r\r") || !strings.Contains(line, "of 60") {
		t.Errorf("the warning is %q", line)
	}
}
