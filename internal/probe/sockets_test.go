//go:build linux

package probe

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["stalls"] = childStalls
	children["healthy"] = childHealthy
}

var loopback4 = [4]byte{127, 0, 0, 1}

// ownNet gives this thread a network namespace with a loopback.
func ownNet() {
	runtime.LockOSThread()
	must(unix.Unshare(unix.CLONE_NEWNET))
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(err)
	ifr, err := unix.NewIfreq("lo")
	must(err)
	ifr.SetUint16(unix.IFF_UP)
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(ifr)))
	if e != 0 {
		panic(e)
	}
	must(unix.Close(fd))
}

func listenAt(backlog int) (fd int, at unix.Sockaddr) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	must(unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback4}))
	must(unix.Listen(fd, backlog))
	at, err = unix.Getsockname(fd)
	must(err)
	return fd, at
}

func connectTo(at unix.Sockaddr) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must(err)
	if err := unix.Connect(fd, at); err != nil && err != unix.EINPROGRESS {
		panic(err)
	}
	return fd
}

// stuff writes until nothing goes any more.
func stuff(fd int) {
	must(unix.SetNonblock(fd, true))
	b := make([]byte, 4096)
	for {
		if _, err := unix.Write(fd, b); err != nil {
			if err != unix.EAGAIN {
				panic(err)
			}
			return
		}
	}
}

// childStalls brings sockets of all kinds into trouble, in a network namespace of its own, and says
// which descriptors they are. At a line of its input it reads what waits.
func childStalls([]string) {
	ownNet()
	fds := map[string]int{}
	full, at := listenAt(1)
	fds["listener"] = full
	for range 6 {
		connectTo(at)
	}
	l, at := listenAt(8)
	w := connectTo(at)
	r, _, err := unix.Accept(l)
	must(err)
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(w), Events: unix.POLLOUT}}, -1)
	must(err)
	fds["writer"], fds["reader"] = w, r
	stuff(w)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	fds["unixWriter"], fds["unixReader"] = pair[0], pair[1]
	stuff(pair[0])
	pair, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	must(err)
	fds["datagramWriter"], fds["datagramReader"] = pair[0], pair[1]
	must(unix.SetNonblock(pair[0], true))
	for err == nil {
		_, err = unix.Write(pair[0], []byte("x"))
	}
	u, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(err)
	must(unix.SetsockoptInt(u, unix.SOL_SOCKET, unix.SO_RCVBUF, 8192))
	must(unix.Bind(u, &unix.SockaddrInet4{Addr: loopback4}))
	at, err = unix.Getsockname(u)
	must(err)
	for range 100 {
		must(unix.Sendto(u, make([]byte, 500), 0, at))
	}
	fds["udp"] = u
	fmt.Println(fds["listener"], fds["writer"], fds["reader"], fds["unixWriter"], fds["unixReader"], fds["datagramWriter"], fds["datagramReader"], fds["udp"])
	_, _ = os.Stdin.Read(make([]byte, 1))
	b := make([]byte, 1<<20)
	for _, fd := range []int{r, fds["unixReader"], fds["datagramReader"], u} {
		must(unix.SetNonblock(fd, true))
		for n := 0; n < 1e6; n++ {
			if _, err := unix.Read(fd, b); err != nil {
				break
			}
		}
	}
	must(unix.Close(full))
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// latest keeps what was last said of each descriptor.
func (w *watch) latest(pid int) map[int32]evidence.Socket {
	out := map[int32]evidence.Socket{}
	for _, o := range w.all(kind(evidence.KindSockets)) {
		if int(o.PID) != pid {
			continue
		}
		for _, s := range o.Detail.(*evidence.Sockets).Sockets {
			out[s.FD] = s
		}
	}
	return out
}

