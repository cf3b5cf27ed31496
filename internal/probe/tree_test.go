//go:build linux

package probe

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["forks"] = childForks
	children["double"] = childDouble
	children["starts"] = childStarts
	children["exits"] = func(args []string) { n, _ := strconv.Atoi(args[0]); os.Exit(n) }
	children["threadexec"] = childThreadExec
	children["script"] = childScript
}

// fork is a bare fork. The child may make raw system calls only: it has one thread and no scheduler.
//
//go:norace
//go:nosplit
func fork() uintptr {
	pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 {
		panic(e)
	}
	return pid
}

//go:norace
//go:nosplit
func exitRaw(code uintptr) {
	for {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, code, 0, 0)
	}
}

// childForks makes children that end at once.
func childForks(args []string) {
	runtime.LockOSThread()
	n, _ := strconv.Atoi(args[0])
	if len(args) > 1 { // of descriptors of many kinds, so that each end is much to tell
		for range 4 {
			_, err := unix.Eventfd(0, 0)
			must(err)
			_, err = unix.EpollCreate1(0)
			must(err)
			_, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, 0)
			must(err)
			_, err = unix.MemfdCreate("scratch", 0)
			must(err)
			_, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)
			must(err)
			_, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			must(err)
		}
	}
	for range n {
		pid := fork()
		if pid == 0 {
			exitRaw(3)
		}
		var st unix.WaitStatus
		_, err := unix.Wait4(int(pid), &st, 0, nil)
		must(err)
	}
	fmt.Println("done")
}

// childDouble makes a grandchild that outlives its parent, as daemons do.
func childDouble([]string) {
	runtime.LockOSThread()
	var p [2]int
	must(unix.Pipe(p[:]))
	pid := fork()
	if pid == 0 {
		if fork() == 0 {
			var b [1]byte // until the parent has been reaped
			_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(p[1]), 0, 0)
			_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(p[0]), uintptr(ptr(b[:])), 1)
			exitRaw(5)
		}
		exitRaw(4)
	}
	_, err := unix.Wait4(int(pid), nil, 0, nil)
	must(err)
	fmt.Println(pid)
}

// childStarts starts a program as most do: by vfork and exec.
func childStarts([]string) {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), childMode+"=exits 9")
	c.Args = []string{"kid", "one", "two words"}
	c.ExtraFiles = []*os.File{os.Stdin}
	null, err := os.Open(os.DevNull)
	must(err)
	c.ExtraFiles[0] = null // the gate
	_ = c.Run()
	fmt.Println(c.Process.Pid)
}

// childThreadExec executes a program from a thread that is not the first.
func childThreadExec([]string) {
	done := make(chan bool)
	runtime.LockOSThread() // the first thread stays here
	go func() {
		runtime.LockOSThread()
		null, err := unix.Open(os.DevNull, unix.O_RDONLY, 0) // the gate
		must(err)
		if null != 3 {
			must(unix.Dup3(null, 3, 0))
		}
		must(os.Setenv(childMode, "exits 11"))
		must(unix.Exec("/proc/self/exe", []string{"again"}, os.Environ()))
		close(done)
	}()
	<-done
}

func childScript(args []string) {
	must(unix.Exec(args[0], []string{args[0], "argument"}, os.Environ()))
}

func kind(k evidence.Kind) func(*evidence.Observation) bool {
	return func(o *evidence.Observation) bool { return o.Kind() == k }
}

