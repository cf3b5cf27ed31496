package run

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// randomFile gives a file of n random bytes.
func randomFile(t *testing.T, n int) (string, [32]byte) {
	t.Helper()
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(n)})
	src.Read(b)
	file := filepath.Join(t.TempDir(), "random")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, sha256.Sum256(b)
}

func TestOutputBytes(t *testing.T) {
	a, sumA := randomFile(t, 20<<20+17)
	b, sumB := randomFile(t, 9<<20+1)
	result := t.TempDir() + "/result"
	cmd := exec.Command(self(t), "watch", "-result", result, "sh", "-c", `cat "$0" & cat "$1" >&2; wait`, a, b)
	hashA, hashB := sha256.New(), sha256.New()
	cmd.Stdout, cmd.Stderr = hashA, hashB
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(hashA.Sum(nil), sumA[:]) || !bytes.Equal(hashB.Sum(nil), sumB[:]) {
		t.Error("the output was changed on its way")
	}
	r := readResult(t, result)
	if r.Merged || r.Out.Written != 20<<20+17 || r.Out.Passed != r.Out.Written || r.Err.Written != 9<<20+1 || r.Err.Passed != r.Err.Written || !r.Out.Ended {
		t.Errorf("%+v %+v", r.Out, r.Err)
	}
}

func TestOutputMerged(t *testing.T) {
	result := t.TempDir() + "/result"
	cmd := exec.Command(self(t), "watch", "-result", result, "sh", "-c", `for i in $(seq 500); do echo o$i; echo e$i >&2; done`)
	var want strings.Builder
	for i := 1; i <= 500; i++ {
		fmt.Fprintf(&want, "o%d\ne%d\n", i, i)
	}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != want.String() {
		t.Errorf("%v, %.200q", err, out)
	}
	if r := readResult(t, result); !r.Merged || r.Out.Written != int64(want.Len()) || r.Err.Written != 0 || !strings.HasSuffix(r.Tail, "o500\ne500\n") {
		t.Errorf("%+v", r)
	}
}

// A reader that takes nothing slows the command down, as a pipe does, and the stall can be seen.
func TestSlowReader(t *testing.T) {
	c, r := prepare(t, Config{Args: []string{"sh", "-c", "head -c 10000000 /dev/zero; echo end >&2"}})
	if err := c.Go(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the relay stalls", func() bool {
		since := c.Tap().Stalled(Stdout)
		return since != 0 && bootNanos()-since > 50e6
	})
	// Pipe, one chunk, pipe: the rest is not taken from the command.
	if n := c.Tap().Totals(Stdout); n.Written > 300<<10 || n.Written <= n.Passed || n.Ended {
		t.Errorf("%+v", n)
	}
	if n := c.Tap().Totals(Stderr); n.Written != 0 {
		t.Error("the command went on")
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r, 10_000_004))
	if err != nil || n != 10_000_004 {
		t.Error(n, err)
	}
	if res := c.Wait(); res.ExitCode != 0 || c.Tap().Stalled(Stdout) != 0 {
		t.Errorf("%+v", res)
	}
}

// prepare prepares a command in this process, with its outputs in one pipe that r reads.
func prepare(t testing.TB, cfg Config) (c *Command, r *os.File) {
	t.Helper()
	if _, err := os.Stat("/proc/self/exe"); err != nil {
		t.Skip("needs /proc")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Stdout, cfg.Stderr = w, w
	if cfg.Stdin == nil {
		if cfg.Stdin, err = os.Open(os.DevNull); err != nil {
			t.Fatal(err)
		}
		defer cfg.Stdin.Close()
	}
	c, err = Prepare(cfg)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		c.Signal(syscall.SIGKILL)
		c.Close()
	})
	return c, r
}

