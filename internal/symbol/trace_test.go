package symbol

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// need skips by name when a program is missing.
func need(t testing.TB, program string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("needs %s: %v", program, err)
	}
	return p
}

func needAMD64(t testing.TB) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("needs amd64: reads registers of a stopped process")
	}
}

// build compiles a source of testdata and returns the program.
func build(t testing.TB, compiler, source string, flags ...string) string {
	t.Helper()
	need(t, compiler)
	src, err := filepath.Abs(filepath.Join("testdata", source))
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), strings.TrimSuffix(source, filepath.Ext(source)))
	cmd := exec.Command(compiler, append([]string{"-o", out, src}, flags...)...)
	if compiler == "go" {
		cmd = exec.Command("go", append(append([]string{"build", "-o", out}, flags...), src)...)
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GO111MODULE=off")
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		if bytes.Contains(text, []byte("cannot find -l")) {
			t.Skipf("needs static libraries: %s", text)
		}
		t.Fatalf("%s: %v\n%s", cmd, err, text)
	}
	return out
}

// stopped is a process that stands at a signal, under ptrace.
type stopped struct {
	pid, tid int
	signal   syscall.Signal
}

// runUntil starts a program under ptrace and runs it to its nth fault or abort. It must be called
// on a locked thread; the process is killed at the test's end.
func runUntil(t testing.TB, nth int, argv ...string) stopped {
	t.Helper()
	return runUntilEnv(t, nth, nil, argv...)
}

