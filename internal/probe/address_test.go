//go:build linux

package probe

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["bind"] = childBind
	children["ports"] = childPorts
}

// childBind asks for addresses that others have, or that nobody has.
func childBind(args []string) {
	runtime.LockOSThread()
	port, err := strconv.Atoi(args[0])
	must(err)
	socket := func(family, typ int) int {
		fd, err := unix.Socket(family, typ, 0)
		must(err)
		return fd
	}
	want := func(err error, errno error) {
		if err != errno {
			panic(fmt.Sprintf("got %v, want %v", err, errno))
		}
	}
	tcp := socket(unix.AF_INET, unix.SOCK_STREAM)
	in := &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	for range 5 {
		want(unix.Bind(tcp, in), unix.EADDRINUSE)
	}
	want(unix.Bind(socket(unix.AF_UNIX, unix.SOCK_STREAM), &unix.SockaddrUnix{Name: args[1]}), unix.EADDRINUSE)
	want(unix.Bind(socket(unix.AF_INET, unix.SOCK_DGRAM), &unix.SockaddrInet4{Addr: [4]byte{192, 0, 2, 1}, Port: 53}), unix.EADDRNOTAVAIL)
	// No news of this kind: an address that is in nobody's way, and a peer that is not there.
	must(unix.Bind(socket(unix.AF_INET, unix.SOCK_STREAM), &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	want(unix.Connect(tcp, &unix.SockaddrInet4{Port: 1, Addr: [4]byte{127, 0, 0, 1}}), unix.ECONNREFUSED)
}

// patientLook gives looks into /proc all the time that emulated machines take.
func patientLook(t *testing.T) {
	old := addressLook
	addressLook = patience
	t.Cleanup(func() { addressLook = old })
}

func TestAddressInUse(t *testing.T) {
	patientLook(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path := t.TempDir() + "/sock"
	u, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	eachWay(t, func(t *testing.T, w *watch) {
		k := w.program("bind", strconv.Itoa(l.Addr().(*net.TCPAddr).Port), path)
		w.done(k)
		got := ofKind[*evidence.AddressRefused](w, k.pid)
		if len(got) != 3+1+1 && len(got) != 3+1 { // UNIX and TCP share a call and an error, and so a count
			t.Fatalf("%d told of: %+v", len(got), got)
		}
		first := got[0]
		if first.Call != "bind" || first.Errno != evidence.EADDRINUSE || first.Address != l.Addr().String() || first.Protocol != evidence.FDTCP || first.Count != 1 ||
			int(first.Holder) != os.Getpid() || !strings.Contains(first.HolderCommand, "test") {
			t.Errorf("%+v, want %v held by %d", first, l.Addr(), os.Getpid())
		}
		last := got[len(got)-1]
		if last.Errno != evidence.EADDRNOTAVAIL || last.Address != "192.0.2.1:53" || last.Protocol != evidence.FDUDP || last.Holder != 0 || last.PortRange == "" {
			t.Errorf("%+v, want 192.0.2.1:53, udp", last)
		}
		c := w.Counters()
		if c[evidence.CountAddrInUse] != 6 || c[evidence.CountAddrNotAvail] != 1 {
			t.Errorf("counters %v, want 6 and 1", c)
		}
		w.bystander("bind", strconv.Itoa(l.Addr().(*net.TCPAddr).Port), path)
	})
}

func TestAddressInUseUnix(t *testing.T) {
	dir := t.TempDir()
	u, err := net.Listen("unix", dir+"/with a blank")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	v := netView{dir: "/proc/self/net", until: farAway}
	inode := v.unixHolder(dir + "/with a blank")
	if inode == 0 {
		t.Fatal("the socket was not found")
	}
	if pid, _ := holderOf(inode, nil, farAway); pid != os.Getpid() {
		t.Errorf("held by %d, want %d", pid, os.Getpid())
	}
	if n := v.unixHolder(dir + "/other"); n != 0 {
		t.Errorf("found %d for a socket that is not there", n)
	}
}

// childPorts uses up the local ports of its own network namespace.
func childPorts([]string) {
	runtime.LockOSThread()
	must(os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40003"), 0))
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(err)
	ifr, err := unix.NewIfreq("lo")
	must(err)
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	must(unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr))
	l, err := net.Listen("tcp4", "127.0.0.1:80")
	must(err)
	keep = append(keep, l)
	for {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		must(err)
		sa := []byte{2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}
		if _, err := raw(unix.SYS_CONNECT, uintptr(c), uintptr(unsafe.Pointer(&sa[0])), 16); err == unix.EADDRNOTAVAIL {
			break
		} else if err != 0 {
			panic(err)
		}
	}
	for { // until it was looked at
		_ = unix.Pause()
	}
}

func TestPortsUsedUp(t *testing.T) {
	patientLook(t)
	eachWay(t, func(t *testing.T, w *watch) {
		k := command(t, "exec", "ports")
		k.says = true
		k.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		w.run(k)
		o := w.await("refused address", func(o *evidence.Observation) bool {
			return int(o.PID) == k.pid && o.Kind() == evidence.KindAddressRefused
		})
		d := o.Detail.(*evidence.AddressRefused)
		if d.Call != "connect" || d.Errno != evidence.EADDRNOTAVAIL || d.Address != "127.0.0.1:80" || d.Protocol != evidence.FDTCP {
			t.Errorf("%+v, want connect to 127.0.0.1:80, tcp", d)
		}
		if d.PortRange != "40000 40003" || d.PortsUsed != 4 || len(d.ByPeer) == 0 || d.ByPeer[0].Name != "127.0.0.1:80" || len(d.ByState) == 0 || d.ByState[0].Name != "ESTABLISHED" {
			t.Errorf("%+v, want all 4 ports, but not the listener's, all to 127.0.0.1:80", d)
		}
	})
}

func FuzzSocketAddress(f *testing.F) {
	f.Add([]byte{2, 0, 0, 80, 127, 0, 0, 1})
	f.Add([]byte{10, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{1, 0, '/', 'a', 0})
	f.Add([]byte{1, 0, 0, 'x'})
	f.Add([]byte{16, 0, 1})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) { socketAddress(b) })
}

func TestSocketAddress(t *testing.T) {
	for want, b := range map[string][]byte{
		"127.0.0.1:80":      {2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"*:80":              {2, 0, 0, 80, 0, 0, 0, 0},
		"[2001:db8::1]:443": {10, 0, 1, 187, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
		"/run/x.sock":       append([]byte{1, 0}, "/run/x.sock\x00"...),
		"@name":             append([]byte{1, 0, 0}, "name"...),
		"address family 16": {16, 0, 0, 0},
		"":                  {2},
	} {
		if got, _ := socketAddress(b); got != want {
			t.Errorf("%v is %q, want %q", b, got, want)
		}
	}
}

const netTCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:9C40 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 20 4 30 10 -1
   2: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000 100 0 0 10 0
   garbage
`

func TestReadInetSockets(t *testing.T) {
	var got []string
	if err := readInetSockets(strings.NewReader(netTCP), func(s *inetSocket) bool {
		got = append(got, fmt.Sprint(s.local, s.peer, s.state, s.inode))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		fmt.Sprint(netip.MustParseAddrPort("127.0.0.1:8080"), netip.MustParseAddrPort("0.0.0.0:0"), 10, 4711),
		fmt.Sprint(netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("127.0.0.1:80"), 1, 4712),
		fmt.Sprint(netip.MustParseAddrPort("[::1]:22"), netip.MustParseAddrPort("[::]:0"), 10, 4713),
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzReadInetSockets(f *testing.F) {
	f.Add(netTCP)
	f.Fuzz(func(t *testing.T, s string) {
		_ = readInetSockets(strings.NewReader(s), func(*inetSocket) bool { return true })
		readUnixInode(strings.NewReader(s), "/x")
	})
}

// Who reads the range of another network namespace is in its own again, also when it was the first thread, which
// all of /proc/self/net shows.
func TestPortRangeComesBack(t *testing.T) {
	w := open(t, Config{})
	k := command(t, "sleep")
	k.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	w.run(k)
	own, err := os.Readlink("/proc/self/ns/net")
	must(err)
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", k.pid))
	must(err)
	if own == theirs {
		t.Fatal("it has no namespace of its own")
	}
	v := netView{dir: fmt.Sprintf("/proc/%d/net", k.pid), until: farAway}
	for range 300 {
		got := make(chan string)
		go func() { got <- v.portRange() }()
		if words := <-got; words == "" {
			t.Fatal("no range")
		}
	}
	tasks, err := os.ReadDir("/proc/self/task")
	must(err)
	for _, task := range tasks {
		if in, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net"); err == nil && in != own {
			t.Errorf("thread %s of process %d stayed in the other's namespace", task.Name(), os.Getpid())
		}
	}
}
