//go:build linux

package probe

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// netView looks at the sockets of one network namespace.
type netView struct {
	dir   string // "/proc/PID/net"
	until time.Time
}

// explain adds who has the address, or how many ports are in use and for what.
func (v *netView) explain(d *evidence.AddressRefused, asked netip.AddrPort, pid int) {
	switch d.Errno {
	case evidence.EADDRINUSE:
		inode := uint64(0)
		if d.Protocol == evidence.FDUnix {
			inode = v.unixHolder(d.Address)
		} else if asked.Port() != 0 {
			inode = v.inetHolder(d.Protocol, asked)
		}
		if inode != 0 {
			p, command := holderOf(inode, []int{pid}, v.until)
			d.Holder, d.HolderCommand = int32(p), command
		}
	case evidence.EADDRNOTAVAIL:
		if d.Protocol == evidence.FDTCP || d.Protocol == evidence.FDUDP {
			v.ports(d)
		}
	}
}

// inetSocket is a line of /proc/net/tcp, udp and their like.
type inetSocket struct {
	local, peer netip.AddrPort
	state       uint16
	inode       uint64
}

// each visits the sockets of a protocol, as far as there is time, and says whether those were all.
func (v *netView) each(protocol evidence.FDKind, visit func(*inetSocket)) bool {
	all := true
	for _, suffix := range []string{"", "6"} {
		f, err := os.Open(v.dir + "/" + string(protocol) + suffix)
		if err != nil {
			continue
		}
		_ = readInetSockets(f, func(s *inetSocket) bool {
			visit(s)
			all = time.Now().Before(v.until)
			return all
		})
		f.Close()
	}
	return all
}

// readInetSockets reads /proc/net/tcp, tcp6, udp or udp6. Lines that it does not understand are
// left out.
func readInetSockets(r io.Reader, visit func(*inetSocket) bool) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadString('\n')
		if f := strings.Fields(line); len(f) >= 10 && strings.HasSuffix(f[0], ":") {
			var s inetSocket
			var ok1, ok2 bool
			s.local, ok1 = hexAddress(f[1])
			s.peer, ok2 = hexAddress(f[2])
			state, err1 := strconv.ParseUint(f[3], 16, 8)
			inode, err2 := strconv.ParseUint(f[9], 10, 64)
			if ok1 && ok2 && err1 == nil && err2 == nil {
				s.state, s.inode = uint16(state), inode
				if !visit(&s) {
					return nil
				}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// hexAddress reads "0100007F:1F90": words of four bytes in the machine's order.
func hexAddress(s string) (netip.AddrPort, bool) {
	ip, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(ip)
	p, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], le.Uint32(b[i:]))
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), true
}

// inetHolder gives the inode of a socket that stands in the way of the address: best one that
// listens, or that is bound without a peer.
func (v *netView) inetHolder(protocol evidence.FDKind, asked netip.AddrPort) (inode uint64) {
	const listen = 10
	best := 0
	v.each(protocol, func(s *inetSocket) {
		if s.inode == 0 || s.local.Port() != asked.Port() {
			return
		}
		a, b := s.local.Addr(), asked.Addr().Unmap()
		if a != b && !a.IsUnspecified() && !b.IsUnspecified() {
			return
		}
		rank := 1
		switch {
		case s.state == listen:
			rank = 3
		case s.peer.Port() == 0:
			rank = 2
		}
		if rank > best {
			best, inode = rank, s.inode
		}
	})
	return inode
}

// ports counts the local ports in use, and what for.
func (v *netView) ports(d *evidence.AddressRefused) {
	d.PortRange = v.portRange()
	used, states, peers := map[uint16]bool{}, map[string]int64{}, map[string]int64{}
	all := v.each(d.Protocol, func(s *inetSocket) {
		used[s.local.Port()] = true
		states[tcpState(s.state)]++
		if s.peer.Port() != 0 {
			peers[s.peer.String()]++
		}
	})
	if !all {
		return // a part of them misleads
	}
	d.PortsUsed = int64(len(used))
	if d.Protocol == evidence.FDTCP {
		d.ByState = most(states, 16)
	}
	d.ByPeer = most(peers, 8)
}

// portRange reads net.ipv4.ip_local_port_range, which shows its reader's network namespace.
func (v *netView) portRange() (words string) {
	read := func() {
		if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
			words = strings.Join(strings.Fields(string(b)), " ")
		}
	}
	theirs, err := os.Open(strings.TrimSuffix(v.dir, "/net") + "/ns/net")
	if err != nil {
		return ""
	}
	defer theirs.Close()
	// The thread goes there and comes back. It could not end instead: the process's first thread never does, and
	// would leave all of /proc/self/net in a namespace that is another's.
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return ""
	}
	defer own.Close()
	there, err1 := theirs.Stat()
	here, err2 := own.Stat()
	switch {
	case err1 == nil && err2 == nil && os.SameFile(here, there):
		read()
	case unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNET) == nil:
		read()
		if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) != nil {
			return words // and no other goroutine gets this thread
		}
	}
	runtime.UnlockOSThread()
	return words
}

func most(counts map[string]int64, n int) []evidence.StateCount {
	out := make([]evidence.StateCount, 0, len(counts))
	for name, c := range counts {
		out = append(out, evidence.StateCount{Name: name, Count: c})
	}
	slices.SortFunc(out, func(a, b evidence.StateCount) int {
		return cmp.Or(-cmp.Compare(a.Count, b.Count), strings.Compare(a.Name, b.Name))
	})
	return out[:min(n, len(out))]
}

// unixHolder gives the inode of the UNIX socket with that name.
func (v *netView) unixHolder(name string) uint64 {
	f, err := os.Open(v.dir + "/unix")
	if err != nil {
		return 0
	}
	defer f.Close()
	return readUnixInode(f, name)
}

// readUnixInode reads /proc/net/unix: Num RefCount Protocol Flags Type St Inode Path.
func readUnixInode(r io.Reader, name string) (inode uint64) {
	if name == "" {
		return 0
	}
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadString('\n')
		if f := strings.SplitN(strings.TrimRight(line, "\n"), " ", 2); len(f) == 2 && strings.HasSuffix(f[0], ":") && strings.HasSuffix(f[1], " "+name) {
			if cols := strings.Fields(strings.TrimSuffix(f[1], " "+name)); len(cols) == 6 {
				if n, err := strconv.ParseUint(cols[5], 10, 64); err == nil {
					return n
				}
			}
		}
		if err != nil {
			return 0
		}
	}
}
