//go:build linux

package probe

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["dials"] = childDials
	children["serves"] = childServes
	children["again"] = childAgain
	children["loses"] = childLoses
	children["givesup"] = childGivesUp
}

func dial(to string, flags int) (fd int, err error) {
	a := netip.MustParseAddrPort(to)
	if a.Addr().Is4() {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, 0)
		must(err)
		return fd, unix.Connect(fd, &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())})
	}
	fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, 0)
	must(err)
	return fd, unix.Connect(fd, &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())})
}

// childDials connects to a port that nobody listens at, in all ways, then to one that somebody does.
func childDials(args []string) {
	closed, open := args[0], args[1]
	for range 5 {
		fd, err := dial(closed, 0)
		if err != unix.ECONNREFUSED {
			panic(err)
		}
		must(unix.Close(fd))
	}
	fd, err := dial(closed, unix.SOCK_NONBLOCK)
	if err != unix.EINPROGRESS && err != unix.ECONNREFUSED {
		panic(err)
	}
	if err == unix.EINPROGRESS {
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		must(err)
		if n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || n != int(unix.ECONNREFUSED) {
			panic(n)
		}
	}
	must(unix.Close(fd))
	for range 2 {
		fd, err = dial(open, 0)
		must(err)
		must(unix.Close(fd))
	}
	for range 4 {
		fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		must(err)
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: args[2]}); err != unix.ENOENT {
			panic(err)
		}
		must(unix.Close(fd))
	}
}

// childAgain is refused, and tries until it is not.
func childAgain(args []string) {
	for n := 0; ; n++ {
		fd, err := dial(args[0], 0)
		if err == nil {
			return
		}
		if err != unix.ECONNREFUSED || n == 5000 {
			panic(err)
		}
		must(unix.Close(fd))
		if n == 0 {
			_, _ = os.Stdout.WriteString("refused\n")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// childLoses connects and reads until the connection is lost.
func childLoses(args []string) {
	fd, err := dial(args[0], 0)
	must(err)
	b := make([]byte, 16)
	n, err := unix.Read(fd, b)
	must(err)
	if n != 2 {
		panic(n)
	}
	_, _ = os.Stdout.WriteString("read\n")
	if _, err = unix.Read(fd, b); err != unix.ECONNRESET {
		panic(err)
	}
}

// childServes accepts one connection and reads until it is lost.
func childServes([]string) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(err)
	_, _ = os.Stdout.WriteString(l.Addr().String() + "\n")
	c, err := l.Accept()
	must(err)
	_, _ = os.Stdout.WriteString("accepted\n")
	if _, err = c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		panic(err)
	}
}

// childGivesUp connects where nobody answers, and closes the socket.
func childGivesUp(args []string) {
	fd, err := dial(args[0], unix.SOCK_NONBLOCK)
	if err != unix.EINPROGRESS {
		panic(err)
	}
	must(unix.Close(fd))
}

// closedPort is a local address that nobody listens at: it is bound, so that nobody takes it meanwhile.
func closedPort(t *testing.T, ip string) string {
	t.Helper()
	a := netip.MustParseAddr(ip)
	var fd int
	var err error
	if a.Is4() {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(err)
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: a.As4()})
	} else {
		fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Skip("needs IPv6: ", err)
		}
		err = unix.Bind(fd, &unix.SockaddrInet6{Addr: a.As16()})
	}
	if err != nil {
		t.Skipf("needs the address %s: %v", ip, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	at, err := unix.Getsockname(fd)
	must(err)
	port := 0
	switch at := at.(type) {
	case *unix.SockaddrInet4:
		port = at.Port
	case *unix.SockaddrInet6:
		port = at.Port
	}
	return netip.AddrPortFrom(a, uint16(port)).String()
}

func TestTCPConnects(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			closed := closedPort(t, ip)
			l, err := net.Listen("tcp", netip.AddrPortFrom(netip.MustParseAddr(ip), 0).String())
			if err != nil {
				t.Skip("needs the address: ", err)
			}
			defer l.Close()
			missing := filepath.Join(t.TempDir(), "sock")
			eachWay(t, func(t *testing.T, w *watch) {
				w.need("probe/connect")
				k := w.program("dials", closed, l.Addr().String(), missing)
				w.done(k)
				must(w.Counts(w.handle))
				var tcp, local []*evidence.ConnectFailed
				for _, d := range ofKind[*evidence.ConnectFailed](w, k.pid) {
					if d.Protocol == evidence.FDUnix {
						local = append(local, d)
					} else {
						tcp = append(tcp, d)
					}
				}
				if len(tcp) < 4 {
					t.Fatalf("%d failures of TCP told: %+v", len(tcp), tcp)
				}
				for i, d := range tcp {
					if d.Peer != closed || d.Protocol != evidence.FDTCP || d.Errno != evidence.ECONNREFUSED || d.AtOnce || d.Nanos <= 0 || d.Nanos > int64(time.Minute) || i < 3 && (d.Count != int64(i+1) || !d.Blocking) {
						t.Errorf("failure %d: %+v, want of %s", i, d, closed)
					}
				}
				if last := tcp[len(tcp)-1]; last.Count != 6 {
					t.Errorf("%d failures, want 6", last.Count)
				}
				if len(local) < 4 || local[0].Peer != missing || local[0].Errno != evidence.ENOENT || !local[0].AtOnce || !local[0].Blocking || local[len(local)-1].Count != 4 || local[len(local)-1].Peer != missing {
					t.Errorf("of %s: %+v", missing, local)
				}
				c := w.Counters()
				if c[evidence.CountConnectFailed] != 10 || c[evidence.CountConnected] != 2 {
					t.Errorf("counters %v, want 10 and 2", c)
				}
				if made := ofKind[*evidence.ConnectMade](w, k.pid); len(made) != 0 {
					t.Errorf("made: %+v, to a port that none had failed to", made[0])
				}
			})
		})
	}
}

