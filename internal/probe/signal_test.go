//go:build linux

package probe

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["sleep"] = func([]string) { fmt.Println("ready"); forever() }
	children["send"] = childSend
	children["fault"] = childFault
	children["caught"] = childCaught
	children["pipe"] = childPipe
	children["seccomp"] = childSeccomp
}

// childSend sends a signal, and waits to be asked about.
func childSend(args []string) {
	pid, _ := strconv.Atoi(args[0])
	sig, _ := strconv.Atoi(args[1])
	must(unix.Kill(pid, unix.Signal(sig)))
	fmt.Println("sent")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// faultAt touches an address with the default action set.
//
//go:noinline
func faultAt(address uintptr, write bool) byte {
	p := *(**byte)(unsafe.Pointer(&address)) // it points nowhere
	if write {
		*p = 1
	}
	return *p
}

func childFault(args []string) {
	runtime.LockOSThread()
	resetHandler(unix.SIGSEGV)
	resetHandler(unix.SIGBUS)
	page := uintptr(os.Getpagesize())
	region := func(prot int) uintptr {
		b, err := unix.Mmap(-1, 0, 3*int(page), prot, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		must(err)
		return uintptr(unsafe.Pointer(&b[0]))
	}
	var address uintptr
	write := false
	switch args[0] {
	case "null":
		address = 0x18
	case "unmapped":
		address = region(unix.PROT_READ) + page
		_, _, e := unix.Syscall(unix.SYS_MUNMAP, address-page, 3*page, 0)
		if e != 0 {
			panic(e)
		}
	case "readonly":
		address, write = region(unix.PROT_READ)+page+8, true
	case "none":
		address = region(unix.PROT_NONE) + page
	case "exec":
		address = region(unix.PROT_READ | unix.PROT_WRITE)
		f := &address
		fmt.Println(address, unix.Gettid())
		(*(*func())(unsafe.Pointer(&f)))()
	case "truncated":
		f, err := os.Create(args[1])
		must(err)
		must(f.Truncate(int64(2 * page)))
		b, err := unix.Mmap(int(f.Fd()), 0, int(2*page), unix.PROT_READ, unix.MAP_SHARED)
		must(err)
		must(f.Truncate(int64(page)))
		address = uintptr(unsafe.Pointer(&b[0])) + page + 5
	}
	fmt.Println(address, unix.Gettid())
	faultAt(address, write)
}

// childCaught faults in health, as managed runtimes do.
func childCaught(args []string) {
	n, _ := strconv.Atoi(args[0])
	debug.SetPanicOnFault(true)
	for range n {
		func() {
			defer func() { _ = recover() }()
			faultAt(0x10, false)
		}()
	}
	fmt.Println("done")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func childPipe([]string) {
	runtime.LockOSThread()
	resetHandler(unix.SIGPIPE)
	var p [2]int
	must(unix.Pipe(p[:]))
	must(unix.Close(p[0]))
	fmt.Println(unix.Gettid())
	_, _ = unix.Write(p[1], []byte("lost"))
}

// childSeccomp makes a system call that it has forbidden to itself.
func childSeccomp([]string) {
	runtime.LockOSThread()
	resetHandler(unix.SIGSYS)
	const allow, trap = 0x7fff0000, 0x00030000
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_GETPPID},
		{Code: unix.BPF_RET | unix.BPF_K, K: trap},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	must(unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0))
	_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
}

func isFatal(pid int) func(*evidence.Observation) bool {
	return func(o *evidence.Observation) bool { return int(o.PID) == pid && o.Kind() == evidence.KindSignalFatal }
}

func isSent(pid int) func(*evidence.Observation) bool {
	return func(o *evidence.Observation) bool { return int(o.PID) == pid && o.Kind() == evidence.KindSignalSent }
}

func TestWhoSentIt(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/signal")
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL, unix.SIGUSR1} {
		k := w.start("sleep")
		k.line()
		must(unix.Kill(k.pid, unix.SIGURG)) // never of interest
		from := command(t, "send", strconv.Itoa(k.pid), strconv.Itoa(int(sig)))
		w.outside(from)
		from.line()
		o := w.await("signal", isSent(k.pid))
		d := o.Detail.(*evidence.SignalSent)
		if d.Signal != evidence.Signal(sig) || int(d.Sender) != from.pid || d.Code != 0 || int(d.SenderParent) != os.Getpid() ||
			d.SenderInTree || d.Ignored || d.Count != 1 || !strings.Contains(d.SenderCommand, filepath.Base(os.Args[0])) || d.SenderComm == "" {
			t.Errorf("sent: %+v", d)
		}
		from.in.Close()
		if sig == unix.SIGUSR1 { // Go ignores it: still alive
			must(k.Process.Kill())
		}
		k.end()
		w.flushed()
		for _, o := range w.all(isSent(k.pid)) {
			if s := o.Detail.(*evidence.SignalSent).Signal; s == 23 {
				t.Errorf("seen: %v", s)
			}
		}
		_, e := w.exitOf(k.pid)
		if sig == unix.SIGKILL {
			fatal := w.await("fatal signal", isFatal(k.pid))
			d := fatal.Detail.(*evidence.SignalFatal)
			if d.Signal != evidence.SIGKILL || int(d.Sender) != from.pid || d.Self || d.Context != nil || fatal.TID != 0 {
				t.Errorf("fatal: %+v of thread %d", d, fatal.TID)
			}
			if e.EnderTID != 0 || e.Signal != evidence.SIGKILL {
				t.Errorf("exit: %+v", e)
			}
		}
	}
}

