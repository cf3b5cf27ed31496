//go:build linux

package probe

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["fail"] = childFail
	children["alone"] = childAlone
	children["launch"] = childLaunch
}

// childFail meets errors on one thread, and ends by it.
func childFail([]string) {
	runtime.LockOSThread()
	fmt.Println(unix.Gettid())
	null, err := unix.Open("/dev/null", unix.O_RDWR, 0)
	must(err)
	var p [2]int
	must(unix.Pipe2(p[:], unix.O_NONBLOCK))
	buf := uintptr(unsafe.Pointer(&scratch))

	atCWD := uintptr(0xffffffffffffff9c)
	for i := range 30 { // only the last 16 are kept
		raw(unix.SYS_OPENAT, atCWD, cstr(fmt.Sprintf("/not/there/%d", i)), 0)
	}
	quiet := func() { // no news
		raw(unix.SYS_READ, uintptr(p[0]), buf, 8)                                  // EAGAIN
		raw(unix.SYS_IOCTL, uintptr(null), unix.TCGETS, buf)                       // ENOTTY
		raw(unix.SYS_LSEEK, uintptr(p[0]), 0, 0)                                   // ESPIPE
		raw(unix.SYS_WAIT4, ^uintptr(0), 0, 0, 0)                                  // ECHILD
		raw(unix.SYS_FUTEX, buf, 0 /* FUTEX_WAIT */, 1, 0)                         // EAGAIN
		raw(unix.SYS_TGKILL, uintptr(unix.Getpid()), 1<<22-1, 0)                   // ESRCH
		raw(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&noSet)), 0, zero, 8) // EAGAIN
	}
	quiet()
	for range 3 {
		raw(unix.SYS_OPENAT, atCWD, cstr("/not/there"), unix.O_CLOEXEC)
		quiet()
	}
	raw(unix.SYS_MKDIRAT, atCWD, cstr("/proc"), 0o700)
	raw(unix.SYS_READ, 999, buf, 8)
	raw(unix.SYS_READ, 998, buf, 4)
	long := "/" + strings.Repeat("x", 200)
	raw(unix.SYS_OPENAT, atCWD, cstr(long), 0)
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(err)
	sa := []byte{2, 0, 0, 1, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0} // 127.0.0.1:1
	raw(unix.SYS_CONNECT, uintptr(s), uintptr(unsafe.Pointer(&sa[0])), 16)
	un := append([]byte{1, 0, 0}, "nobody"...) // an abstract name
	us, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	raw(unix.SYS_CONNECT, uintptr(us), uintptr(unsafe.Pointer(&un[0])), uintptr(len(un)))
	raw(unix.SYS_MMAP, 0, 1<<60, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON, ^uintptr(0), 0)
	fmt.Println(s, us)
	raw(unix.SYS_EXIT_GROUP, 0)
}

// childAlone has a thread that meets an error and ends, and lives on until that is gone.
func childAlone([]string) {
	tids := make(chan int)
	for { // on another thread than the first, which stays to be seen after its end
		go func() {
			runtime.LockOSThread()
			tid := unix.Gettid()
			if tid != unix.Getpid() {
				raw(unix.SYS_OPENAT, ^uintptr(99), cstr("/not/there"), 0)
			}
			tids <- tid
			if tid != unix.Getpid() {
				_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0) // not raw: the runtime must not wait for it
			}
			select {}
		}()
		if tid := <-tids; tid != unix.Getpid() {
			for unix.Tgkill(unix.Getpid(), tid, 0) == nil {
				runtime.Gosched()
			}
			fmt.Println(tid)
			return
		}
	}
}

// What raw calls point to is no stack and no heap, which move and are given to others.
var (
	noTime  [2]int64
	noSet   uint64
	scratch [8]byte
	zero    = uintptr(unsafe.Pointer(&noTime))
)

