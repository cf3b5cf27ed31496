//go:build linux

package probe

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf/btf"

	"github.com/descry-dev/descry/internal/evidence"
)

var socketsObject = &object{name: "sockets", spec: loadSockets}

var socketsProbe = &Probe{
	Name: "probe/sockets",
	Cost: "full queues of sockets, stalled peers and accept queues stay unseen",
	Ways: []Made{{
		By: "iter/task", Since: "5.17", Needs: []string{"iter"},
		Later: true, Object: socketsObject, Programs: []string{"on_sockets"},
	}},
}

var socketEndProbe = &Probe{
	Name: "probe/socket-end",
	Cost: "queues that filled up in the last moments before an end stay unseen",
	Ways: []Made{{
		By: "tp_btf/sched_process_exit", Since: "5.17", Needs: []string{"tp_btf"},
		Object: socketsObject, Programs: []string{"on_socket_end"},
	}},
	Events: []Event{{Type: evSockets, Decode: decodeSocketEnd}},
}

// pointsTo is the name of the struct that t points to, "" where it is anything else.
func pointsTo(t btf.Type) string {
	p, ok := btf.UnderlyingType(t).(*btf.Pointer)
	if !ok {
		return ""
	}
	if s, ok := btf.UnderlyingType(p.Target).(*btf.Struct); ok {
		return s.Name
	}
	return ""
}

// ends mirrors struct ends.
type ends struct {
	local, remote [16]byte
	lport, rport  uint16
	kind, state   uint16
}

// endsSize is that of struct ends.
const endsSize = 2*16 + 4*2

func readEnds(b []byte) (e ends) {
	copy(e.local[:], b)
	copy(e.remote[:], b[16:])
	e.lport, e.rport = le.Uint16(b[32:]), le.Uint16(b[34:])
	e.kind, e.state = le.Uint16(b[36:]), le.Uint16(b[38:])
	return e
}

func (e *ends) protocol() evidence.FDKind {
	if e.kind == 0 || int(e.kind) >= len(fdKinds) {
		return evidence.FDSocket
	}
	return fdKinds[e.kind]
}

func (e *ends) localName() string {
	if e.lport == 0 && unset(e.local) {
		return ""
	}
	return address(e.local, e.lport)
}

func (e *ends) peerName() string {
	if unset(e.remote) {
		return ""
	}
	return address(e.remote, e.rport)
}

func unset(a [16]byte) bool { return netip.AddrFrom16(a).Unmap().IsUnspecified() }

// Signs of a row, in the order of the C file's enum.
const (
	signRecvFull = 1 << iota
	signSendFull
	signZeroWindow
	signAcceptFull
	signDrops
	signRetransmits
	signPeerFull

	signsOfReader = signRecvFull | signAcceptFull
)

var signNames = [...]string{
	evidence.SignReceiveFull, evidence.SignSendFull, evidence.SignZeroWindow, evidence.SignAcceptFull,
	evidence.SignDrops, evidence.SignRetransmits, evidence.SignPeerFull,
}

// Types, sizes and places of rows.
const (
	rowSocket = iota + 1
	rowSockets

	socketInode  = 16 + endsSize
	socketTokens = socketInode + 3*8
	socketWords  = socketTokens + 2*8
	socketName   = socketWords + 20*4
	socketRow    = socketName + 112

	socketStates = 64
	socketsRow   = 24 + 4*socketStates + 16
)

// socketRowOf is one socket of a sweep.
type socketRowOf struct {
	evidence.Socket
	signs             uint32
	tokenIn, tokenOut uint64
}

