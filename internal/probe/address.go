//go:build linux

package probe

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// Where what stands in struct address_event.
const (
	addressAt   = 64
	addressMax  = 112
	addressDesc = addressAt + addressMax
	addressPort = addressDesc + fdDescSize + 8
	addressSize = addressPort + 16
)

func decodeAddress(s *Set, o *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < addressSize {
		return nil
	}
	is := readFDDesc(raw[addressDesc:])
	d := &evidence.AddressRefused{
		Call: callName(le.Uint32(raw[40:])), Errno: evidence.Errno(le.Uint32(raw[44:])),
		Count: int64(le.Uint64(raw[48:])), Protocol: is.kind(is.name, is.path),
	}
	n := int(le.Uint32(raw[60:]))
	var asked netip.AddrPort
	if n > 0 {
		d.Address, asked = socketAddress(raw[addressAt:][:min(n, addressMax)])
	} else if is.localPort != 0 { // listen: what the socket is bound to
		asked = netip.AddrPortFrom(netip.AddrFrom16(is.local).Unmap(), is.localPort)
		d.Address = address(is.local, is.localPort)
	}
	// Only what happens now and then is looked into: it means reading /proc.
	if now := time.Now(); now.Sub(s.lookedAt) > 200*time.Millisecond || d.Count == 1 {
		look := netView{dir: netDir(int(o.PID), is.netns), until: now.Add(addressLook)}
		if look.dir != "" {
			look.explain(d, asked, int(o.PID))
		}
		s.lookedAt = now
	}
	if hi := le.Uint32(raw[addressPort+4:]); hi != 0 { // as it was at the call, and not a moment later
		d.PortRange, d.PortsUsed = fmt.Sprintf("%d %d", le.Uint32(raw[addressPort:]), hi), int64(le.Uint64(raw[addressPort+8:]))
	}
	return d
}

func countedAddress(_ *Set, k *countKey, v *countValue) evidence.Detail {
	if v.N <= wholeEvents {
		return nil
	}
	return &evidence.AddressRefused{Call: callName(uint32(k.Nr)), Errno: evidence.Errno(k.Err), Count: int64(v.N)}
}

func totalAddress(k *countKey, v *countValue, add func(string, int64)) {
	if evidence.Errno(k.Err) == evidence.EADDRINUSE {
		add(evidence.CountAddrInUse, int64(v.N))
	} else {
		add(evidence.CountAddrNotAvail, int64(v.N))
	}
}

// socketAddress is a struct sockaddr as text: "127.0.0.1:80", "[::1]:80", "*:80", a path, "@name".
// The address itself is zero where it is not IPv4 or IPv6. What is cut short is as much as there is.
func socketAddress(b []byte) (string, netip.AddrPort) {
	if len(b) < 2 {
		return "", netip.AddrPort{}
	}
	family := le.Uint16(b)
	switch {
	case family == syscall.AF_INET && len(b) >= 8:
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:]))
		return address(a.Addr().As16(), a.Port()), a
	case family == syscall.AF_INET6 && len(b) >= 24:
		a := netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), binary.BigEndian.Uint16(b[2:]))
		return address(a.Addr().As16(), a.Port()), a
	case family == syscall.AF_UNIX:
		return unixName(b[2:]), netip.AddrPort{}
	case family == syscall.AF_UNSPEC:
		return "", netip.AddrPort{}
	}
	return "address family " + strconv.Itoa(int(family)), netip.AddrPort{}
}

var addressLook = 250 * time.Millisecond // for who has an address; tests of slow machines give it more

// netDir finds a /proc/PID/net that shows the network namespace of a process that may be gone.
func netDir(pid int, ns uint32) string {
	is := func(dir string) bool {
		var st syscall.Stat_t
		return syscall.Stat(dir+"/ns/net", &st) == nil && (ns == 0 || st.Ino == uint64(ns))
	}
	for _, dir := range []string{fmt.Sprintf("/proc/%d", pid), "/proc/self"} {
		if is(dir) {
			return dir + "/net"
		}
	}
	if ns == 0 {
		return ""
	}
	until := time.Now().Add(20 * time.Millisecond)
	for _, p := range processes() {
		if dir := "/proc/" + strconv.Itoa(p); is(dir) {
			return dir + "/net"
		}
		if time.Now().After(until) {
			break
		}
	}
	return ""
}

// processes lists those of /proc, the newest first: who took an address is rather young.
func processes() []int {
	f, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	var pids []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	for i, j := 0, len(pids)-1; i < j; i, j = i+1, j-1 {
		pids[i], pids[j] = pids[j], pids[i]
	}
	return pids
}

// holderOf finds the process that has a socket open, by its inode. Those in first are looked at
// before all others.
func holderOf(inode uint64, first []int, until time.Time) (pid int, command string) {
	want := "socket:[" + strconv.FormatUint(inode, 10) + "]"
	for _, p := range append(first, processes()...) {
		if time.Now().After(until) {
			break
		}
		dir := "/proc/" + strconv.Itoa(p) + "/fd"
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		names, _ := f.Readdirnames(-1)
		f.Close()
		for _, n := range names {
			if link, err := os.Readlink(dir + "/" + n); err == nil && link == want {
				return p, holderCommand(p)
			}
		}
	}
	return 0, ""
}

// holderCommand is a process's command line, at most 256 bytes; its name in brackets where it has none.
func holderCommand(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	if len(b) == 0 {
		if b, err = os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil {
			return ""
		}
		return "[" + strings.TrimSpace(string(b)) + "]"
	}
	return commandLine(b[:min(len(b), 256)])
}