func TestSocketsInTrouble(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/sockets")
	must(w.Sockets(w.handle)) // what was before
	k := w.start("stalls")
	var listener, writer, reader, unixWriter, unixReader, dgramWriter, dgramReader, udp int32
	_, err := fmt.Sscan(k.line(), &listener, &writer, &reader, &unixWriter, &unixReader, &dgramWriter, &dgramReader, &udp)
	must(err)
	want := map[int32][]string{
		listener:    {evidence.SignAcceptFull, evidence.SignDrops},
		writer:      {evidence.SignSendFull, evidence.SignZeroWindow},
		reader:      {evidence.SignReceiveFull},
		unixWriter:  {evidence.SignSendFull},
		unixReader:  {evidence.SignReceiveFull},
		dgramWriter: {evidence.SignPeerFull},
		dgramReader: {evidence.SignReceiveFull},
		udp:         {evidence.SignReceiveFull, evidence.SignDrops},
	}
	signs := map[int32]map[string]bool{}
	missing := ""
	until := time.Now().Add(patience)
	for ; time.Now().Before(until); time.Sleep(10 * time.Millisecond) { // the listener drops when the clients try again
		must(w.Sockets(w.handle))
		missing = ""
		for fd, s := range w.latest(k.pid) {
			if signs[fd] == nil {
				signs[fd] = map[string]bool{}
			}
			for _, sign := range s.Signs {
				signs[fd][sign] = true
			}
		}
		still := w.latest(k.pid)
		for fd, all := range want {
			for _, sign := range all {
				if !signs[fd][sign] {
					missing += fmt.Sprintf(" descriptor %d: %s;", fd, sign)
				}
			}
			if still[fd].FullNanos < slowNanos {
				missing += fmt.Sprintf(" descriptor %d stood still for %d ns;", fd, still[fd].FullNanos)
			}
		}
		if missing == "" {
			break
		}
	}
	if missing != "" {
		t.Fatal("not seen:", missing)
	}
	at := w.latest(k.pid)
	own, err := os.Readlink("/proc/self/ns/net")
	must(err)
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", k.pid, writer))
	must(err)
	if s := at[listener]; s.Protocol != evidence.FDTCP || s.State != "LISTEN" || s.AcceptQ != 2 || s.Backlog != 1 || s.Drops == 0 ||
		s.DropsGained != s.Drops || !strings.HasPrefix(s.Local, "127.0.0.1:") || s.Peer != "" ||
		s.NetNS == 0 || own == fmt.Sprintf("net:[%d]", s.NetNS) {
		t.Errorf("listener: %+v", s)
	}
	if s := at[writer]; s.State != "ESTABLISHED" || s.SendQ < 4096 || s.SendMemory < s.SendBuf*7/8 || s.SendWindow != 0 && s.SendWindow >= s.SendQ ||
		theirs != fmt.Sprintf("socket:[%d]", s.Inode) || s.Peer == "" || s.RecvQ != 0 {
		t.Errorf("writer: %+v", s)
	}
	if s := at[reader]; s.RecvQ < 4096 || s.RecvBuf == 0 || s.RecvMemory == 0 || s.RecvWindow > s.RecvQ/8 || s.Peer != at[writer].Local {
		t.Errorf("reader: %+v", s)
	}
	if s := at[unixWriter]; s.Protocol != evidence.FDUnix || s.Type != "stream" || s.SendQ < s.SendBuf*7/8 || s.PeerInode != at[unixReader].Inode {
		t.Errorf("UNIX writer: %+v", s)
	}
	if s := at[unixReader]; s.RecvQ < s.RecvBuf*7/8 || s.PeerInode != at[unixWriter].Inode || s.SendQ != 0 {
		t.Errorf("UNIX reader: %+v", s)
	}
	if s := at[dgramWriter]; s.Type != "dgram" || s.PeerQueue <= s.PeerBacklog || s.PeerQueue == 0 {
		t.Errorf("datagram writer: %+v", s)
	}
	if s := at[udp]; s.Protocol != evidence.FDUDP || s.RecvQ < s.RecvBuf*7/8 || s.RecvBuf != 16384 || s.Drops < 50 || s.Drops > 99 {
		t.Errorf("UDP: %+v", s)
	}
	// A second look soon after has nothing new to tell.
	n := len(w.all(kind(evidence.KindSockets)))
	must(w.Sockets(w.handle))
	must(w.Sockets(w.handle))
	if m := len(w.all(kind(evidence.KindSockets))); m > n+1 {
		t.Errorf("%d more observations of what was told", m-n)
	}
	// All is read, and that is told once.
	_, err = k.in.Write([]byte("r"))
	must(err)
	recovered := func(o *evidence.Observation) bool {
		d, ok := o.Detail.(*evidence.Sockets)
		return ok && int(o.PID) == k.pid && len(d.Sockets) == 0
	}
	for len(w.all(recovered)) == 0 {
		if time.Now().After(until.Add(patience)) {
			t.Fatal("nothing says that it has recovered; last: ", w.latest(k.pid))
		}
		must(w.Sockets(w.handle))
		time.Sleep(10 * time.Millisecond)
	}
}

// What a process leaves in trouble is seen as it ends, without a sweep.
func TestSocketsAtDeath(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/sockets")
	must(w.Sockets(w.handle))
	k := w.start("stalls")
	var listener, writer, reader, unixWriter, unixReader int32
	_, err := fmt.Sscan(k.line(), &listener, &writer, &reader, &unixWriter, &unixReader)
	must(err)
	must(k.Process.Kill())
	w.exitOf(k.pid)
	at := w.latest(k.pid)
	for _, fd := range []int32{listener, writer, unixWriter, unixReader} { // the TCP reader's window closes later
		if s := at[fd]; !s.AtDeath || len(s.Signs) == 0 {
			t.Errorf("descriptor %d: %+v", fd, s)
		}
	}
	if s := at[listener]; s.AcceptQ != 2 || s.Backlog != 1 || s.State != "LISTEN" {
		t.Errorf("%+v", s)
	}
}

