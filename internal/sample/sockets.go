package sample

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
	"golang.org/x/sys/unix"
)

// socket is what the tables of a network namespace say of one.
type socket struct {
	kind          evidence.FDKind
	state         string
	local, remote netip.AddrPort
	path          string // of a UNIX socket
}

type socketTable struct {
	byInode   map[uint64]socket
	listening map[uint16]bool // TCP ports of this side
}

// tables are the files of /proc/PID/net that are joined.
var tables = []struct {
	name  string
	kind  evidence.FDKind
	parse func(line []byte, kind evidence.FDKind) (socket, uint64, bool)
}{
	{"tcp", evidence.FDTCP, parseInet},
	{"tcp6", evidence.FDTCP, parseInet},
	{"udp", evidence.FDUDP, parseInet},
	{"udp6", evidence.FDUDP, parseInet},
	{"unix", evidence.FDUnix, parseUnix},
}

// sockets finds the sockets among fds in the tables of the process's network namespace. A table that
// cannot be read leaves its sockets out.
func (s *Sampler) sockets(pid int, fds []fdIs) socketTable {
	t := socketTable{byInode: map[uint64]socket{}, listening: map[uint16]bool{}}
	wanted := map[uint64]bool{}
	for i := range fds {
		if fds[i].kind == evidence.FDSocket && fds[i].inode != 0 {
			wanted[fds[i].inode] = true
		}
	}
	if len(wanted) == 0 {
		return t
	}
	for _, table := range tables {
		f, err := os.Open(s.path(pid, "net/"+table.name))
		if err != nil {
			continue
		}
		lines := bufio.NewReaderSize(f, 64<<10)
		for {
			line, err := lines.ReadSlice('\n')
			if sock, inode, ok := table.parse(line, table.kind); ok {
				if sock.state == "LISTEN" && sock.kind == evidence.FDTCP {
					t.listening[sock.local.Port()] = true
				}
				if wanted[inode] {
					t.byInode[inode] = sock
				}
			}
			if err != nil {
				break
			}
		}
		f.Close()
	}
	return t
}

// tcpStates are those of include/net/tcp_states.h.
var tcpStates = [...]string{
	1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECV", 4: "FIN_WAIT1", 5: "FIN_WAIT2", 6: "TIME_WAIT",
	7: "CLOSE", 8: "CLOSE_WAIT", 9: "LAST_ACK", 10: "LISTEN", 11: "CLOSING", 12: "SYN_RECV",
}

// parseInet reads a line of /proc/net/tcp and its like: "0: 0100007F:1F90 00000000:0000 0A … inode".
func parseInet(line []byte, kind evidence.FDKind) (s socket, inode uint64, ok bool) {
	f := bytes.Fields(line)
	if len(f) < 10 {
		return s, 0, false
	}
	local, ok1 := parseAddress(f[1])
	remote, ok2 := parseAddress(f[2])
	state, err1 := strconv.ParseUint(string(f[3]), 16, 8)
	inode, err2 := strconv.ParseUint(string(f[9]), 10, 64)
	if !ok1 || !ok2 || err1 != nil || err2 != nil {
		return s, 0, false
	}
	s = socket{kind: kind, local: local, remote: remote}
	if kind == evidence.FDTCP && state < uint64(len(tcpStates)) {
		s.state = tcpStates[state]
	}
	return s, inode, true
}

// parseAddress reads "0100007F:1F90": words of the address as this machine holds them, and the port.
func parseAddress(b []byte) (netip.AddrPort, bool) {
	host, port, ok := bytes.Cut(b, []byte(":"))
	p, err := strconv.ParseUint(string(port), 16, 16)
	if !ok || err != nil || len(host) != 8 && len(host) != 32 {
		return netip.AddrPort{}, false
	}
	var raw, ip [16]byte
	n, err := hex.Decode(raw[:], host)
	if err != nil {
		return netip.AddrPort{}, false
	}
	for i := 0; i < n; i += 4 {
		binary.NativeEndian.PutUint32(ip[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, _ := netip.AddrFromSlice(ip[:n])
	return netip.AddrPortFrom(addr.Unmap(), uint16(p)), true
}

// address is "10.0.3.7:5432", "[2001:db8::1]:5432", or "*:80" where no address is set.
func address(a netip.AddrPort) string {
	if a.Addr().IsUnspecified() {
		return "*:" + strconv.Itoa(int(a.Port()))
	}
	return a.String()
}

// anyPort is the same for all ports: "10.0.3.7:*".
func anyPort(a netip.AddrPort) string {
	s := address(netip.AddrPortFrom(a.Addr(), 0))
	return s[:len(s)-1] + "*"
}

// parseUnix reads a line of /proc/net/unix: "Num RefCount Protocol Flags Type St Inode Path".
func parseUnix(line []byte, kind evidence.FDKind) (s socket, inode uint64, ok bool) {
	f := bytes.Fields(line)
	if len(f) < 7 {
		return s, 0, false
	}
	flags, err1 := strconv.ParseUint(string(f[3]), 16, 32)
	state, err2 := strconv.ParseUint(string(f[5]), 16, 8)
	inode, err3 := strconv.ParseUint(string(f[6]), 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return s, 0, false
	}
	s.kind = kind
	const acceptCon, connected = 1 << 16, 3 // __SO_ACCEPTCON, SS_CONNECTED
	switch {
	case flags&acceptCon != 0:
		s.state = "LISTEN"
	case state == connected:
		s.state = "ESTABLISHED"
	}
	if len(f) > 7 { // a path may hold spaces
		rest := line
		for range 7 {
			_, rest, _ = bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
		}
		s.path = strings.TrimSuffix(string(rest), "\n")
	}
	return s, inode, true
}

// socketKind asks the socket itself for its protocol, which is no secret to who may follow the link
// (Linux 2.6.39). Sockets that are not bound yet stand in no table.
func (s *Sampler) socketKind(pid int, fd int32) evidence.FDKind {
	var b [32]byte
	n, err := unix.Getxattr(s.path(pid, "fd/"+strconv.Itoa(int(fd))), "system.sockprotoname", b[:])
	if err != nil {
		return evidence.FDSocket
	}
	name, _, _ := strings.Cut(string(b[:n]), "\x00")
	switch {
	case strings.HasPrefix(name, "TCP"), strings.HasPrefix(name, "MPTCP"):
		return evidence.FDTCP
	case strings.HasPrefix(name, "UDP"):
		return evidence.FDUDP
	case strings.HasPrefix(name, "UNIX"):
		return evidence.FDUnix
	case name == "NETLINK":
		return evidence.FDNetlink
	case strings.HasPrefix(name, "RAW"), strings.HasPrefix(name, "PING"):
		return evidence.FDRawSocket
	case name == "PACKET":
		return evidence.FDPacket
	}
	return evidence.FDSocket
}
