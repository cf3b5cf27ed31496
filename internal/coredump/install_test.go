package coredump

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// recording is another process that records.
type recording struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func newRecording(t testing.TB, dir string, w Way, mine int, mode string) *recording {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{Cmd: exec.Command(exe)}
	r.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %d %s", recordEnv, dir, w, t.TempDir(), mine, mode))
	r.Stderr = os.Stderr
	if r.in, err = r.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := r.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.out = bufio.NewReader(out)
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Process.Kill()
		r.Wait()
	})
	r.says(t, "ready")
	return r
}

// says reads lines until one begins so.
func (r *recording) says(t testing.TB, begin string) string {
	t.Helper()
	for {
		line, err := r.out.ReadString('\n')
		if strings.HasPrefix(line, begin) {
			return line
		}
		if err != nil {
			t.Fatalf("waited in vain for %q: %q %v", begin, line, err)
		}
	}
}

func pattern(t testing.TB) string {
	t.Helper()
	p, err := readSysctl("core_pattern")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// supervisorOf is the pid of the supervisor of a directory.
func supervisorOf(t testing.TB, dir string) int {
	t.Helper()
	s, err := readState(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s.PID
}

// pointedHere waits until core_pattern points to dir, or no more.
func pointedHere(t testing.TB, dir string, want bool) {
	t.Helper()
	until(t, fmt.Sprintf("core_pattern points to %s: %v", dir, want), func() bool { return (dirOf(pattern(t)) == dir) == want })
}

// The supervisor is killed at each point of installing and of putting back: Uninstall, or the next one
// that installs, repairs what it left.
func TestKilledAnywhere(t *testing.T) {
	for _, by := range []string{"uninstall", "install", "install elsewhere"} {
		for _, at := range []string{"written", "limited", "installed", "restored", "unlimited"} {
			t.Run(by+"/"+at, func(t *testing.T) {
				machineWide(t)
				asBefore(t)
				dir := testDir(t)
				i, err := Install(InstallOptions{Dir: dir, env: []string{faultEnv + "=" + at}})
				switch at {
				case "restored", "unlimited":
					if err != nil {
						t.Fatal(err)
					}
					i.l.say(message{Say: sayLeave})
					i.l.hear()
				default:
					if err == nil {
						t.Fatal("it installs, though the supervisor is killed")
					}
				}
				until(t, "the supervisor is dead", func() bool { return !living(dir) })
				if at == "installed" && dirOf(pattern(t)) != dir {
					t.Fatalf("core_pattern is %q: the test kills nobody", pattern(t))
				}
				switch by {
				case "uninstall":
					if _, err := Uninstall(dir); err != nil {
						t.Fatal(err)
					}
				case "install elsewhere":
					if at != "installed" { // nothing of it can be seen from elsewhere
						Uninstall(dir)
					}
					dir = testDir(t)
					fallthrough
				default:
					i, err := Install(InstallOptions{Dir: dir})
					if err != nil {
						t.Fatal(err)
					}
					if i.Former != "core" {
						t.Errorf("the former pattern is %q", i.Former)
					}
					if _, err := i.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := os.Stat(filepath.Join(dir, stateFile)); err == nil {
					t.Error("the state stands there still")
				}
			})
		}
	}
}

// A recorder that is killed with -9 leaves the machine as it was; so does one whose supervisor is killed
// too, once Uninstall or another one comes.
func TestRecorderKilled(t *testing.T) {
	machineWide(t)
	asBefore(t)
	dir := testDir(t)
	r := newRecording(t, dir, BestWay(), 0, "-")
	pointedHere(t, dir, true)
	r.Process.Kill()
	pointedHere(t, dir, false)

	r = newRecording(t, dir, BestWay(), 0, "-")
	unix.Kill(r.Process.Pid, unix.SIGSTOP) // else it starts another one
	unix.Kill(supervisorOf(t, dir), unix.SIGKILL)
	r.Process.Kill()
	until(t, "the supervisor is dead", func() bool { return !living(dir) })
	pointedHere(t, dir, true)
	if _, err := Uninstall(testDir(t)); err != nil { // core_pattern says where
		t.Fatal(err)
	}
	pointedHere(t, dir, false)
}

// A dump that a recorder has taken ends with it.
func TestRecorderKilledMidDump(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way) {
		asBefore(t)
		v := newVictim(t, unix.SIGSEGV, 8, nil)
		dir := testDir(t)
		r := newRecording(t, dir, w, v.pid, "hang")
		v.in.Close()
		r.says(t, "hangs")
		from := time.Now()
		r.Process.Kill()
		v.Wait()
		if took := time.Since(from); took > 5*time.Second {
			t.Errorf("the process waited %v for a recorder that is dead", took)
		}
		until(t, "the supervisor has ended", func() bool { return !living(dir) })
	})
}

// Nor does one hold it longer than its bound that is stopped in the midst of it.
func TestRecorderStoppedMidDump(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way) {
		asBefore(t)
		v := newVictim(t, unix.SIGSEGV, 8, nil)
		dir := testDir(t)
		r := newRecording(t, dir, w, v.pid, "hang")
		v.in.Close()
		r.says(t, "hangs")
		unix.Kill(r.Process.Pid, unix.SIGSTOP)
		from := time.Now()
		v.Wait()
		if took := time.Since(from); took > 10*time.Second {
			t.Errorf("the process waited %v for a recorder that is stopped, bound 1s", took)
		}
		r.Process.Kill()
		until(t, "the supervisor has ended", func() bool { return !living(dir) })
	})
}

