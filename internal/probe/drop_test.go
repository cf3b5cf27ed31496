//go:build linux

package probe

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() { children["keepsudp"] = childKeepsUDP }

// childKeepsUDP has a small UDP socket. At each line of its input it says how much it has received.
func childKeepsUDP([]string) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(err)
	must(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8192))
	must(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	a, err := unix.Getsockname(fd)
	must(err)
	fmt.Println(a.(*unix.SockaddrInet4).Port)
	in := bufio.NewReader(os.Stdin)
	for n := 0; ; {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		for {
			if _, _, err := unix.Recvfrom(fd, make([]byte, 2048), unix.MSG_DONTWAIT); err != nil {
				break
			}
			n++
		}
		fmt.Println(n)
	}
}

// dropLeaf makes a cgroup of version 2, or skips.
func dropLeaf(t *testing.T) (path string, join func(pid int)) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	must(err)
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != "cgroup2" {
			continue
		}
		path = filepath.Join(f[1], fmt.Sprintf("descry-test-drop-%d", os.Getpid()))
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

// udpDrops is the last column of /proc/net/udp for a local port.
func udpDrops(port int) (drops int, inode uint64) {
	b, err := os.ReadFile("/proc/net/udp")
	must(err)
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) > 12 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			drops, _ = strconv.Atoi(f[12])
			inode, _ = strconv.ParseUint(f[9], 10, 64)
		}
	}
	return drops, inode
}

func TestDropsOfUDP(t *testing.T) {
	path, join := dropLeaf(t)
	w := open(t, Config{})
	w.need("probe/drop")
	k := command(t, "keepsudp")
	k.before = func(pid int) {
		join(pid)
		must(w.Leaf(path, pid))
	}
	w.run(k)
	port, err := strconv.Atoi(k.line())
	must(err)

	// A stranger's socket overflows as well.
	stranger, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(err)
	defer stranger.Close()
	must(stranger.SetReadBuffer(4096))
	out, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(err)
	defer out.Close()
	const sent = 250
	message := make([]byte, 1000)
	for range sent {
		for _, to := range []int{port, stranger.LocalAddr().(*net.UDPAddr).Port} {
			_, err := out.WriteToUDPAddrPort(message, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(to)))
			must(err)
		}
	}
	drops, inode, last := 0, uint64(0), 0
	// All of them have arrived, or no more come: a machine under load may lose some before the socket.
	for received, same := 0, 0; received+drops < sent && same < 1000; same++ {
		before := received + drops
		_, err := k.in.Write([]byte("\n"))
		must(err)
		received, err = strconv.Atoi(k.line())
		must(err)
		last = received
		if drops, inode = udpDrops(port); received+drops != before {
			same = 0
		}
	}
	if drops < sent/2 {
		table, _ := os.ReadFile("/proc/net/udp")
		t.Fatalf("only %d of %d were dropped, %d received; port %d, inode %d\n%s", drops, sent, last, port, inode, table)
	}
	w.flushed()
	must(w.Counts(w.handle))
	if n := w.Counters()[evidence.CountSocketDrops]; n != int64(drops) {
		t.Errorf("counted %d drops, the socket has %d", n, drops)
	}
	all := w.all(kind(evidence.KindDrop))
	if len(all) != 4 {
		t.Fatalf("%d observations, want the first three and the count", len(all))
	}
	for i, o := range all {
		d := o.Detail.(*evidence.Drop)
		want := int64(i + 1)
		if i == 3 {
			want = int64(drops)
		}
		if d.Protocol != evidence.FDUDP || d.Reason != evidence.DropBufferFull || d.Inode != inode || d.Count != want ||
			d.Local != fmt.Sprintf("127.0.0.1:%d", port) || d.Buffer != 16384 || d.Queued < 8192 || d.Queued > d.Buffer+4096 || d.Sending {
			t.Errorf("observation %d, count %d: %+v", i, want, d)
		}
		if int(o.PID) != k.pid {
			t.Errorf("it is of process %d, not %d", o.PID, k.pid)
		}
	}
}

// A socket of ping's kind drops in the way of all others but UDP.
func TestDropsOfPing(t *testing.T) {
	path, join := dropLeaf(t)
	w := open(t, Config{})
	w.need("probe/drop")
	k := command(t, "pings")
	k.before = func(pid int) {
		join(pid)
		must(w.Leaf(path, pid))
	}
	w.run(k)
	inode := k.line()
	w.await("drop of a ping socket", func(o *evidence.Observation) bool {
		d, ok := o.Detail.(*evidence.Drop)
		return ok && d.Protocol == evidence.FDRawSocket && d.Reason == evidence.DropBufferFull && int(o.PID) == k.pid &&
			inode == fmt.Sprintf("socket:[%d]", d.Inode) && d.Buffer == 16384 && d.Queued >= d.Buffer
	})
}

func init() { children["pings"] = childPings }

// childPings sends itself more than its socket can hold, in a network namespace where anybody may.
func childPings([]string) {
	ownNet()
	must(os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0o644))
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP)
	must(err)
	must(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8192))
	echo := make([]byte, 1000)
	echo[0] = 8 // echo request; the kernel fills in the rest
	for range 100 {
		must(unix.Sendto(fd, echo, 0, &unix.SockaddrInet4{Addr: loopback4}))
	}
	inode, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	must(err)
	fmt.Println(inode)
	forever()
}

func TestDecodeDropTooShort(t *testing.T) {
	s := new(Set)
	for n := range dropEvent {
		if decodeDrop(s, new(evidence.Observation), make([]byte, n)) != nil {
			t.Fatalf("%d bytes give a drop", n)
		}
	}
	if d := decodeDrop(s, new(evidence.Observation), make([]byte, dropEvent)); d.(*evidence.Drop).Protocol != evidence.FDSocket {
		t.Errorf("%+v", d)
	}
}