// The reader goes away: the command gets SIGPIPE at its next write, be it at work or idle.
func TestReaderGone(t *testing.T) {
	for name, prog := range map[string]string{"busy": "exec yes", "idle": "echo 1; read x; echo 2; echo $? >&2; kill -9 $$"} {
		t.Run(name, func(t *testing.T) {
			result := t.TempDir() + "/result"
			p := start(t, "-result", result, "sh", "-c", prog)
			p.line(t)
			p.stdout.Close()
			if name == "idle" {
				// The relay has seen it before the command writes again.
				eventually(t, "the pipe has no reader", func() bool {
					_, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", relayOf(t, p.Process.Pid), relayPipe))
					return err != nil
				})
				fmt.Fprintln(p.stdin)
			}
			p.Wait()
			r := readResult(t, result)
			if r.Signal != syscall.SIGPIPE || r.ExitCode != 141 || p.ProcessState.ExitCode() != 141 || !r.Out.Gone {
				t.Errorf("%+v", r)
			}
		})
	}
}

// relayOf finds the relay of a watcher.
func relayOf(t *testing.T, watcher int) int {
	t.Helper()
	for _, pid := range childrenOf(t, watcher) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if string(b) == "descry-relay\n" {
			return pid
		}
	}
	t.Fatal("no relay")
	return 0
}

func childrenOf(t *testing.T, pid int) (pids []int) {
	t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for _, n := range strings.Fields(string(b)) {
			pid, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// The watcher is killed: the program goes on to its end and all its output arrives.
func TestWatcherKilled(t *testing.T) {
	p := start(t, "sh", "-c", "echo $$; read x; seq 200000; echo err >&2; echo last $x")
	p.Stderr = nil
	command := number(t, p.line(t))
	relay := relayOf(t, p.Process.Pid)
	p.Process.Kill()
	p.Process.Wait()
	// What a terminal or a service manager sends next ends neither.
	syscall.Kill(relay, syscall.SIGTERM)
	syscall.Kill(relay, syscall.SIGINT)
	syscall.Kill(relay, syscall.SIGHUP)
	syscall.Kill(relay, syscall.SIGQUIT)
	fmt.Fprintln(p.stdin, "word")
	out := p.rest(t)
	if !strings.HasSuffix(out, "\n199999\n200000\nlast word\n") || strings.Count(out, "\n") != 200001 {
		t.Errorf("%d bytes, at the end %q", len(out), out[max(0, len(out)-50):])
	}
	for _, pid := range []int{command, relay} {
		eventually(t, "both have ended", func() bool { return syscall.Kill(pid, 0) != nil || isZombie(pid) })
	}
}

func isZombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.Contains(b, []byte(") Z "))
}

// Children that outlive the command hold its output: that is waited for, then they are named, and
// what they write still arrives.
func TestOutputHeld(t *testing.T) {
	result := t.TempDir() + "/result"
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self(t), "watch", "-hold", "50ms", "-result", result, "sh", "-c", "(read x; echo late $x) <&3 & echo $!; exit 5")
	cmd.ExtraFiles = []*os.File{r}
	cmd.Stdout = outW
	cmd.Run()
	r.Close()
	outW.Close()
	if cmd.ProcessState.ExitCode() != 5 {
		t.Error(cmd.ProcessState)
	}
	res := readResult(t, result)
	fmt.Fprintln(w, "word")
	w.Close()
	b, err := io.ReadAll(out)
	child, rest, _ := strings.Cut(string(b), "\n")
	if err != nil || rest != "late word\n" {
		t.Errorf("%q, %v", b, err)
	}
	if !res.OutputHeld || len(res.Holders) != 1 || strconv.Itoa(int(res.Holders[0].PID)) != child || !strings.Contains(res.Holders[0].Command, "echo late") {
		t.Errorf("%+v", res)
	}
}