func TestNoChildIsMissed(t *testing.T) {
	n := 20000
	if os.Getenv("DESCRY_VM") != "" {
		n = 2000 // an emulated machine takes two minutes for as many
	}
	w := open(t, Config{})
	w.need("probe/fork")
	k := w.start("forks", strconv.Itoa(n))
	// Meanwhile others fork outside the tree.
	for range 20 {
		if err := exec.Command("/proc/self/exe", "-test.run=^$").Run(); err != nil {
			t.Fatal(err)
		}
	}
	k.line()
	k.end()
	w.flushed()
	if lost := w.Lost(); len(lost) > 0 {
		t.Errorf("lost %v", lost)
	}
	ended := map[int32]int{}
	for _, o := range w.all(kind(evidence.KindExit)) {
		e := o.Detail.(*evidence.Exit)
		if int(o.PID) == k.pid {
			continue
		}
		ended[o.PID]++
		if e.ExitCode != 3 || int(e.Parent) != k.pid || e.FDs == nil || e.FDs.Open == 0 || e.FDs.Partial != "" || e.EnderTID != o.PID {
			t.Fatalf("exit of %d: %+v %+v", o.PID, e, e.FDs)
		}
	}
	total := 0
	for _, n := range ended {
		total += n // a pid may come again
	}
	if total < n || total > n+2 { // Go's own check of pidfds is a child too
		t.Errorf("%d ends seen, want %d", total, n)
	}
	if got := w.Counters()[evidence.CountForks]; got < int64(n) || got > int64(n)+2 {
		t.Errorf("%d forks counted, want %d", got, n)
	}
	if got := len(w.all(kind(evidence.KindFork))); got != 64 {
		t.Errorf("%d forks whole, want 64", got)
	}
	for _, o := range w.all(func(*evidence.Observation) bool { return true }) {
		if int(o.PID) != k.pid && ended[o.PID] == 0 {
			t.Fatalf("recorded from outside the tree: %+v", o)
		}
	}
	var left int
	it, p, tgid := w.env.maps["tree"].Iterate(), proc{}, uint32(0)
	for it.Next(&tgid, &p) {
		left++
	}
	if left != 0 {
		t.Errorf("%d processes left in the tree", left)
	}
}

func TestDoubleFork(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/fork")
	k := w.start("double")
	middle, _ := strconv.Atoi(k.line())
	k.end()
	grand := w.await("the grandchild's end", func(o *evidence.Observation) bool {
		e, ok := o.Detail.(*evidence.Exit)
		return ok && e.ExitCode == 5
	})
	_, e := w.exitOf(middle)
	if e.ExitCode != 4 || int(e.Parent) != k.pid {
		t.Errorf("child: %+v", e)
	}
	if p := grand.Detail.(*evidence.Exit).Parent; int(p) == middle || int(p) == k.pid {
		t.Errorf("the grandchild's parent is %d, who is gone", p)
	}
}

func TestExec(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/exec")
	k := w.start("starts")
	pid, _ := strconv.Atoi(k.line())
	k.end()
	w.flushed()
	_, e := w.exitOf(pid)
	if e.ExitCode != 9 || int(e.Parent) != k.pid {
		t.Errorf("exit: %+v", e)
	}
	self, _ := os.Executable()
	o := w.await("exec", func(o *evidence.Observation) bool { return o.Kind() == evidence.KindExec && int(o.PID) == pid })
	d := o.Detail.(*evidence.Exec)
	if d.Path != self || strings.Join(d.Args, "|") != "kid|one|two words" {
		t.Errorf("exec: %+v, want %s", d, self)
	}
}

func TestExecOfAThread(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/exec")
	k := w.start("threadexec")
	if st := k.end(); st.ExitStatus() != 11 {
		t.Fatalf("ended with %v", st)
	}
	w.flushed()
	if _, e := w.exitOf(k.pid); e.ExitCode != 11 {
		t.Errorf("exit: %+v", e)
	}
	if got := w.all(kind(evidence.KindExit)); len(got) != 1 {
		t.Errorf("%d ends of one process", len(got))
	}
	if got := w.all(isFatal(k.pid)); len(got) != 0 {
		t.Errorf("the threads that exec ends look like a death: %+v", got[0].Detail)
	}
	w.await("exec", kind(evidence.KindExec))
}