// Who connects to the kernel's socket without dying is no dump.
func TestForgedConnection(t *testing.T) {
	if BestWay() == WayPipe {
		t.Skip("core dumps: this kernel has no socket for them, which came with 6.16")
	}
	machineWide(t)
	asBefore(t)
	r := receive(t, InstallOptions{}, nil, func(int) bool { return true })
	c, err := net.Dial("unix", filepath.Join(r.o.Dir, coreSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write(append(binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, requestSize), ackSize), 15, 0, 0, 0, 0, 0, 0, 0))
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := c.Read(make([]byte, 16)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it is answered with %d bytes: %v", n, err)
	}
	r.end()
	if len(r.k.seen) > 0 {
		t.Errorf("it was taken for %+v", r.k.seen[0])
	}
}

// A recorder that is stopped holds nobody up for long.
func TestRecorderStopped(t *testing.T) {
	machineWide(t)
	asBefore(t)
	dir := testDir(t)
	r := newRecording(t, dir, BestWay(), 0, "-")
	unix.Kill(r.Process.Pid, unix.SIGSTOP)
	for i, most := range []time.Duration{answerTime + 8*time.Second, answerTime / 2} {
		v := newVictim(t, unix.SIGSEGV, 0, nil)
		from := time.Now()
		v.dies(t)
		if took := time.Since(from); took > most {
			t.Errorf("process %d that is nobody's waited %v for a recorder that is stopped", i, took)
		}
	}
	unix.Kill(r.Process.Pid, unix.SIGCONT)
	r.in.Close()
	r.says(t, "closed")
}

// Where the supervisor is killed the recorder starts another one.
func TestSupervisorKilled(t *testing.T) {
	machineWide(t)
	asBefore(t)
	dir := testDir(t)
	v := newVictim(t, unix.SIGSEGV, 0, nil)
	r := receive(t, InstallOptions{Dir: dir}, nil, func(pid int) bool { return pid == v.pid })
	old := supervisorOf(t, dir)
	unix.Kill(old, unix.SIGKILL)
	until(t, "there is another supervisor", func() bool {
		s, err := readState(dir)
		return err == nil && s.PID != old && living(dir) && dirOf(pattern(t)) == dir
	})
	v.dies(t)
	if k := r.keeps(t, 1)[0]; k.Err != nil {
		t.Error(k.Err)
	}
}

func TestSupervisorTerminated(t *testing.T) {
	machineWide(t)
	asBefore(t)
	dir := testDir(t)
	i, err := Install(InstallOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() {
		served <- i.Serve(context.Background(), ServeOptions{Keeper: &writer{}, Mine: func(int, *os.File) bool { return false }})
	}()
	unix.Kill(supervisorOf(t, dir), unix.SIGTERM)
	if err := <-served; err != nil {
		t.Error(err)
	}
	pointedHere(t, dir, false)
	if _, err := i.Close(); err != nil {
		t.Error(err)
	}
}

func TestUninstallWhileServing(t *testing.T) {
	machineWide(t)
	asBefore(t)
	dir := testDir(t)
	r := newRecording(t, dir, BestWay(), 0, "-")
	if words, err := Uninstall(dir); err != nil || words != "" {
		t.Error(words, err)
	}
	pointedHere(t, dir, false)
	r.in.Close()
	r.says(t, "closed")
}

// Several descrys at once share one supervisor; the last one puts core_pattern back.
func TestSeveralAtOnce(t *testing.T) {
	machineWide(t)
	asBefore(t)
	dir := testDir(t)
	var victims []*victim
	var all []*recording
	var mu sync.Mutex
	var starting sync.WaitGroup
	for range 5 {
		v := newVictim(t, unix.SIGSEGV, 0, nil)
		victims = append(victims, v)
		starting.Go(func() {
			r := newRecording(t, dir, BestWay(), v.pid, "-")
			mu.Lock()
			defer mu.Unlock()
			all = append(all, r)
		})
	}
	starting.Wait()
	for _, v := range victims {
		v.dies(t)
	}
	for _, r := range all {
		if line := r.says(t, "kept"); !strings.Contains(line, "<nil>") {
			t.Error(line)
		}
	}
	for _, r := range all[1:] {
		r.in.Close()
	}
	for _, r := range all[1:] {
		r.says(t, "closed")
	}
	pointedHere(t, dir, true)
	all[0].in.Close()
	all[0].says(t, "closed")
	pointedHere(t, dir, false)
}

// What someone else has set meanwhile stays.
func TestChangedMeanwhile(t *testing.T) {
	machineWide(t)
	r := receive(t, InstallOptions{}, nil, nobodys)
	if err := writeSysctl("core_pattern", "theirs.%p"); err != nil {
		t.Fatal(err)
	}
	if words := r.end(); !strings.Contains(words, "theirs.%p") || !strings.Contains(words, `"core"`) {
		t.Errorf("it says %q", words)
	}
	if p := pattern(t); p != "theirs.%p" {
		t.Errorf("core_pattern is %q", p)
	}
}