// A reader that takes nothing is waited for as long as those that hold the output, and gets the rest
// when it reads; a signal ends the waiting, and what was not taken is lost as it would be without us.
func TestStuckOrGiveUp(t *testing.T) {
	for _, giveUp := range []bool{false, true} {
		hold := time.Millisecond
		if giveUp {
			hold = time.Hour
		}
		c, r := prepare(t, Config{Args: []string{"sh", "-c", "head -c 100000 /dev/zero; exec head -c 30000 /dev/zero"}, HoldTime: hold})
		if err := c.Go(); err != nil {
			t.Fatal(err)
		}
		<-c.Dead()
		done := make(chan Result)
		go func() { done <- c.Wait() }()
		if giveUp {
			unix.Kill(os.Getpid(), unix.SIGTERM)
			if res := <-done; !res.GaveUp || res.Stuck || res.ExitCode != 0 {
				t.Errorf("%+v", res)
			}
			continue
		}
		if res := <-done; !res.Stuck || res.GaveUp || res.OutputHeld || res.ExitCode != 0 {
			t.Errorf("%+v", res)
		}
		if n, err := io.CopyN(io.Discard, r, 130_000); err != nil {
			t.Error(n, err)
		}
	}
}

// What the output goes to may be non-blocking, or full.
func TestOutsideRefuses(t *testing.T) {
	t.Run("non-blocking", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self(t), "watch", "seq", "300000")
		cmd.Stdout = w
		unix.SetNonblock(int(w.Fd()), true)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		unix.SetNonblock(int(w.Fd()), true) // exec's Fd made it blocking
		w.Close()
		b, err := io.ReadAll(r)
		if err != nil || !bytes.HasSuffix(b, []byte("\n300000\n")) || bytes.Count(b, []byte("\n")) != 300000 {
			t.Errorf("%v, %d bytes", err, len(b))
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("full", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip("needs /dev/full: ", err)
		}
		defer full.Close()
		result := t.TempDir() + "/result"
		cmd := exec.Command(self(t), "watch", "-result", result, "sh", "-c", "echo 12345; echo 678; exit 3")
		cmd.Stdout = full
		cmd.Run()
		if r := readResult(t, result); r.ExitCode != 3 || r.Out.Dropped != 10 || r.Out.Errno != int32(syscall.ENOSPC) || r.Out.Gone {
			t.Errorf("%+v", r)
		}
	})
}