func runUntilEnv(t testing.TB, nth int, env []string, argv ...string) stopped {
	t.Helper()
	needAMD64(t)
	runtime.LockOSThread()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close() //nolint:errcheck // test
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{Env: append(os.Environ(), env...), Files: []*os.File{null, null, null}, Sys: &syscall.SysProcAttr{Ptrace: true}})
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			t.Skipf("needs ptrace: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Kill(p.Pid, unix.SIGKILL) //nolint:errcheck // may be gone
		for {
			var ws unix.WaitStatus
			w, err := unix.Wait4(-1, &ws, unix.WALL, nil)
			if err == unix.EINTR {
				continue
			}
			if err != nil || w == p.Pid && (ws.Exited() || ws.Signaled()) {
				break
			}
		}
		runtime.UnlockOSThread()
	})
	var ws unix.WaitStatus
	if _, err := unix.Wait4(p.Pid, &ws, unix.WALL, nil); err != nil {
		t.Fatal(err)
	}
	if err := unix.PtraceSetOptions(p.Pid, unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
		t.Fatal(err)
	}
	tid, deliver := p.Pid, 0
	for {
		if err := unix.PtraceCont(tid, deliver); err != nil && err != unix.ESRCH {
			t.Fatalf("continue %d: %v", tid, err)
		}
		for {
			tid, err = unix.Wait4(-1, &ws, unix.WALL, nil)
			if err != unix.EINTR {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		deliver = 0
		if ws.Exited() || ws.Signaled() {
			if tid == p.Pid {
				t.Fatalf("%v ended before its fault: %#x", argv, ws)
			}
			tid = p.Pid // which runs: the continue is harmless
			continue
		}
		switch sig := ws.StopSignal(); sig {
		case syscall.SIGSEGV, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL:
			if nth--; nth == 0 {
				return stopped{pid: p.Pid, tid: tid, signal: sig}
			}
			deliver = int(sig)
		case syscall.SIGTRAP, syscall.SIGSTOP:
		default:
			deliver = int(sig)
		}
	}
}

// context copies from a stopped process what a probe would.
func (s stopped) context(t testing.TB) *Context {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", s.pid))
	if err != nil {
		t.Fatal(err)
	}
	ctx := &Context{Arch: runtime.GOARCH, PID: s.pid, Maps: ParseMaps(maps)}
	if err := readRegisters(s.tid, ctx); err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", s.pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close() //nolint:errcheck // test
	for len(ctx.Stack) < 32<<10 {
		page := make([]byte, min(4096-(ctx.SP+uint64(len(ctx.Stack)))%4096, uint64(32<<10-len(ctx.Stack))))
		n, err := mem.ReadAt(page, int64(ctx.SP)+int64(len(ctx.Stack)))
		if err != nil && len(ctx.Stack) < 4096 {
			n = len(page) // a stack that overflowed: its pointer is already below what can be read
			clear(page)
		} else if err != nil {
			ctx.Stack = append(ctx.Stack, page[:n]...)
			break
		}
		ctx.Stack = append(ctx.Stack, page[:n]...)
	}
	return ctx
}

// memory reads a stopped process, for Context.Memory.
func (s stopped) memory(addr uint64, p []byte) int {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", s.pid))
	if err != nil {
		return 0
	}
	defer mem.Close() //nolint:errcheck // test
	n, _ := mem.ReadAt(p, int64(addr))
	return n
}

func functions(tr Trace) []string {
	var out []string
	for _, f := range tr.Frames {
		n := f.Function
		if n == "" {
			n = "?"
		}
		if f.Guess {
			n += " (guess)"
		}
		out = append(out, n)
	}
	return out
}

func dump(tr Trace) string {
	var b strings.Builder
	fmt.Fprintf(&b, "by %s, truncated %q, notes %q\n", tr.By, tr.Truncated, tr.Notes)
	for _, f := range tr.Frames {
		fmt.Fprintf(&b, "  %#x %s+%#x in %s %s:%d guess %v inlined %v signal %v\n", f.PC, f.Function, f.Offset, f.Module, f.File, f.Line, f.Guess, f.Inlined, f.Signal)
	}
	return b.String()
}

func newResolver(t testing.TB) *Resolver {
	r := New(Options{})
	t.Cleanup(r.Close)
	return r
}

// gdbScript prints every frame's kind, address and name; bt cannot tell an inlined frame from a real one.
const gdbScript = `python
f = gdb.newest_frame()
while f is not None:
    sal = f.find_sal()
    print("FRAME", f.type(), hex(f.pc()), sal.line if sal.symtab else 0, f.name() or "?")
    try:
        f = f.older()
    except gdb.error:
        break
end
`

// gdbFrame is a frame as gdb sees it.
type gdbFrame struct {
	name            string
	line            int
	inlined, signal bool // inlined: or a tail call that left no frame
}

// gdbFrames is gdb's stack at the same program's nth fault.
func gdbFrames(t testing.TB, nth int, argv ...string) []gdbFrame {
	t.Helper()
	need(t, "gdb")
	script := filepath.Join(t.TempDir(), "frames.gdb")
	if err := os.WriteFile(script, []byte(gdbScript), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-nx", "-batch", "-ex", "set debuginfod enabled off", "-ex", "set backtrace past-main on", "-ex", "run"}
	for range nth - 1 {
		args = append(args, "-ex", "continue")
	}
	args = append(args, "-x", script, "--args")
	out, err := exec.Command("gdb", append(args, argv...)...).CombinedOutput()
	if err != nil {
		t.Skipf("needs a working gdb: %v\n%s", err, out)
	}
	var frames []gdbFrame
	for line := range strings.Lines(string(out)) {
		var kind, pc string
		var at int
		if n, _ := fmt.Sscanf(line, "FRAME %s %s %d", &kind, &pc, &at); n != 3 {
			continue
		}
		_, name, _ := strings.Cut(strings.TrimSpace(line), fmt.Sprintf("%s %d ", pc, at))
		frames = append(frames, gdbFrame{name: name, line: at, inlined: kind == "2" || kind == "3", signal: kind == "4"})
	}
	if len(frames) == 0 {
		t.Skipf("needs a gdb with Python, this gave no frames:\n%s", out)
	}
	return frames
}

// gdbLines are gdb's lines of the frames up to main, with inlined ones.
func gdbLines(t testing.TB, argv ...string) []int {
	t.Helper()
	var out []int
	for _, f := range gdbFrames(t, 1, argv...) {
		if out = append(out, f.line); f.name == "main" || strings.HasPrefix(f.name, "main(") {
			break
		}
	}
	return out
}

func compareLines(t *testing.T, tr Trace, want []int) {
	t.Helper()
	var got []int
	for _, f := range tr.Frames {
		if got = append(got, f.Line); f.Function == "main" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("lines %d, gdb's %d\n%s", got, want, dump(tr))
	}
}

// plain makes names of the C library comparable: gdb and the symbol table prefer different aliases.
func plain(name string) string {
	name = strings.TrimPrefix(pretty(name), "__GI_")
	name, _, _ = strings.Cut(name, "@")
	name = strings.TrimSuffix(name, "[cold]")
	name = strings.TrimSuffix(name, "_internal")
	name = strings.TrimSuffix(name, "_implementation")
	name = strings.TrimSuffix(name, "_impl")
	name = strings.TrimPrefix(name, "__new_")
	name = strings.TrimPrefix(strings.TrimLeft(name, "_"), "libc_")
	return strings.TrimLeft(name, "_")
}