func TestFailures(t *testing.T) {
	eachWay(t, func(t *testing.T, w *watch) {
		k := w.program("fail")
		var tid int32
		var s, us int32
		if _, err := fmt.Sscan(k.line(), &tid); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(k.line(), &s, &us); err != nil {
			t.Fatal(err)
		}
		w.done(k)
		o := w.await("failures of the thread", func(o *evidence.Observation) bool {
			return o.Kind() == evidence.KindThreadFailures && o.TID == tid
		})
		if int(o.PID) != k.pid || o.Comm == "" {
			t.Errorf("of process %d %q, want %d", o.PID, o.Comm, k.pid)
		}
		_, exit := w.exitOf(k.pid)
		if exit.EnderTID != 0 && exit.EnderTID != tid {
			t.Errorf("thread %d ended it, by the failures %d", exit.EnderTID, tid)
		}
		got := o.Detail.(*evidence.ThreadFailures).Calls
		want := []evidence.FailedCall{}
		for i := 22; i < 30; i++ {
			want = append(want, evidence.FailedCall{Call: "openat", Errno: evidence.ENOENT, FD: -1, Path: fmt.Sprintf("/not/there/%d", i), Count: 1})
		}
		want = append(want,
			evidence.FailedCall{Call: "openat", Errno: evidence.ENOENT, FD: -1, Path: "/not/there", Count: 3, Arg: unix.O_CLOEXEC},
			evidence.FailedCall{Call: "mkdirat", Errno: 17, FD: -1, Path: "/proc", Count: 1, Arg: 0o700},
			evidence.FailedCall{Call: "read", Errno: evidence.EBADF, FD: 999, Count: 1, Arg: 8},
			evidence.FailedCall{Call: "read", Errno: evidence.EBADF, FD: 998, Count: 1, Arg: 4},
			evidence.FailedCall{Call: "openat", Errno: evidence.ENOENT, FD: -1, Path: "/" + strings.Repeat("x", 94), Count: 1},
			evidence.FailedCall{Call: "connect", Errno: evidence.ECONNREFUSED, FD: s, Path: "127.0.0.1:1", Count: 1},
			evidence.FailedCall{Call: "connect", Errno: evidence.ECONNREFUSED, FD: us, Path: "@nobody", Count: 1},
			evidence.FailedCall{Call: "mmap", Errno: evidence.ENOMEM, FD: -1, Arg: 1 << 60, Count: 1},
		)
		for i := range got {
			if got[i].BootNanos <= 0 || i > 0 && got[i].BootNanos < got[i-1].BootNanos || got[i].BootNanos > o.BootNanos {
				t.Errorf("%d: time %d", i, got[i].BootNanos)
			}
			got[i].BootNanos = 0
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("-want +got\n%s", d)
		}
		if n := w.Counters()[evidence.CountSyscallFailed]; n < 40 || n > 400 {
			t.Errorf("%d failed calls counted, want some more than 40", n)
		}
		w.bystander("fail")
	})
}

// A thread that ends while its process lives on leaves nothing behind.
func TestFailuresOfAThreadThatEndsAlone(t *testing.T) {
	eachWay(t, func(t *testing.T, w *watch) {
		k := w.program("alone")
		var tid int32
		if _, err := fmt.Sscan(k.line(), &tid); err != nil {
			t.Fatal(err)
		}
		k.end()
		w.flushed()
		w.exitOf(k.pid)
		// Its process ended soon after, so they may matter.
		told := w.all(func(o *evidence.Observation) bool {
			return o.Kind() == evidence.KindThreadFailures && o.TID == tid
		})
		if len(told) != 1 {
			t.Fatalf("told of %d times, want once", len(told))
		}
		if d := told[0].Detail.(*evidence.ThreadFailures); d.Ender || len(d.Calls) != 1 || d.Calls[0].Path != "/not/there" {
			t.Errorf("%+v", d)
		}
		for _, name := range []string{"threads", "stdio"} {
			var key uint32
			var value []byte
			n := 0
			for it := w.env.maps[name].Iterate(); it.Next(&key, &value); {
				n++
			}
			if n > 0 {
				t.Errorf("%d entries are left in %s", n, name)
			}
		}
	})
}

// childLaunch runs a program that is not there, as a shell looks for it, and one that is.
func childLaunch(args []string) {
	for range 10 {
		_ = unix.Exec("/not/there", []string{"x"}, nil)
	}
	_ = unix.Exec(args[0], []string{"x"}, nil)
	_ = unix.Exec("/proc", []string{"x"}, nil)
	os.Exit(0)
}

func TestExecFailed(t *testing.T) {
	eachWay(t, func(t *testing.T, w *watch) {
		// Tracked and not started yet: its failure to start is told all the same.
		file := t.TempDir() + "/file"
		if err := os.WriteFile(file, []byte("no program"), 0o600); err != nil {
			t.Fatal(err)
		}
		k := command(t, "launch", file)
		k.says = true
		w.run(k)
		w.done(k)
		whole := map[string]int{}
		for _, f := range ofKind[*evidence.ExecFailed](w, k.pid) {
			whole[f.Path+" "+f.Errno.String()]++
			if f.Path == "/not/there" && int(f.Count) != whole[f.Path+" ENOENT"] {
				t.Errorf("%+v, want count %d", f, whole[f.Path+" ENOENT"])
			}
		}
		if d := cmp.Diff(map[string]int{"/not/there ENOENT": 8, file + " EACCES": 1, "/proc EACCES": 1}, whole); d != "" {
			t.Errorf("-want +got\n%s", d)
		}
		if n := w.Counters()[evidence.CountExecFailed]; n != 12 {
			t.Errorf("%d counted, want 12", n)
		}
		found := false
		if err := w.Counts(func(o *evidence.Observation) {
			if f, ok := o.Detail.(*evidence.ExecFailed); ok && f.Errno == evidence.ENOENT && f.Count == 10 && int(o.PID) == k.pid {
				found = true
			}
		}); err != nil || !found {
			t.Errorf("no count of 10: %v", err)
		}
		w.bystander("launch", file)
	})
}