// Lines of several watched programs in one pipe are not torn where the programs write them whole,
// also when the relays get many of them at once.
func TestLinesStayWhole(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	const blocks = 1000
	for _, word := range []string{strings.Repeat("a", 43), strings.Repeat("b", 42)} {
		// Raw descriptors: the pump closes them.
		var in [2]int
		if err := unix.Pipe2(in[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		program := os.NewFile(uintptr(in[1]), "program")
		go func() {
			defer program.Close()
			for range blocks {
				program.WriteString(strings.Repeat(word+"\n", 40)) // each is written whole
			}
		}()
		out, err := unix.FcntlInt(w.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			t.Fatal(err)
		}
		all.Go((&pump{s: new(sharedStream), mem: new(shared), in: in[0], out: out}).run)
	}
	w.Close()
	go all.Wait()
	var got bytes.Buffer
	for buf := make([]byte, 3001); ; { // slower than they write
		n, err := r.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			break
		}
	}
	lines := 0
	for line := range strings.Lines(got.String()) {
		lines++
		if n := len(line); n != 44 && n != 43 || strings.Trim(line[:n-1], line[:1]) != "" {
			t.Fatalf("torn line %q", line)
		}
	}
	if lines != 2*40*blocks {
		t.Errorf("%d lines", lines)
	}
}

// What two descriptors have in common decides whether there is one stream or two.
func TestOneOutput(t *testing.T) {
	for text, merged := range map[string]bool{
		"$W >f 2>&1": true, "$W >>f 2>>f": true, "$W >f 2>f": false, "$W >f 2>g": false, "$W >>f 2>f": false,
		"$W >/dev/null 2>/dev/null": false, "$W 2>&1 | cat": true, "($W 2>/proc/self/fd/1) | cat": true, "($W 2>&1 | cat) 2>&1": true,
	} {
		dir := t.TempDir()
		cmd := exec.Command("sh", "-c", strings.Replace(text, "$W", self(t)+" watch -result "+dir+"/result true", 1))
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v, %s", text, err, out)
		}
		if r := readResult(t, dir+"/result"); r.Merged != merged {
			t.Errorf("%s: merged is %v", text, r.Merged)
		}
	}
	a, b, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	dup, err := unix.Dup(int(a.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dup)
	if same, known := kcmp(int(a.Fd()), dup); known && !same {
		t.Error("kcmp: a duplicate is not the same")
	}
	if same, _ := kcmp(int(a.Fd()), int(b.Fd())); same {
		t.Error("kcmp: two ends are the same")
	}
}

// The relay is killed: the command meets a closed pipe, and the loss is told.
func TestRelayKilled(t *testing.T) {
	c, r := prepare(t, Config{Args: []string{"yes"}})
	if err := c.Go(); err != nil {
		t.Fatal(err)
	}
	io.CopyN(io.Discard, r, 100000)
	syscall.Kill(c.RelayPID(), syscall.SIGKILL)
	if res := c.Wait(); !res.RelayLost || res.Signal != syscall.SIGPIPE {
		t.Errorf("%+v", res)
	}
	if c.Tap().Totals(Stdout).Written < 100000 {
		t.Error("the ring is gone with its writer")
	}
}

func TestTap(t *testing.T) {
	stdin, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c, r := prepare(t, Config{Args: []string{"sh", "-c", "echo one; read x; echo two; head -c 1000000 /dev/zero; echo end"}, Stdin: stdin})
	stdin.Close()
	go io.Copy(io.Discard, r)
	tap := c.Tap()
	if b, from, lost := tap.Read(Stdout); len(b) != 0 || from != 0 || lost != 0 || tap.Wait(0) {
		t.Error(b, from, lost)
	}
	before := bootNanos()
	if err := c.Go(); err != nil {
		t.Fatal(err)
	}
	if !tap.Wait(20 * time.Second) {
		t.Fatal("no output")
	}
	after := bootNanos()
	if b, from, lost := tap.Read(Stdout); string(b) != "one\n" || from != 0 || lost != 0 {
		t.Errorf("%q %d %d", b, from, lost)
	}
	if at, ok := tap.TimeAt(Stdout, 2); !ok || at < before || at > after {
		t.Error(at, ok, before, after)
	}
	if _, ok := tap.TimeAt(Stdout, 4); ok {
		t.Error("the time of what has not come")
	}
	w.Close()
	if !tap.Wait(20 * time.Second) {
		t.Error("no more output")
	}
	res := c.Wait()
	const total = 4 + 4 + 1000000 + 4
	b, from, lost := tap.Read(Stdout)
	if from != 4+lost || lost < 1000000-ringSize || from+int64(len(b)) != total || !bytes.HasSuffix(b, []byte("\x00end\n")) || res.ExitCode != 0 {
		t.Errorf("from %d, lost %d, %d bytes, %+v", from, lost, len(b), res)
	}
	if tail, from := tap.Tail(nil, Stdout, 5); string(tail) != "\x00end\n" || from != total-5 {
		t.Errorf("%q %d", tail, from)
	}
	if tap.Wait(time.Hour) {
		t.Error("output after the end")
	}
	if n := testing.AllocsPerRun(100, func() { tap.Read(Stdout); tap.Totals(Stdout); tap.Stalled(Stdout) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The ring gives what was put, or counts it as lost, wherever the two meet.
func TestRing(t *testing.T) {
	var s sharedStream
	src := rand.New(rand.NewPCG(1, 2))
	at := func(off int64) byte { return byte(off*7 + off>>8) }
	var next, now int64
	for range 2000 {
		b := make([]byte, 1+src.IntN(chunkMax))
		for i := range b {
			b[i] = at(s.total.Load() + int64(i))
		}
		now += src.Int64N(3e6)
		s.put(b, now)
		if got, ok := s.timeAt(s.total.Load() - 1); !ok || now-got > indexNanos {
			t.Fatal(now, got, ok)
		}
		if src.IntN(4) > 0 {
			continue
		}
		got, from := s.get(nil, next)
		if from < next || from+int64(len(got)) != s.total.Load() {
			t.Fatal(from, next, len(got))
		}
		for i, c := range got {
			if c != at(from+int64(i)) {
				t.Fatalf("byte %d is %d", from+int64(i), c)
			}
		}
		next = from + int64(len(got))
	}
}