// outside starts k without tracking it.
func (w *watch) outside(k *kid) {
	w.t.Helper()
	in, gate, err := os.Pipe()
	must(err)
	k.ExtraFiles = []*os.File{in}
	out, err := k.StdoutPipe()
	must(err)
	k.out.Reset(out)
	if k.in, err = k.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	err = k.Start()
	in.Close()
	gate.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	k.pid = k.Process.Pid
	w.t.Cleanup(func() {
		_ = k.Process.Kill()
		_ = k.Wait()
	})
}

func TestManySignalsAreCounted(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/signal")
	k := w.start("caught", "0")
	k.line()
	const n = 200
	const sig = unix.Signal(40) // a real-time signal: each one is queued; Go does nothing with it
	for range n {
		must(unix.Kill(k.pid, sig))
	}
	k.in.Close()
	k.end()
	w.flushed()
	if got := len(w.all(isSent(k.pid))); got != 8 {
		t.Errorf("%d whole, want 8", got)
	}
	var last int64
	must(w.Counts(func(o *evidence.Observation) {
		if d, ok := o.Detail.(*evidence.SignalSent); ok && int(o.PID) == k.pid {
			last = d.Count
		}
	}))
	if last != n {
		t.Errorf("counted %d, want %d", last, n)
	}
	if got := w.Counters()[evidence.CountSignals]; got != last {
		t.Errorf("total %d, want %d", got, last)
	}
}

func TestFaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "short")
	for what, want := range map[string]struct {
		signal evidence.Signal
		code   int32
		fault  string
		where  string
	}{
		"null":      {evidence.SIGSEGV, 1, "null page", ""},
		"unmapped":  {evidence.SIGSEGV, 1, "not mapped", ""},
		"readonly":  {evidence.SIGSEGV, 2, "read-only", "[anonymous]"},
		"none":      {evidence.SIGSEGV, 2, "no access", "[anonymous]"},
		"exec":      {evidence.SIGSEGV, 2, "not executable", "[anonymous]"},
		"truncated": {evidence.SIGBUS, 2, "", file},
	} {
		t.Run(what, func(t *testing.T) {
			w := open(t, Config{})
			w.need("probe/signal")
			k := w.start("fault", what, file)
			var address uint64
			var tid int32
			if _, err := fmt.Sscan(k.line(), &address, &tid); err != nil {
				t.Fatal(err)
			}
			k.end()
			w.flushed()
			o := w.await("fatal signal", isFatal(k.pid))
			d := o.Detail.(*evidence.SignalFatal)
			if d.Signal != want.signal || d.Code != want.code || d.Address != address || d.Fault != want.fault || o.TID != tid || d.Self {
				t.Errorf("%v code %d at %#x (%q) in thread %d, want %+v at %#x in %d", d.Signal, d.Code, d.Address, d.Fault, o.TID, want, address, tid)
			}
			if want.where != "" && d.Where != want.where {
				t.Errorf("where: %q, want %q", d.Where, want.where)
			}
			if m := d.Mapped; what != "truncated" && m != nil {
				t.Errorf("a file: %+v", m)
			} else if page := int64(os.Getpagesize()); what == "truncated" && (m == nil || m.Path != file || m.Size != page || m.Offset != page+5 ||
				!m.Shared || m.Deleted || m.Changed == 0 || m.FileSystem == "") {
				t.Errorf("the mapped file: %+v", m)
			}
			if what == "exec" {
				return
			}
			checkContext(t, d)
			if _, e := w.exitOf(k.pid); e.EnderTID != tid || e.Signal != want.signal {
				t.Errorf("exit: %+v, want thread %d", e, tid)
			}
		})
	}
}

