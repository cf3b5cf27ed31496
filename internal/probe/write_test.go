//go:build linux

package probe

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() { children["write"] = childWrite }

// childWrite writes to pipes of its own, as 1 and 2, until they take no more.
func childWrite([]string) {
	runtime.LockOSThread()
	buf := make([]byte, 200_000)
	at := uintptr(unsafe.Pointer(&buf[0]))
	want := func(what string, r uintptr, err error, n uintptr, errno error) {
		if r != n && errno == nil || fmt.Sprint(err) != fmt.Sprint(errno) && errno != nil {
			panic(fmt.Sprintf("%s gave %d %v, want %d %v", what, r, err, n, errno))
		}
	}
	pipe := func(fd int) int {
		var p [2]int
		must(unix.Pipe2(p[:], unix.O_NONBLOCK))
		must(unix.Dup3(p[1], fd, 0))
		must(unix.Close(p[1]))
		return p[0]
	}
	end := pipe(1)
	r, err := raw(unix.SYS_WRITE, 1, at, 65536) // just what it takes
	want("write", r, err, 65536, nil)
	for range 5 {
		r, err = raw(unix.SYS_WRITE, 1, at, 1000)
		want("write", r, err, 0, unix.EAGAIN)
	}
	_, e := unix.Read(end, buf[:8192])
	must(e)
	r, err = raw(unix.SYS_WRITE, 1, at, 200_000)
	want("write", r, err, 8192, nil)
	_, e = unix.Read(end, buf[:4096])
	must(e)
	iov := []unix.Iovec{{Base: &buf[0], Len: 3000}, {Base: &buf[0], Len: 3000}}
	r, err = raw(unix.SYS_WRITEV, 1, uintptr(unsafe.Pointer(&iov[0])), 2)
	want("writev", r, err, 4096, nil)
	must(unix.Close(end))
	r, err = raw(unix.SYS_WRITE, 1, at, 10)
	want("write", r, err, 0, unix.EPIPE)

	// What is not output: the same on another descriptor.
	end = pipe(7)
	r, err = raw(unix.SYS_WRITE, 7, at, 200_000)
	want("write", r, err, 65536, nil)
	r, err = raw(unix.SYS_WRITE, 7, at, 10)
	want("write", r, err, 0, unix.EAGAIN)

	pair, e := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	must(e)
	must(unix.Dup3(pair[0], 2, 0))
	for {
		if _, err = raw(unix.SYS_SENDTO, 2, at, 1000, 0, 0, 0); err == unix.EAGAIN {
			break
		}
		if err != 0 {
			panic(err)
		}
	}
	must(unix.Close(2))
	_, err = raw(unix.SYS_WRITE, 2, at, 7)
	want("write", 0, err, 0, unix.EBADF)
	_ = end
}

func TestWrites(t *testing.T) {
	eachWay(t, func(t *testing.T, w *watch) {
		k := w.program("write")
		w.done(k)
		var got []string
		for _, s := range ofKind[*evidence.WriteShort](w, k.pid) {
			got = append(got, fmt.Sprintf("short %d %s %d of %d: %d, %d lost", s.FD, s.FDKind, s.Written, s.Asked, s.Count, s.Lost))
		}
		for _, r := range ofKind[*evidence.WriteRefused](w, k.pid) {
			got = append(got, fmt.Sprintf("%v %d %s %d: %d, %d lost", r.Errno, r.FD, r.FDKind, r.Asked, r.Count, r.Lost))
		}
		want := []string{
			"short 1 pipe 8192 of 200000: 1, 191808 lost",
			"short 1 pipe 4096 of 6000: 1, 1904 lost",
			"EAGAIN 1 pipe 1000: 1, 1000 lost",
			"EAGAIN 1 pipe 1000: 2, 2000 lost",
			"EAGAIN 1 pipe 1000: 3, 3000 lost",
			"EPIPE 1 pipe 10: 1, 10 lost",
			"EAGAIN 2 unix 1000: 1, 1000 lost",
			"EBADF 2  7: 1, 7 lost",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		c := w.Counters()
		if c[evidence.CountWriteShort] != 2 || c[evidence.CountWriteRefused] != 8 {
			t.Errorf("counters %v, want 2 short and 8 refused", c)
		}
		var later []string
		if err := w.Counts(func(o *evidence.Observation) {
			if r, ok := o.Detail.(*evidence.WriteRefused); ok && int(o.PID) == k.pid {
				later = append(later, fmt.Sprint(r.Errno, r.FD, r.Count, r.Lost))
			}
		}); err != nil {
			t.Fatal(err)
		}
		if len(later) != 1 || later[0] != fmt.Sprint(evidence.EAGAIN, 1, 5, 5000) {
			t.Errorf("counts %q, want 5 EAGAIN with 5000 bytes", later)
		}
		w.bystander("write")
	})
}