func TestTCPConnectsInTheEnd(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	defer unix.Close(fd)
	must(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	at, err := unix.Getsockname(fd)
	must(err)
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(at.(*unix.SockaddrInet4).Port)).String()
	w := open(t, Config{})
	w.need("probe/connect")
	k := w.program("again", to)
	if s := k.line(); s != "refused" {
		t.Fatal(s)
	}
	must(unix.Listen(fd, 1))
	w.done(k)
	must(w.Counts(w.handle))
	made, failed := ofKind[*evidence.ConnectMade](w, k.pid), ofKind[*evidence.ConnectFailed](w, k.pid)
	if len(made) != 1 || made[0].Peer != to || made[0].Count != 1 || len(failed) == 0 || failed[0].Peer != to {
		t.Errorf("made %+v, failed %+v", made, failed)
	}
	// The peers of the dead are forgotten.
	must(w.Counts(w.handle))
	for _, name := range []string{"tcp_peers", "tcp_made"} {
		must(w.peers(name, nil, func(p *tcpPeer, _ *tcpTally) {
			if int(p.PID) == k.pid {
				t.Errorf("%s still has %s", name, p)
			}
		}))
	}
}

// leafOf makes a cgroup of version 2, or skips.
func leafOf(t *testing.T) (path string, join func(pid int)) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	must(err)
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != "cgroup2" {
			continue
		}
		path = filepath.Join(f[1], "descry-test-tcp-"+strconv.Itoa(os.Getpid()))
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Skip("needs a cgroup of its own: ", err)
		}
		t.Cleanup(func() {
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		})
		return path, func(pid int) {
			must(os.WriteFile(path+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0o644))
		}
	}
	t.Skip("needs cgroup2")
	return "", nil
}

