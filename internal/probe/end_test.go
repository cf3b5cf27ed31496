//go:build linux

package probe

import (
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() { children["turned"] = childTurned }

const endLimit = 1 << 42 // of address space, more than Go's runtime ever asks for

// childTurned has other standard descriptors at its end than at its start, another user and a limit.
func childTurned(args []string) {
	runtime.LockOSThread()
	must(unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: endLimit, Max: endLimit}))
	user := 1_000_000 + os.Getpid()
	must(syscall.Setresgid(user+1, user+1, user+1))
	must(syscall.Setresuid(user, user, user))
	for range 3 {
		_, err := unix.InotifyInit1(0)
		must(err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(err)
	peer, err := strconv.Atoi(args[0])
	must(err)
	must(unix.Connect(s, &unix.SockaddrInet4{Port: peer, Addr: [4]byte{127, 0, 0, 1}}))
	_, err = unix.Write(s, []byte("stock\n"))
	must(err)
	must(unix.Dup3(s, 1, 0))
	must(unix.Close(s))
	must(unix.Close(0))
	os.Exit(3)
}

// What a process is at its end: who it ran as, what it may have, and which of its standard descriptors are not what they were.
func TestAtEnd(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	w := open(t, Config{})
	w.need("probe/exit")
	w.need("probe/exec")
	k := w.program("turned", strconv.Itoa(port))
	k.end()
	w.flushed()
	_, e := w.exitOf(k.pid)
	if e.ExitCode != 3 || e.AtEnd == nil {
		t.Fatalf("%+v", e)
	}
	user := int32(1_000_000 + k.pid)
	want := evidence.AtEnd{UID: user, GID: user + 1, AddressLimit: endLimit, DataLimit: e.AtEnd.DataLimit, AddressPeak: e.AtEnd.AddressPeak, Inotify: 3, InotifyMax: e.AtEnd.InotifyMax, Written: 6}
	if *e.AtEnd != want {
		t.Errorf("%+v, want %+v", *e.AtEnd, want)
	}
	b, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	if n := strings.TrimSpace(string(b)); err != nil || strconv.FormatInt(e.AtEnd.InotifyMax, 10) != n {
		t.Errorf("%d inotify instances may be had, not %s: %v", e.AtEnd.InotifyMax, n, err)
	}
	if p := e.AtEnd.AddressPeak; p != 0 && (p < 1<<20 || p > endLimit) {
		t.Errorf("an address space of %d bytes at most", p)
	}
	if len(e.Stdio) != 2 {
		t.Fatalf("%+v, want descriptors 0 and 1", e.Stdio)
	}
	if s := e.Stdio[0]; s.FD != 0 || s.Was == "" || s.Is != "" {
		t.Errorf("%+v, want 0 closed", s)
	}
	if s := e.Stdio[1]; s.FD != 1 || s.Was != evidence.FDPipe || s.Is != evidence.FDTCP || s.State != "ESTABLISHED" || s.Peer != "127.0.0.1:"+strconv.Itoa(port) {
		t.Errorf("%+v, want 1 a connection to %d", s, port)
	}
	k = w.program("nothing")
	k.end()
	w.flushed()
	if _, e := w.exitOf(k.pid); len(e.Stdio) != 0 {
		t.Errorf("of one that changes nothing: %+v", e.Stdio)
	}
}
