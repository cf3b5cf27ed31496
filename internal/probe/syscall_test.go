//go:build linux

package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["exec"] = childExec
	children["become"] = func(args []string) { must(unix.Exec(args[0], args, os.Environ())) }
	children["compat"] = childCompat
}

// childExec becomes the program that the arguments name: what a subject does before its first exec
// is its launcher's doing and must not be seen.
func childExec(args []string) {
	must(unix.Close(0))
	fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // takes the place of 0
	must(err)
	if fd != 0 {
		panic(fmt.Sprint("the place of 0 went to ", fd))
	}
	_, _ = unix.Open("/of/the/launcher", unix.O_RDONLY, 0)
	must(os.Setenv(childMode, strings.Join(args, " ")))
	must(unix.Exec("/proc/self/exe", os.Args, os.Environ()))
}

// program starts a child that is tracked, and then runs the mode as a program of its own.
func (w *watch) program(mode string, args ...string) *kid {
	w.t.Helper()
	k := command(w.t, "exec", append([]string{mode}, args...)...)
	k.says = true
	w.run(k)
	return k
}

// bystander runs the same outside the tree, to its end.
func (w *watch) bystander(mode string, args ...string) {
	w.t.Helper()
	k := command(w.t, mode, args...)
	null, err := os.Open("/dev/null")
	if err != nil {
		w.t.Fatal(err)
	}
	defer null.Close()
	k.ExtraFiles = []*os.File{null}
	k.Stdout = nil
	if err := k.Run(); err != nil {
		w.t.Fatalf("bystander: %v", err)
	}
	w.flushed()
	if seen := w.all(func(o *evidence.Observation) bool { return int(o.PID) == k.ProcessState.Pid() }); len(seen) > 0 {
		w.t.Errorf("a process outside the tree was recorded %d times, first %+v", len(seen), seen[0].Detail)
	}
}

// eachWay runs a test both ways of watching system calls.
func eachWay(t *testing.T, f func(t *testing.T, w *watch)) {
	for _, way := range []Way{SysExit, Functions} {
		t.Run(way.String(), func(t *testing.T) { f(t, openWay(t, way)) })
	}
}

func openWay(t *testing.T, way Way) *watch {
	t.Helper()
	w := open(t, Config{Way: way})
	for _, st := range w.Status() {
		if st.Name != "probe/syscall" {
			continue
		}
		if way == Functions && st.Missing != "" {
			if err := trampolinesHere(w); err != nil {
				t.Skip("needs BPF trampolines: ", err)
			}
		}
		if st.Missing != "" {
			t.Fatal("probe/syscall is missing: ", st.Missing)
		}
		if want := map[Way]string{SysExit: "sys_exit", Functions: "fexit"}[way]; !strings.Contains(st.By, want) {
			t.Fatalf("made of %q, want %q in it", st.By, want)
		}
	}
	return w
}

func trampolinesHere(*watch) error {
	return (&env{}).trampolines()
}

// ofKind gives the details of a process's observations of one kind.
func ofKind[T evidence.Detail](w *watch, pid int) (out []T) {
	for _, o := range w.all(func(o *evidence.Observation) bool { return int(o.PID) == pid }) {
		if d, ok := o.Detail.(T); ok {
			out = append(out, d)
		}
	}
	return out
}

// done waits for the end of a child that must end with 0, and for what was seen of it.
func (w *watch) done(k *kid) {
	w.t.Helper()
	if st := k.end(); st != 0 {
		w.t.Fatalf("the child ended with %#x", st)
	}
	w.flushed()
}

// locked ties the child to one thread and makes raw system calls.
func raw(nr uintptr, args ...uintptr) (uintptr, syscall.Errno) {
	var a [6]uintptr
	copy(a[:], args)
	r, _, err := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	return r, err
}

