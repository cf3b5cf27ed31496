//go:build linux

package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() { children["files"] = childFiles }

// childFiles meets refusals on a small file system of its own.
func childFiles(args []string) {
	runtime.LockOSThread()
	must(unix.Unshare(unix.CLONE_NEWNS))
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	dir := args[0]
	gate, err := unix.Open(dir+".go", unix.O_RDWR, 0)
	must(err)
	step := func() { // what is seen of a file is seen after the call
		fmt.Println("next")
		must2(unix.Read(gate, make([]byte, 1)))
	}
	must(unix.Mount("small", dir, "tmpfs", 0, "size=64k,nr_inodes=8,mode=755"))
	must(unix.Chdir(dir))
	buf := make([]byte, 100_000)
	at := uintptr(unsafe.Pointer(&buf[0]))
	atCWD := uintptr(0xffffffffffffff9c)
	want := func(what string, err, want error) {
		if err != want {
			panic(fmt.Sprintf("%s gave %v, want %v", what, err, want))
		}
	}

	fd, err := unix.Open("full", unix.O_CREAT|unix.O_RDWR, 0o644)
	must(err)
	n, _ := raw(unix.SYS_WRITE, uintptr(fd), at, 100_000)
	if n != 65536 {
		panic(fmt.Sprint("wrote ", n))
	}
	for range 5 {
		_, e := raw(unix.SYS_PWRITE64, uintptr(fd), at, 1000, 70000)
		want("pwrite64", e, unix.ENOSPC)
	}
	step()
	must(unix.Ftruncate(fd, 0))
	var last unix.Errno
	for i := range 20 {
		if _, last = raw(unix.SYS_MKDIRAT, atCWD, cstr(fmt.Sprintf("d%d", i)), 0o700); last != 0 {
			break
		}
	}
	want("mkdirat", last, unix.ENOSPC)
	step()
	if _, err := unix.InotifyInit1(0); err != nil {
		panic(err)
	}

	must(unix.Chmod("full", 0o600))
	must(unix.Close(fd))
	must(unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "size=64k"))
	_, e := raw(unix.SYS_OPENAT, atCWD, cstr(dir+"/full"), unix.O_WRONLY)
	want("openat", e, unix.EROFS)
	step()

	// The rest without privileges.
	_, e = raw(unix.SYS_SETRESGID, 65534, 65534, 65534)
	want("setresgid", e, unix.Errno(0))
	_, e = raw(unix.SYS_SETRESUID, 65534, 65534, 65534)
	want("setresuid", e, unix.Errno(0))
	_, e = raw(unix.SYS_OPENAT, atCWD, cstr("full"), unix.O_RDONLY)
	want("openat", e, unix.EACCES)
	_, e = raw(unix.SYS_UNLINKAT, atCWD, cstr("d0/shut/file"), 0)
	want("unlinkat", e, unix.EACCES)
	_, e = raw(unix.SYS_KILL, 1, 0)
	want("kill", e, unix.EPERM)
	s, e2 := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(e2)
	_, e = raw(unix.SYS_BIND, uintptr(s), cstr("\x02\x00\x00\x01\x7f\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"), 16)
	want("bind to port 1", e, unix.EACCES)
	step()
}

func must2(_ int, err error) { must(err) }

func TestFileRefused(t *testing.T) { eachWay(t, testFileRefused) }

func testFileRefused(t *testing.T, w *watch) {
	defer func(d time.Duration) { fileLook = d }(fileLook)
	fileLook = patience
	dir := filepath.Join(t.TempDir(), "mount")
	must(os.Mkdir(dir, 0o755))
	must(unix.Mkfifo(dir+".go", 0o600))
	gate, err := os.OpenFile(dir+".go", os.O_RDWR, 0)
	must(err)
	defer gate.Close()
	c := w.program("files", dir)
	next := func() {
		t.Helper()
		if got := c.line(); got != "next" {
			t.Fatalf("the child said %q", got)
		}
		w.flushed()
		must2(gate.Write([]byte{1}))
	}
	refused := func(call string, errno evidence.Errno) *evidence.FileRefused {
		t.Helper()
		o := w.await(call+" "+errno.String(), func(o *evidence.Observation) bool {
			d, ok := o.Detail.(*evidence.FileRefused)
			return ok && int(o.PID) == c.pid && d.Call == call && d.Errno == errno
		})
		return o.Detail.(*evidence.FileRefused)
	}
	next()
	if d := refused("pwrite64", evidence.ENOSPC); d.Path != dir+"/full" || d.FSType != "tmpfs" || d.Asked != 1000 || d.Lost != 1000 ||
		d.Count != 1 || d.Mount != dir || d.Device != "small" || d.Space == nil || d.Space.FreeBytes != 0 || d.Space.TotalBytes != 65536 || d.Space.FreeInodes == 0 || d.ReadOnly {
		t.Errorf("full by write: %+v, space %+v", d, d.Space)
	}
	next()
	if d := refused("mkdirat", evidence.ENOSPC); !strings.HasPrefix(d.Path, "d") || d.Dir != dir || d.FD != -1 || !d.Missing ||
		d.Space == nil || d.Space.FreeInodes != 0 || d.Space.TotalInodes != 8 || d.Space.FreeBytes == 0 {
		t.Errorf("no inodes: %+v, space %+v", d, d.Space)
	}
	next()
	if d := refused("openat", evidence.EROFS); d.Path != dir+"/full" || !d.ReadOnly || d.Mount != dir || d.UID != 0 {
		t.Errorf("read-only: %+v", d)
	}
	next()
	if d := refused("openat", evidence.EACCES); d.Path != "full" || d.Dir != dir || d.Forbids != dir+"/full" || d.Mode != 0o600 || d.Owner != 0 || d.UID != 65534 || d.Caps != 0 {
		t.Errorf("forbidden: %+v", d)
	}
	if d := refused("unlinkat", evidence.EACCES); d.Forbids != filepath.Join(dir, "d0") || d.Mode != 0o700 {
		t.Errorf("forbidden by a directory: %+v", d)
	}
	w.done(c)
	for _, o := range w.all(func(o *evidence.Observation) bool {
		_, ok := o.Detail.(*evidence.FileRefused)
		return ok && int(o.PID) == c.pid
	}) {
		switch d := o.Detail.(*evidence.FileRefused); d.Call {
		case "pwrite64", "mkdirat", "openat", "unlinkat":
		default:
			t.Errorf("not about files: %+v", d)
		}
	}
	var counted *evidence.FileRefused
	must(w.Counts(func(o *evidence.Observation) {
		if d, ok := o.Detail.(*evidence.FileRefused); ok && d.Call == "pwrite64" {
			counted = d
		}
	}))
	if counted == nil || counted.Count != 5 || counted.Lost != 5000 {
		t.Errorf("counted: %+v", counted)
	}
	n := w.Counters()
	if n[evidence.CountFileNoSpace] != 6 || n[evidence.CountFileReadOnly] != 1 || n[evidence.CountFileForbidden] != 2 {
		t.Errorf("counters: %v", n)
	}
}