func readSocket(b []byte) (r socketRowOf) {
	e := readEnds(b[16:])
	n := func(i int) int64 { return int64(le.Uint32(b[socketWords+4*i:])) }
	r.Socket = evidence.Socket{
		FD: int32(le.Uint32(b[12:])), Protocol: e.protocol(), Local: e.localName(), Peer: e.peerName(),
		Inode: le.Uint64(b[socketInode:]), NetNS: le.Uint64(b[socketInode+8:]), PeerInode: le.Uint64(b[socketInode+16:]),
		RecvQ: n(2), RecvMemory: n(3), RecvBuf: n(4), RecvWindow: n(5),
		SendQ: n(6), SendMemory: n(7), SendBuf: n(8), SendWindow: n(9),
		Drops: n(10), AcceptQ: n(11), Backlog: n(12),
		Unacked: n(13), Retransmits: n(14), TotalRetrans: n(15), PeerQueue: n(16), PeerBacklog: n(17),
	}
	r.signs = le.Uint32(b[socketWords:])
	r.tokenIn, r.tokenOut = le.Uint64(b[socketTokens:]), le.Uint64(b[socketTokens+8:])
	switch r.Protocol {
	case evidence.FDTCP:
		r.State = tcpState(e.state)
	case evidence.FDUnix:
		r.State = unixState(e.state)
		switch n(1) {
		case 1:
			r.Type = "stream"
		case 2:
			r.Type = "dgram"
		case 5:
			r.Type = "seqpacket"
		}
		name := nameOfUnix(b[socketName:][:min(n(19), 108)])
		if n(18) != 0 {
			r.Peer = name
		} else {
			r.Local = name
		}
	}
	return r
}

func nameOfUnix(b []byte) string {
	if len(b) > 0 && b[0] == 0 { // abstract
		return "@" + string(b[1:])
	}
	return cString(b)
}

// Sockets hands on one evidence.Sockets observation for each process of the tree of which a socket
// shows a sign of trouble that was not told before: a new sign, drops that grew by a quarter, or a
// time without progress that has doubled. The first call tells nothing: drops that sockets have by
// then are of before the run. It wraps ErrNotSupported where the kernel has no task iterator.
func (s *Set) Sockets(handle func(*evidence.Observation)) error {
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	if err := s.setWall(); err != nil {
		return err
	}
	rows, err := s.rows("on_sockets")
	if err != nil {
		return err
	}
	for _, o := range s.book.pass(rows, s.bootNow()) {
		o.WallNanos = o.BootNanos + s.wall.Load()
		handle(o)
	}
	return nil
}

// LastSockets hands on what the last call of Sockets saw and did not find worth telling yet.
func (s *Set) LastSockets(handle func(*evidence.Observation)) {
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	for _, o := range s.book.untold {
		o.WallNanos = o.BootNanos + s.wall.Load()
		handle(o)
	}
	clear(s.book.untold)
}

// decodeSocketEnd takes a socket in trouble of a process that ends. Of others than the main process
// only what is new is told: what they inherited lives on.
func decodeSocketEnd(s *Set, o *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < headerSize+socketRow+4 {
		return nil
	}
	r := readSocket(raw[headerSize:])
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	b := &s.book
	b.init()
	if !b.look(&r, o.BootNanos, b.passes) {
		return nil
	}
	w := b.seen[r.Inode]
	least := 2
	if le.Uint32(raw[headerSize+socketRow:]) != 0 {
		least = 1
	}
	if w.news(&r) < least {
		return nil
	}
	w.tell(&r)
	delete(b.untold, o.PID)
	r.AtDeath = true
	return &evidence.Sockets{Sockets: []evidence.Socket{r.Socket}, Telling: 1}
}

// sumOf is what a row says of all sockets of a process.
func sumOf(row []byte) *evidence.Sockets {
	return &evidence.Sockets{Count: int64(le.Uint32(row[12:])), ByState: statesOf(row[24:])}
}

func observed(pid int32, row []byte, now int64, d *evidence.Sockets) *evidence.Observation {
	return &evidence.Observation{
		BootNanos: now, Source: evidence.SourceSample, PID: pid, Subject: le.Uint32(row[20:]), Comm: cString(row[24+4*socketStates:][:16]), Detail: d,
	}
}

// statesOf names the counts of a sum, most first.
func statesOf(b []byte) (out []evidence.StateCount) {
	for i := range socketStates {
		n := int64(le.Uint32(b[4*i:]))
		if n == 0 {
			continue
		}
		var name string
		switch {
		case i < 16:
			name = "tcp " + tcpState(uint16(i))
		case i < 32:
			name = "unix"
			if st := unixState(uint16(i - 16)); st != "" {
				name += " " + st
			}
		default:
			name = string(fdKinds[i&7])
		}
		out = append(out, evidence.StateCount{Name: name, Count: n})
	}
	slices.SortStableFunc(out, func(a, b evidence.StateCount) int { return -cmp.Compare(a.Count, b.Count) })
	return out
}