func cstr(s string) uintptr {
	b := append([]byte(s), 0)
	keep = append(keep, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

// No tracepoint of system calls may be on in the second way. The kernel counts their users.
func TestFunctionsLeaveTracepointsOff(t *testing.T) {
	for _, way := range []Way{SysExit, Functions} {
		t.Run(way.String(), func(t *testing.T) {
			before := tracepointUsers(t)
			w := openWay(t, way)
			during := tracepointUsers(t)
			if w.Close(); tracepointUsers(t) != before {
				t.Errorf("%d users of system call tracepoints are left, %d before", tracepointUsers(t), before)
			}
			want := map[Way]int{SysExit: before + 1, Functions: before}[way]
			if during != want {
				t.Errorf("%d users of system call tracepoints, want %d", during, want)
			}
		})
	}
}

// tracepointUsers counts this process's programs at the entry and exit of system calls, by what the
// kernel says of its descriptors.
func tracepointUsers(t *testing.T) (n int) {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skip("needs BTF: ", err)
	}
	ids := map[string]bool{}
	for _, name := range []string{"btf_trace_sys_enter", "btf_trace_sys_exit"} {
		var td *btf.Typedef
		if err := kernel.TypeByName(name, &td); err != nil {
			t.Fatal(err)
		}
		id, err := kernel.TypeID(td)
		if err != nil {
			t.Fatal(err)
		}
		ids[fmt.Sprintf("target_btf_id:\t%d", id)] = true
	}
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range infos {
		b, err := os.ReadFile(f)
		if err != nil || !strings.Contains(string(b), "link_type:") && !strings.Contains(string(b), "link_id:") {
			continue
		}
		for _, line := range strings.Split(string(b), "\n") {
			if ids[line] || strings.Contains(line, "tp_name:\tsys_") {
				n++
			}
		}
	}
	return n
}

// childCompat makes calls of the 32-bit interface, which have other numbers: 5 is open there, and
// fstat to a 64-bit task. It has no descriptor left.
func childCompat([]string) {
	runtime.LockOSThread()
	fill(unix.O_RDONLY)
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON|0x40) // MAP_32BIT
	must(err)
	copy(page, []byte{0xcd, 0x80, 0xc3}) // int $0x80; ret. Go passes the first three arguments in ax, bx and cx
	path := page[64:]
	copy(path, "/dev/null\x00")
	code := uintptr(unsafe.Pointer(&page[0]))
	entry := &code
	call := *(*func(nr, a, b uintptr) uintptr)(unsafe.Pointer(&entry))
	for range 3 {
		if got := int32(call(5, uintptr(unsafe.Pointer(&path[0])), 0)); got != -int32(unix.EMFILE) {
			panic(fmt.Sprint("32-bit open gave ", got))
		}
	}
	if got := int32(call(20, 0, 0)); int(got) != unix.Getpid() { // writev to a 64-bit task
		panic(fmt.Sprint("32-bit getpid gave ", got))
	}
}

func TestCompat(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("needs amd64: no 32-bit calls from a 64-bit task on " + runtime.GOARCH)
	}
	eachWay(t, func(t *testing.T, w *watch) {
		k := w.program("compat")
		st := k.end()
		if st.Signaled() && st.Signal() == unix.SIGSEGV {
			t.Skip("needs CONFIG_IA32_EMULATION")
		}
		if st != 0 {
			t.Fatalf("the child ended with %#x", st)
		}
		w.flushed()
		for _, f := range ofKind[*evidence.ThreadFailures](w, k.pid) {
			for _, c := range f.Calls {
				if c.Call == "fstat" || c.Call == "getpid" || c.Call == "writev" {
					t.Errorf("a 32-bit call was taken for %+v", c)
				}
			}
		}
		refused := ofKind[*evidence.FDRefused](w, k.pid)
		var calls []string
		for _, r := range refused {
			calls = append(calls, r.Call)
		}
		if w.way() == Functions { // alloc_fd sees that it was refused, and not by which call
			if !slices.Contains(calls, "32-bit call") {
				t.Errorf("refused %q, want a 32-bit call among them", calls)
			}
		} else if w.Lost()["probe/syscall"] < 3 {
			t.Errorf("%d events not looked at, want the 3 32-bit calls among them", w.Lost()["probe/syscall"])
		}
		if slices.Contains(calls, "fstat") {
			t.Errorf("a 32-bit call was taken for another: %q", calls)
		}
	})
}

func (w *watch) way() Way { return w.env.way }

func TestCallTable(t *testing.T) {
	words := callWords()
	seen := map[string]bool{}
	for _, k := range callKinds {
		for _, n := range k.names {
			if seen[n] {
				t.Errorf("%s stands twice in the table", n)
			}
			seen[n] = true
			if nr := callNumber(n); nr >= 0 && words[nr] == 0 && (k.word|k.path|k.arg|uint32(k.quiet)) != 0 {
				t.Errorf("%s, number %d, has no word", n, nr)
			}
		}
	}
	for _, n := range []string{"openat", "accept4", "dup3", "pipe2", "close", "write", "writev", "sendmsg", "pselect6", "execve", "bind", "connect", "clone", "mmap", "inotify_init1"} {
		if nr := callNumber(n); nr < 0 || words[nr] == 0 {
			t.Errorf("%s is not in the table", n)
		}
	}
}