func TestTCPReset(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(err)
	defer l.Close()
	w := open(t, Config{})
	w.need("probe/connect")
	k := w.program("loses", l.Addr().String())
	c, err := l.Accept()
	must(err)
	defer c.Close()
	_, err = c.Write([]byte("hi"))
	must(err)
	if s := k.line(); s != "read" {
		t.Fatal(s)
	}
	must(c.(*net.TCPConn).SetLinger(0))
	must(c.Close())
	w.done(k)
	got := ofKind[*evidence.ConnectionLost](w, k.pid)
	if len(got) != 1 {
		t.Fatalf("%d losses told", len(got))
	}
	if d := got[0]; d.Peer != l.Addr().String() || d.Local != c.RemoteAddr().String() || d.Errno != evidence.ECONNRESET || d.Accepted || d.Closing || d.Nanos <= 0 || d.Received != 2 || d.Count != 1 {
		t.Errorf("%+v", d)
	}
	if c := w.Counters(); c[evidence.CountReset] != 1 || c[evidence.CountConnected] != 1 || c[evidence.CountTimedOut] != 0 || c[evidence.CountSegments] < 2 {
		t.Errorf("counters %v", c)
	}
}

// The state of an accepted connection changes in no process's context: its owner is the cgroup's.
func TestTCPResetOfAccepted(t *testing.T) {
	path, join := leafOf(t)
	w := open(t, Config{})
	w.need("probe/tcp")
	k := command(t, "exec", "serves")
	k.says = true
	k.before = func(pid int) {
		join(pid)
		must(w.Leaf(path, pid))
	}
	w.run(k)
	to := k.line()
	stranger, err := net.Listen("tcp4", "127.0.0.1:0")
	must(err)
	defer stranger.Close()
	for _, to := range []string{to, stranger.Addr().String()} {
		c, err := net.Dial("tcp4", to)
		must(err)
		if to == stranger.Addr().String() {
			in, err := stranger.Accept()
			must(err)
			defer in.Close()
		} else if s := k.line(); s != "accepted" {
			t.Fatal(s)
		}
		must(c.(*net.TCPConn).SetLinger(0))
		must(c.Close())
	}
	w.done(k)
	got := ofKind[*evidence.ConnectionLost](w, k.pid)
	if all := w.all(func(o *evidence.Observation) bool { return o.Kind() == evidence.KindConnectionLost }); len(all) != 1 || len(got) != 1 {
		t.Fatalf("%d losses told, %d of the child, want one", len(all), len(got))
	}
	if d := got[0]; d.Local != to || d.Errno != evidence.ECONNRESET || !d.Accepted {
		t.Errorf("%+v, want one to %s", d, to)
	}
	if c := w.Counters(); c[evidence.CountReset] != 1 || c[evidence.CountAccepted] != 1 {
		t.Errorf("counters %v", c)
	}
}

func TestTCPGivenUp(t *testing.T) {
	// A listener whose queue is full does not answer.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	defer unix.Close(fd)
	must(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(unix.Listen(fd, 0))
	at, err := unix.Getsockname(fd)
	must(err)
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(at.(*unix.SockaddrInet4).Port)).String()
	first, err := dial(to, 0)
	must(err)
	defer unix.Close(first)
	w := open(t, Config{})
	w.need("probe/connect")
	k := w.program("givesup", to)
	d := w.await("connect given up", func(o *evidence.Observation) bool {
		return o.Kind() == evidence.KindConnectFailed && int(o.PID) == k.pid
	}).Detail.(*evidence.ConnectFailed)
	if d.Peer != to || d.Errno != 0 || d.Blocking || d.Nanos <= 0 || d.Count != 1 {
		t.Errorf("%+v", d)
	}
	w.done(k)
	if c := w.Counters(); c[evidence.CountConnectGivenUp] != 1 || c[evidence.CountConnectFailed] != 0 {
		t.Errorf("counters %v", c)
	}
}

func FuzzTCPEvent(f *testing.F) {
	f.Add(make([]byte, tcpEventSize))
	f.Add(bytes.Repeat([]byte{0xff}, connectSize))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := new(Set)
		decodeTCP(s, nil, b)
		decodeTCPLost(s, nil, b)
		decodeConnect(s, nil, b)
	})
}