// checkContext looks for the functions of the stack. The test binary is not position independent,
// so addresses mean the same in child and test.
func checkContext(t *testing.T, d *evidence.SignalFatal) {
	t.Helper()
	x := d.Context
	if x == nil {
		t.Fatal("no context")
	}
	self, err := os.Executable()
	must(err)
	if f, err := elf.Open(self); err != nil || f.Type != elf.ET_EXEC {
		t.Skip("the test binary is position independent")
	}
	if name := runtime.FuncForPC(uintptr(x.PC)).Name(); !strings.HasSuffix(name, ".faultAt") {
		t.Errorf("pc %#x is in %s", x.PC, name)
	}
	// A function that calls none leaves the way back to its caller in a register on arm64.
	caller := x.Arch == "arm64" && strings.HasSuffix(runtime.FuncForPC(uintptr(x.Regs[30])).Name(), ".childFault")
	for b := x.Stack; len(b) >= 8; b = b[8:] {
		if f := runtime.FuncForPC(uintptr(binary.LittleEndian.Uint64(b))); f != nil && strings.HasSuffix(f.Name(), ".childFault") {
			caller = true
		}
	}
	if !caller {
		t.Errorf("the caller is not on the %d bytes of stack", len(x.Stack))
	}
	if d.StackLo > x.SP || d.StackHi <= x.SP || x.SP != d.SP || d.StackRL == 0 {
		t.Errorf("stack %#x to %#x, pointer %#x, limit %d", d.StackLo, d.StackHi, x.SP, d.StackRL)
	}
	var st unix.Stat_t
	must(unix.Stat(self, &st))
	found := false
	for _, m := range x.Maps {
		if m.Start <= x.PC && x.PC < m.End {
			found = true
			if m.Path != self || m.Inode != st.Ino || m.Device != st.Dev {
				t.Errorf("mapping of the pc: %+v, want %s %d %d", m, self, st.Dev, st.Ino)
			}
		}
	}
	if !found {
		t.Errorf("the mapping of the pc is not among %+v", x.Maps)
	}
	if n := 21; runtime.GOARCH == "amd64" && (len(x.Regs) != n || x.Regs[16] != x.PC || x.Regs[19] != x.SP) {
		t.Errorf("registers %#x", x.Regs)
	}
}

func TestCaughtFaults(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/signal")
	const n = 5000
	k := w.start("caught", strconv.Itoa(n))
	k.line()
	w.flushed()
	var last int64
	must(w.Counts(func(o *evidence.Observation) {
		if d, ok := o.Detail.(*evidence.SignalCaught); ok && int(o.PID) == k.pid {
			last = d.Count
			if d.Signal != evidence.SIGSEGV {
				t.Errorf("counted %v", d.Signal)
			}
		}
	}))
	if last != n {
		t.Errorf("counted %d, want %d", last, n)
	}
	whole := w.all(func(o *evidence.Observation) bool {
		return o.Kind() == evidence.KindSignalCaught && int(o.PID) == k.pid
	})
	if len(whole) != 4 {
		t.Fatalf("%d whole, want 4", len(whole))
	}
	for i, o := range whole {
		d := o.Detail.(*evidence.SignalCaught)
		if d.Count != int64(i+1) || d.Address != 0x10 || d.Fault != "null page" || d.Context == nil {
			t.Errorf("%+v", d)
		}
	}
	k.in.Close()
	k.end()
	w.flushed()
	if got := w.all(isFatal(k.pid)); len(got) != 0 {
		t.Errorf("a healthy process died: %+v", got[0].Detail)
	}
	if _, e := w.exitOf(k.pid); e.ExitCode != 0 || e.Signal != 0 {
		t.Errorf("exit: %+v", e)
	}
}

func TestBrokenPipe(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/signal")
	k := w.start("pipe")
	tid, _ := strconv.Atoi(k.line())
	k.end()
	w.flushed()
	sent := w.await("signal", isSent(k.pid)).Detail.(*evidence.SignalSent)
	if sent.Signal != evidence.SIGPIPE || sent.Sender != 0 || sent.Code != 0x80 {
		t.Errorf("sent: %+v", sent)
	}
	o := w.await("fatal signal", isFatal(k.pid))
	d := o.Detail.(*evidence.SignalFatal)
	if d.Signal != evidence.SIGPIPE || int(o.TID) != tid || d.Sender != 0 || d.Context == nil || d.Self {
		t.Errorf("fatal: %+v of thread %d, want %d", d, o.TID, tid)
	}
	if _, e := w.exitOf(k.pid); int(e.EnderTID) != tid || e.Signal != evidence.SIGPIPE {
		t.Errorf("exit: %+v", e)
	}
}

func TestForbiddenCall(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/signal")
	k := w.start("seccomp")
	st := k.end()
	if st.Signal() != syscall.SIGSYS {
		t.Skip("needs seccomp filters: the child ended with ", st)
	}
	w.flushed()
	d := w.await("fatal signal", isFatal(k.pid)).Detail.(*evidence.SignalFatal)
	if d.Signal != evidence.SIGSYS || d.Syscall != "getppid" || d.Code != 1 || d.Context == nil {
		t.Errorf("fatal: %+v", d)
	}
}

func TestStackOverflow(t *testing.T) {
	bin := compiled(t, "deep")
	for _, args := range [][]string{nil, {"thread"}} {
		w := open(t, Config{})
		w.need("probe/signal")
		k := command(t, "")
		k.Cmd = exec.Command(bin, args...)
		w.run(k)
		k.end()
		w.flushed()
		d := w.await("fatal signal", isFatal(k.pid)).Detail.(*evidence.SignalFatal)
		if d.Signal != evidence.SIGSEGV || d.Fault != "stack guard" || d.StackLo == 0 || d.Address >= d.StackLo || d.StackLo-d.Address > 1<<20 {
			t.Errorf("%v: %+v", args, d)
		}
		found := false
		for _, m := range d.Context.Maps {
			found = found || m.Path == bin
		}
		if !found || len(d.Context.Stack) < 16<<10 {
			t.Errorf("%d bytes of stack, mappings %+v", len(d.Context.Stack), d.Context.Maps)
		}
	}
}