func TestExecOfAScript(t *testing.T) {
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Skip("needs /bin/sh: ", err)
	}
	script := filepath.Join(t.TempDir(), "script")
	must(os.WriteFile(script, []byte("#!"+sh+" -e\nexit 6\n"), 0o700))
	w := open(t, Config{})
	w.need("probe/exec")
	k := w.start("script", script)
	if st := k.end(); st.ExitStatus() != 6 {
		t.Fatalf("ended with %v", st)
	}
	// The child's own start may be told as well: it is tracked while that ends.
	d := w.await("exec of "+sh, func(o *evidence.Observation) bool {
		d, ok := o.Detail.(*evidence.Exec)
		return ok && d.Path == sh
	}).Detail.(*evidence.Exec)
	if strings.Join(d.Args, "|") != sh+"|-e|"+script+"|argument" {
		t.Errorf("exec: %+v", d)
	}
}

func TestUsage(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/exit")
	k := w.start("caught", "20000")
	k.line()
	k.in.Close()
	k.end()
	w.flushed()
	o, e := w.exitOf(k.pid)
	ru := k.ProcessState.SysUsage().(*syscall.Rusage)
	near := func(what string, got, want, slack int64) {
		if got < want-slack || got > want+slack {
			t.Errorf("%s %d, want %d", what, got, want)
		}
	}
	// The children's share is apart; at the end of a process a little more is added.
	near("user", e.UserNanos, ru.Utime.Nano(), 30e6+ru.Utime.Nano()/2)
	near("user and system", e.UserNanos+e.SystemNanos, ru.Utime.Nano()+ru.Stime.Nano(), 20e6+(ru.Utime.Nano()+ru.Stime.Nano())/5)
	near("resident", e.MaxRSSBytes, ru.Maxrss<<10, 1<<20)
	near("faults", e.MinorFaults, ru.Minflt, 50)
	if e.StartNanos <= 0 || e.StartNanos >= o.BootNanos {
		t.Errorf("started at %d, ended at %d", e.StartNanos, o.BootNanos)
	}
}

// TestPIDNamespace runs this test binary again inside a pid namespace of its own, as in a container:
// all pids must be those that are seen there.
func TestPIDNamespace(t *testing.T) {
	const inside = "DESCRY_PROBE_INSIDE"
	if os.Getenv(inside) != "" {
		if os.Getpid() != 1 {
			t.Fatalf("pid %d in a new namespace", os.Getpid())
		}
		w := open(t, Config{})
		if w.env.level == 0 {
			t.Fatal("the level of the namespace was not found")
		}
		k := w.start("starts")
		pid, _ := strconv.Atoi(k.line())
		k.end()
		w.flushed()
		_, e := w.exitOf(pid)
		if int(e.Parent) != k.pid || pid > 1000 || e.EnderTID < 2 || e.EnderTID > 1000 {
			t.Errorf("exit of %d: %+v", pid, e)
		}
		s := w.start("sleep")
		s.line()
		if o := w.sweepOf(s.pid); o == nil {
			t.Error("not swept")
		}
		if table, err := w.Table(s.pid); err != nil || table.Open == 0 {
			t.Errorf("table: %v %v", table, err)
		}
		must(unix.Kill(s.pid, unix.SIGKILL))
		s.end()
		w.flushed()
		d := w.await("signal", isSent(s.pid)).Detail.(*evidence.SignalSent)
		if d.Sender != 1 {
			t.Errorf("sent by %d", d.Sender)
		}
		fmt.Println("inside: done")
		return
	}
	open(t, Config{}) // skips where there can be none
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("needs unshare: ", err)
	}
	self, err := os.Executable()
	must(err)
	c := exec.Command(unshare, "-p", "-f", "--mount-proc", self, "-test.run=^TestPIDNamespace$", "-test.v")
	c.Env = append(os.Environ(), inside+"=1")
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "inside: done") {
		if strings.Contains(string(out), "unshare:") {
			t.Skipf("needs a pid namespace: %s", out)
		}
		t.Fatalf("%v\n%s", err, out)
	}
}
