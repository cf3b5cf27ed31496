//go:build linux

package probe

import (
	"encoding/binary"
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// Mirrors enum event_type in descry.bpf.h.
const (
	evFork uint32 = iota + 1
	evExit
	evExec
	evFDGroups
	evFDPaths
)

const (
	evSignalSent uint32 = iota + 16
	evSignalFatal
	evSignalCaught
	evMappings
)

const evOOM uint32 = 32

// Of syscall.bpf.c.
const (
	evRefused uint32 = iota + 48
	evGrown
	evInotify
	evAddress
	evFailures
	evSelect
	evStdio
	evWrite
	evExecFailed
	evFile
	evLimit
	evConnect
	evWritten
)

const (
	evDNS     uint32 = 64 // of dns.bpf.c, and so on
	evTCP     uint32 = 80 // of tcp.bpf.c
	evTCPLost uint32 = 81
	evDrop    uint32 = 96  // of drop.bpf.c
	evSockets uint32 = 112 // of sockets.bpf.c

	evContainer uint32 = 120 // of container.bpf.c
)

const eventTypes = 128

// headerSize is that of struct event_header.
const headerSize = 8 + 4*4 + 16

// le reads events: both architectures are little endian.
var le = binary.LittleEndian

// proc mirrors struct proc.
type proc struct {
	PID, Root            uint32
	SelectCalls, Refused uint64
	Highest, NextMark    uint32
	Faults, Ender        uint32
	Fatal, Doom          uint32
	DoomSender, DoomTID  uint32
	DoomCode             int32
	Forks                uint32
	Flags, Subject       uint32
	Std                  [3]stdWas
	Written              uint64
}

// stdWas mirrors struct std_was: what one of descriptors 0 to 2 was.
type stdWas struct {
	Inode       uint64
	Dev         uint32
	Kind, State uint16
}

// countKey mirrors struct count_key.
type countKey struct {
	PID  uint32
	Type uint16
	Nr   uint16
	Err  int32
	Arg  int32

	Subject uint32
}

// countValue mirrors struct count_value.
type countValue struct {
	N               uint64
	FirstNS, LastNS uint64
	Sum             uint64
}

// header reads what all events begin with.
func (s *Set) header(raw []byte, o *evidence.Observation) (typ uint32, err error) {
	if len(raw) < headerSize {
		return 0, fmt.Errorf("read event: %d bytes are too few", len(raw))
	}
	o.BootNanos = int64(le.Uint64(raw))
	o.WallNanos = o.BootNanos + s.wall.Load()
	o.Source = evidence.SourceKernel
	typ = le.Uint32(raw[8:])
	o.PID = int32(le.Uint32(raw[12:]))
	o.TID = int32(le.Uint32(raw[16:]))
	o.Subject = le.Uint32(raw[20:])
	o.Comm = s.intern([16]byte(raw[24:40]))
	return typ, nil
}

// intern keeps one string for each command name.
func (s *Set) intern(comm [16]byte) string {
	if v, ok := s.comms[comm]; ok {
		return v
	}
	if len(s.comms) >= 1024 {
		clear(s.comms)
	}
	v := cString(comm[:])
	s.comms[comm] = v
	return v
}

// cString is b up to its first NUL.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
