//go:build linux

package probe

import (
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/descry-dev/descry/internal/evidence"
)

// Sizes of what stands in the events of syscall.bpf.c.
const (
	fdKindSize = 24
	fdDescSize = 456
)

// fdKind mirrors struct fd_kind: enough to name the kind of a descriptor.
type fdKind struct {
	mode, family, typ, protocol uint16
	magic, rdev                 uint32
	ino                         uint64
}

// fdDesc mirrors struct fd_desc: what a descriptor refers to.
type fdDesc struct {
	fdKind
	state               uint16
	localPort, peerPort uint16
	netns               uint32
	local, peer         [16]byte
	name, path          string
}

func readFDKind(b []byte) fdKind {
	return fdKind{
		mode: le.Uint16(b), family: le.Uint16(b[2:]), typ: le.Uint16(b[4:]), protocol: le.Uint16(b[6:]),
		magic: le.Uint32(b[8:]), rdev: le.Uint32(b[12:]), ino: le.Uint64(b[16:]),
	}
}

func readFDDesc(b []byte) fdDesc {
	d := fdDesc{
		fdKind: readFDKind(b), state: le.Uint16(b[28:]),
		localPort: le.Uint16(b[30:]), peerPort: le.Uint16(b[32:]), netns: le.Uint32(b[36:]),
	}
	n := int(le.Uint16(b[34:]))
	copy(d.local[:], b[40:56])
	copy(d.peer[:], b[56:72])
	if d.family == syscall.AF_INET {
		d.local, d.peer = mapped(d.local), mapped(d.peer)
	}
	name, path := b[72:136], b[136:fdDescSize]
	if d.family == syscall.AF_UNIX {
		d.name = unixName(name[:min(n, len(name))])
	} else {
		d.name = cString(name)
	}
	if path[1] != 0 {
		d.path = readPath(path)
	}
	return d
}

// mapped moves an IPv4 address from the first four bytes to where IPv6 has it.
func mapped(a [16]byte) [16]byte {
	return [16]byte{10: 0xff, 11: 0xff, 12: a[0], 13: a[1], 14: a[2], 15: a[3]}
}

// unixName is a path, or "@name" for an abstract one.
func unixName(b []byte) string {
	if len(b) > 0 && b[0] == 0 {
		if len(b) == 1 {
			return ""
		}
		return "@" + string(b[1:])
	}
	return cString(b)
}

// File systems (include/uapi/linux/magic.h).
const (
	magicPipe      = 0x50495045
	magicAnonInode = 0x09041934
	magicPidfd     = 0x50494446
)

// kind is empty where there is no descriptor.
func (k *fdKind) kind(name, path string) evidence.FDKind {
	if k.magic == 0 && k.mode == 0 {
		return ""
	}
	switch {
	case k.magic == magicAnonInode:
		return evidence.AnonKind(name)
	case k.magic == magicPidfd:
		return evidence.FDPidfd
	}
	switch k.mode & syscall.S_IFMT {
	case syscall.S_IFSOCK:
		return socketKind(k.family, k.typ, k.protocol)
	case syscall.S_IFIFO:
		if k.magic == magicPipe {
			return evidence.FDPipe
		}
		return evidence.FDFIFO
	case syscall.S_IFDIR:
		return evidence.FDDir
	case syscall.S_IFREG:
		if strings.Contains(path, "memfd:") {
			return evidence.FDMemfd
		}
		return evidence.FDFile
	case syscall.S_IFCHR, syscall.S_IFBLK:
		// Terminals: 4 virtual and serial, 5 /dev/tty, 136 to 143 /dev/pts, 204 and 229 others.
		switch major := k.rdev >> 20; {
		case major == 4, major == 5, major >= 136 && major <= 143, major == 204, major == 229:
			return evidence.FDTTY
		}
		return evidence.FDDevice
	case 0:
		return evidence.AnonKind(name)
	}
	return evidence.FDOther
}

func socketKind(family, typ, protocol uint16) evidence.FDKind {
	switch family {
	case syscall.AF_UNIX:
		return evidence.FDUnix
	case syscall.AF_NETLINK:
		return evidence.FDNetlink
	case syscall.AF_PACKET:
		return evidence.FDPacket
	case syscall.AF_INET, syscall.AF_INET6:
		const mptcp = 262
		switch {
		case typ == syscall.SOCK_RAW:
			return evidence.FDRawSocket
		case protocol == syscall.IPPROTO_TCP, protocol == mptcp:
			return evidence.FDTCP
		case protocol == syscall.IPPROTO_UDP:
			return evidence.FDUDP
		}
	}
	return evidence.FDSocket
}

// describe gives what of a descriptor is worth saying.
func (d *fdDesc) describe() (kind evidence.FDKind, state, peer, path string) {
	kind = d.kind(d.name, d.path)
	switch kind {
	case evidence.FDTCP:
		state = tcpState(d.state)
		if d.peerPort != 0 {
			peer = address(d.peer, d.peerPort)
		}
	case evidence.FDUDP:
		if d.peerPort != 0 {
			peer = address(d.peer, d.peerPort)
		}
	case evidence.FDUnix:
		state, peer = unixState(d.state), d.name
	case evidence.FDPipe:
		path = "pipe:[" + strconv.FormatUint(d.ino, 10) + "]"
	case evidence.FDAnon, evidence.FDBPF:
		path = strings.Trim(d.name, "[]")
	default:
		path = d.path
	}
	return kind, state, peer, path
}

// Registers in an event: struct pt_regs, on arm64 struct user_pt_regs.
var contextRegs = map[string]int{"amd64": 21, "arm64": 34}[runtime.GOARCH]

// contextSize is that of struct user_context.
var contextSize = 8*contextRegs + 16

// readContext reads registers and stack, which stand at the end of an event; nil where there are none.
func readContext(b []byte) *evidence.Context {
	if len(b) < contextSize || le.Uint32(b[8*contextRegs+12:]) == 0 {
		return nil
	}
	x := &evidence.Context{Arch: runtime.GOARCH, Regs: make([]uint64, contextRegs)}
	for i := range x.Regs {
		x.Regs[i] = le.Uint64(b[8*i:])
	}
	if x.Arch == "amd64" {
		x.PC, x.SP = x.Regs[16], x.Regs[19]
	} else {
		x.PC, x.SP = x.Regs[32], x.Regs[31]
	}
	at, n := le.Uint64(b[8*contextRegs:]), le.Uint32(b[8*contextRegs+8:])
	stack := b[contextSize:]
	if uint64(n) < uint64(len(stack)) {
		stack = stack[:n]
	}
	if skip := x.SP - at; skip < uint64(len(stack)) { // what stands before is below the stack
		x.Stack = append([]byte(nil), stack[skip:]...)
	}
	return x
}