// childHealthy has many connections, in all of which something waits for a moment or nothing.
func childHealthy(args []string) {
	ownNet()
	l, at := listenAt(128)
	for range 200 {
		c := connectTo(at)
		s, _, err := unix.Accept(l)
		must(err)
		_, err = unix.Write(s, []byte("hello"))
		must(err)
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(c), Events: unix.POLLIN}}, -1)
		must(err)
	}
	for range 100 {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		must(err)
		_, err = unix.Write(pair[0], []byte("hello"))
		must(err)
	}
	fmt.Println("ready")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func TestSocketsHealthy(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/sockets")
	must(w.Sockets(w.handle))
	k := w.start("healthy")
	k.line()
	for range 3 {
		must(w.Sockets(w.handle))
	}
	w.LastSockets(w.handle)
	if all := w.latest(k.pid); len(all) != 0 {
		t.Errorf("healthy sockets are told of: %v", all)
	}
}

// rowOf is what the kernel would write of a socket.
func rowOf(pid, fd int, inode uint64, signs, drops uint32, in, out uint64) []byte {
	b := make([]byte, socketRow)
	binary.LittleEndian.PutUint32(b, rowSocket)
	binary.LittleEndian.PutUint32(b[4:], socketRow)
	binary.LittleEndian.PutUint32(b[8:], uint32(pid))
	binary.LittleEndian.PutUint32(b[12:], uint32(fd))
	b[16+36] = 1 // TCP
	binary.LittleEndian.PutUint64(b[socketInode:], inode)
	binary.LittleEndian.PutUint64(b[socketTokens:], in)
	binary.LittleEndian.PutUint64(b[socketTokens+8:], out)
	binary.LittleEndian.PutUint32(b[socketWords:], signs)
	binary.LittleEndian.PutUint32(b[socketWords+40:], drops)
	return b
}

func sumRow(pid int) []byte {
	b := make([]byte, socketsRow)
	binary.LittleEndian.PutUint32(b, rowSockets)
	binary.LittleEndian.PutUint32(b[4:], socketsRow)
	binary.LittleEndian.PutUint32(b[8:], uint32(pid))
	return b
}

func TestSocketBook(t *testing.T) {
	const second = int64(1e9)
	var b socketBook
	pass := func(now int64, rows ...[]byte) (out []*evidence.Sockets) {
		all := slices.Concat(rows...)
		if len(rows) > 0 {
			all = append(all, sumRow(7)...)
		} else {
			all = sumRow(7) // it lives, in health
		}
		for _, o := range b.pass(all, now) {
			out = append(out, o.Detail.(*evidence.Sockets))
		}
		return out
	}
	if got := pass(0, rowOf(7, 3, 1, signDrops, 40, 0, 0)); got != nil {
		t.Errorf("what was before the run is told: %+v", got[0])
	}
	if got := pass(1*second, rowOf(7, 3, 1, signDrops, 40, 0, 0)); got != nil {
		t.Errorf("old drops are told: %+v", got[0])
	}
	got := pass(2*second, rowOf(7, 3, 1, signDrops, 41, 0, 0))
	if len(got) != 1 || got[0].Sockets[0].DropsGained != 1 || got[0].Sockets[0].Drops != 41 || got[0].Sockets[0].FullNanos != 0 {
		t.Fatalf("a new drop: %+v", got)
	}
	// A bulk sender always has a full queue, and moves on: it is told once.
	if got := pass(3*second, rowOf(7, 4, 2, signSendFull, 0, 0, 1)); len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	for i := int64(4); i < 20; i++ {
		if got := pass(i*second, rowOf(7, 4, 2, signSendFull, 0, 0, uint64(i))); len(got) != 0 {
			t.Fatalf("at %d: %+v", i, got[0])
		}
	}
	// It stands still from 20 on: told at doubling times.
	var at []int64
	for i := int64(20); i < 40; i++ {
		if got := pass(i*second, rowOf(7, 4, 2, signSendFull, 0, 0, 5)); len(got) == 1 {
			at = append(at, got[0].Sockets[0].FullNanos/second)
		}
	}
	if !slices.Equal(at, []int64{1, 2, 4, 8, 16}) {
		t.Errorf("told at %v seconds", at)
	}
	// What was not told is when it ends.
	got = pass(40 * second)
	if len(got) != 2 || got[0].Sockets[0].FullNanos != 19*second || len(got[1].Sockets) != 0 {
		t.Errorf("its end: %+v", got)
	}
	if got := pass(41 * second); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	// One that ends has not recovered.
	for i := int64(42); i < 45; i++ {
		pass(i*second, rowOf(7, 5, 3, signSendFull, 0, 0, 5))
	}
	if got := b.pass(nil, 45*second); len(got) != 0 {
		t.Errorf("an end: %+v", got[0].Detail)
	}
}

func FuzzSocketRows(f *testing.F) {
	f.Add(append(rowOf(7, 3, 1, 0x7f, 40, 1, 2), sumRow(7)...))
	f.Add([]byte{1, 0, 0, 0, 8, 0, 0, 0})
	f.Fuzz(func(t *testing.T, rows []byte) {
		var b socketBook
		b.pass(nil, 1)
		b.pass(rows, 2)
		b.pass(rows, 3e9)
	})
}
