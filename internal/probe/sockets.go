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
		Object: socketsObject, Programs: []string{"on_sockets"},
	}},
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

// socketBook is what sweeps of sockets remember.
type socketBook struct {
	seen   map[uint64]*seenSocket          // by inode
	untold map[int32]*evidence.Observation // by process: the last sample, where it says more than what was handed on
	stuck  map[int32]bool                  // processes of which a socket that stood still was told
	passes int64
}

// seenSocket is one that showed a sign once.
type seenSocket struct {
	base  int64 // drops before the run
	pass  int64 // that saw it last
	since int64 // boot time from which on it stood still
	in    uint64
	out   uint64
	signs uint32

	toldSigns uint32
	toldDrops int64
	toldNanos int64
}

const (
	maxSeenSockets = 8192
	forgetSockets  = 120 // passes
	slowNanos      = 1e9 // standing still for less is everyday
)

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

// pass takes the rows of one sweep and gives the observations that are worth it.
func (b *socketBook) pass(rows []byte, now int64) (out []*evidence.Observation) {
	if b.seen == nil {
		b.seen, b.untold, b.stuck = map[uint64]*seenSocket{}, map[int32]*evidence.Observation{}, map[int32]bool{}
	}
	b.passes++
	telling := map[int32][]socketRowOf{}
	taken := map[uint64]bool{} // a socket that several processes hold is the first one's
	var sums [][]byte
	eachRow(rows, func(typ uint32, row []byte) {
		switch {
		case typ == rowSocket && len(row) >= socketRow:
			r := readSocket(row)
			if taken[r.Inode] {
				return
			}
			taken[r.Inode] = true
			if b.look(&r, now) {
				pid := int32(le.Uint32(row[8:]))
				telling[pid] = append(telling[pid], r)
			}
		case typ == rowSockets && len(row) >= socketsRow:
			sums = append(sums, row)
		}
	})
	b.forget()
	if b.passes == 1 {
		return nil
	}
	for _, row := range sums {
		pid := int32(le.Uint32(row[8:]))
		if all := telling[pid]; len(all) > 0 {
			out = b.tell(out, pid, all, row, now)
		}
	}
	for pid, o := range b.untold {
		if len(telling[pid]) == 0 { // it has recovered or ended
			out = append(out, o)
			delete(b.untold, pid)
		}
	}
	for pid := range b.stuck {
		if len(telling[pid]) == 0 {
			out = append(out, &evidence.Observation{BootNanos: now, Source: evidence.SourceSample, PID: pid, Detail: new(evidence.Sockets)})
			delete(b.stuck, pid)
		}
	}
	return out
}

// look compares a socket with how it was, and says whether it shows a sign now.
func (b *socketBook) look(r *socketRowOf, now int64) bool {
	w := b.seen[r.Inode]
	if w == nil {
		if len(b.seen) >= maxSeenSockets {
			return false
		}
		w = new(seenSocket)
		if b.passes == 1 {
			w.base = r.Drops
		}
		w.toldDrops = w.base
		b.seen[r.Inode] = w
	}
	if r.Drops < w.base { // another socket with the same number
		w.base, w.toldDrops = 0, 0
	}
	r.DropsGained = r.Drops - w.base
	if r.signs&signDrops != 0 && r.Drops <= w.toldDrops {
		r.signs &^= signDrops
	}
	standing := r.signs &^ signDrops
	same := w.pass == b.passes-1 && w.signs&standing != 0
	if standing&signsOfReader != 0 && w.in != r.tokenIn || standing&^signsOfReader != 0 && w.out != r.tokenOut {
		same = false // something was taken
	}
	if !same {
		w.since = now
	}
	w.pass, w.in, w.out, w.signs = b.passes, r.tokenIn, r.tokenOut, standing
	if standing != 0 {
		r.FullNanos = now - w.since
	}
	for i, name := range signNames {
		if r.signs>>i&1 != 0 {
			r.Signs = append(r.Signs, name)
		}
	}
	return r.signs != 0
}

// forget drops sockets that have shown nothing for long.
func (b *socketBook) forget() {
	for inode, w := range b.seen {
		if w.pass < b.passes-forgetSockets && w.base == 0 {
			delete(b.seen, inode)
		}
	}
}

// news says how much more a socket tells than what was told of it: 2: at once, 1: at the end.
func (w *seenSocket) news(r *socketRowOf) int {
	switch {
	case r.signs&^w.toldSigns != 0,
		r.Drops > w.toldDrops+(w.toldDrops-w.base)/4,
		r.FullNanos >= slowNanos && r.FullNanos >= 2*w.toldNanos:
		return 2
	case r.Drops > w.toldDrops, r.FullNanos >= slowNanos && r.FullNanos > w.toldNanos:
		return 1
	}
	return 0
}

// tell appends the observation of a process, or keeps it for later.
func (b *socketBook) tell(out []*evidence.Observation, pid int32, all []socketRowOf, row []byte, now int64) []*evidence.Observation {
	news := 0
	for i := range all {
		news = max(news, b.seen[all[i].Inode].news(&all[i]))
	}
	if news == 0 {
		return out
	}
	d := &evidence.Sockets{Telling: int64(len(all)), Count: int64(le.Uint32(row[12:])), ByState: statesOf(row[24:])}
	slices.SortStableFunc(all, func(a, b socketRowOf) int {
		return cmp.Or(-cmp.Compare(a.FullNanos, b.FullNanos), -cmp.Compare(a.DropsGained, b.DropsGained))
	})
	for i := range all[:min(len(all), evidence.MaxSockets)] {
		d.Sockets = append(d.Sockets, all[i].Socket)
	}
	o := &evidence.Observation{
		BootNanos: now, Source: evidence.SourceSample, PID: pid, Comm: cString(row[24+4*socketStates:][:16]), Detail: d,
	}
	if news == 1 {
		b.untold[pid] = o
		return out
	}
	delete(b.untold, pid)
	for i := range all {
		w, r := b.seen[all[i].Inode], &all[i]
		w.toldSigns |= r.signs
		w.toldDrops = max(w.toldDrops, r.Drops)
		w.toldNanos = r.FullNanos
		if r.FullNanos >= slowNanos {
			b.stuck[pid] = true
		}
	}
	return append(out, o)
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
