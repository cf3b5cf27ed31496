package run

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is a user's terminal with a watcher in its foreground.
type terminal struct {
	*exec.Cmd
	master, slave *os.File
	before        unix.Termios
	mu            sync.Mutex
	seen          strings.Builder
}

func startInTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Skip("needs pseudo-terminals: ", err)
	}
	pty.Setsize(master, &pty.Winsize{Rows: 33, Cols: 101})
	tio, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{Cmd: exec.Command(self(t), append([]string{"watch"}, args...)...), master: master, slave: slave, before: *tio}
	term.Stdin, term.Stdout, term.Stderr = slave, slave, slave
	term.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := term.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			term.mu.Lock()
			term.seen.Write(b[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		if term.ProcessState == nil {
			term.Process.Kill()
			term.Wait()
		}
		slave.Close()
		master.Close()
	})
	return term
}

func (term *terminal) shown() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.seen.String()
}

func (term *terminal) expect(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(term.shown(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the terminal does not show %q but %q", text, term.shown())
		}
	}
}

func (term *terminal) typed(text string) { io.WriteString(term.master, text) }

func (term *terminal) settings(t *testing.T) unix.Termios {
	t.Helper()
	tio, err := unix.IoctlGetTermios(int(term.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *tio
}

func TestTerminal(t *testing.T) {
	needs(t, "stty", "tty")
	result := t.TempDir() + "/result"
	term := startInTerminal(t, "-tty", "-result", result, "sh", "-c",
		`test -t 0 && test -t 1 && test -t 2 && echo all-tty; stty size; trap 'stty size' WINCH; ps -o pid=,sid=,tpgid= -p $$ | awk '$1==$2 && $1==$3 {print "leader"}'; echo ready; while read x; do echo "<$x>"; done; stty -a >/dev/null; exit 6`)
	term.expect(t, "all-tty\r\n33 101\r\n")
	term.expect(t, "leader\r\nready\r\n")
	if raw := term.settings(t); raw.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
		t.Error("the outer terminal is not raw")
	}
	term.typed("word\r")
	term.expect(t, "word\r\n<word>\r\n") // echoed once, by the inner one
	pty.Setsize(term.master, &pty.Winsize{Rows: 44, Cols: 55})
	term.typed("\r")
	term.expect(t, "44 55\r\n")
	term.typed("\x04")
	term.Wait()
	if term.ProcessState.ExitCode() != 6 {
		t.Error(term.ProcessState)
	}
	if now := term.settings(t); now != term.before {
		t.Errorf("the terminal was not restored: %+v, was %+v", now, term.before)
	}
	r := readResult(t, result)
	if !r.Merged || r.Interrupted || !strings.Contains(r.Tail, "<word>\r\n") || r.RelayLost || r.OutputHeld {
		t.Errorf("%+v", r)
	}
}

func TestTerminalInterrupt(t *testing.T) {
	result := t.TempDir() + "/result"
	term := startInTerminal(t, "-tty", "-result", result, "sh", "-c", "echo ready; exec cat")
	term.expect(t, "ready")
	term.typed("\x03")
	term.Wait()
	if r := readResult(t, result); r.Signal != syscall.SIGINT || r.ExitCode != 130 || !r.Interrupted {
		t.Errorf("%+v", r)
	}
	if term.settings(t) != term.before {
		t.Error("the terminal was not restored")
	}
}

// In a pipe's place under a terminal, Ctrl-C is the group's: the command gets it once and the
// watcher waits for it, the first, second and third time.
func TestInterruptFromTerminal(t *testing.T) {
	result := t.TempDir() + "/result"
	term := startInTerminal(t, "-result", result, self(t), "count-signals")
	term.expect(t, "pid ")
	for i := 1; i <= 4; i++ {
		term.typed("\x03")
		term.expect(t, strings.Repeat("got 2\r\n^C", i-1)+"got 2\r\n")
	}
	_, after, _ := strings.Cut(term.shown(), "pid ")
	unix.Kill(number(t, after), syscall.SIGALRM)
	term.Wait()
	if n := strings.Count(term.shown(), "got 2"); n != 4 || term.ProcessState.ExitCode() != 0 {
		t.Errorf("%d interrupts, %v", n, term.ProcessState)
	}
	if r := readResult(t, result); !r.Interrupted || !r.Merged {
		t.Errorf("%+v", r)
	}
}

// The watcher is killed while the terminal is raw: it is restored at once, and the program goes on.
func TestTerminalWatcherKilled(t *testing.T) {
	file := t.TempDir() + "/done"
	fifo := t.TempDir() + "/fifo"
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	// The watcher must not be the session's leader, whose death hangs the terminal up.
	term := startInTerminal(t, "sh", "-c", self(t)+` watch -tty sh -c 'echo ready $PPID; read x <`+fifo+`; echo on; echo $x >`+file+`'; echo shell back; cat`)
	term.expect(t, "ready ")
	term.expect(t, "\r\n")
	if term.settings(t) == term.before {
		t.Fatal("the outer terminal is not raw")
	}
	_, after, _ := strings.Cut(term.shown(), "ready ")
	unix.Kill(number(t, after), syscall.SIGKILL)
	term.expect(t, "shell back")
	eventually(t, "the terminal is restored", func() bool { return term.settings(t) == term.before })
	if err := os.WriteFile(fifo, []byte("word\n"), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the program has ended", func() bool { b, _ := os.ReadFile(file); return string(b) == "word\n" })
	term.expect(t, "\non\r") // the restored terminal adds a \r of its own
}

// Without a terminal outside there is one inside all the same.
func TestTerminalWithoutOuter(t *testing.T) {
	cmd := exec.Command(self(t), "watch", "-tty", "sh", "-c", "test -t 0 && test -t 1 && echo tty; stty size; cat; exit 3")
	cmd.Stdin = strings.NewReader("some\nwords")
	out, _ := cmd.Output()
	// The terminal's own echo of the input comes at any time.
	if o := string(out); !strings.Contains(o, "tty\r\n") || !strings.Contains(o, "24 80\r\n") || !strings.HasSuffix(o, "some\r\nwords") || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("%q, %v", out, cmd.ProcessState)
	}
	// Signals to the watcher are passed on also when its whole group got them.
	p := start(t, "-tty", "sh", "-c", "echo ready; exec cat")
	p.line(t)
	unix.Kill(-p.Process.Pid, syscall.SIGHUP)
	p.Wait()
	if p.ProcessState.ExitCode() != 129 {
		t.Error(p.ProcessState)
	}
}
