//go:build linux

package probe

import (
	"errors"
	"fmt"
	"maps"
	"syscall"

	"github.com/cilium/ebpf"

	"github.com/descry-dev/descry/internal/evidence"
)

var tcpObject = &object{name: "tcp", spec: loadTcp}

// connectProbe is the TCP connections that the tree makes. They are made in its processes, so that it
// needs no cgroup.
var connectProbe = &Probe{
	Name: "probe/connect",
	Cost: "connections that were refused or not answered are seen by failed system calls alone: without a time, and of programs that do not wait in connect() not at all",
	Ways: []Made{{
		By: "tp_btf/inet_sock_set_state", Since: "5.17", Needs: []string{"tp_btf"},
		Object: tcpObject, Programs: []string{"on_tcp_state"},
	}},
	Events: []Event{{Type: evTCP, Decode: decodeTCP, Total: totalTCP}},
	Tally:  tallyTCP,
}

// tcpProbe is what becomes of TCP connections, also of those that others make to the subject.
var tcpProbe = &Probe{
	Name: "probe/tcp",
	Cost: "accepted connections that are reset or lost are not seen",
	Ways: []Made{{
		By: "tp_btf/inet_sock_set_state", Since: "5.17", Needs: []string{"tp_btf"}, Leaf: true,
		Object: tcpObject, Programs: []string{"on_tcp_state"},
	}},
	Events: []Event{{Type: evTCPLost, Decode: decodeTCPLost, Total: totalTCP}},
}

// Mirrors enum tcp_count.
const (
	nConnected uint16 = iota + 1
	nConnectFailed
	nAbandoned
	nAccepted
	nLost
	nAborted
	nClosed
	nResent
	nStalled
)

func totalTCP(k *countKey, v *countValue, add func(string, int64)) {
	n := int64(v.N)
	switch k.Nr {
	case nConnected:
		add(evidence.CountConnected, n)
	case nConnectFailed:
		add(evidence.CountConnectFailed, n)
	case nAbandoned:
		add(evidence.CountConnectGivenUp, n)
	case nAccepted:
		add(evidence.CountAccepted, n)
	case nLost:
		switch evidence.Errno(k.Err) {
		case evidence.ECONNRESET, evidence.EPIPE:
			add(evidence.CountReset, n)
		default:
			add(evidence.CountTimedOut, n)
		}
	case nAborted:
		add(evidence.CountAborted, n)
	case nClosed:
		add(evidence.CountSegments, int64(v.Sum))
	case nStalled:
		add(evidence.CountStalled, n)
	case nResent:
		add(evidence.CountResent, int64(v.Sum))
	}
}

// tcpEvent mirrors struct tcp_event, behind its header.
type tcpEvent struct {
	family, oldState    uint16
	localPort, peerPort uint16
	err                 uint32
	wait                uint32
	local, peer         [16]byte
	count, nanos        uint64
	sent, received      uint64
	resent, accepted    uint32
}

const (
	tcpEventSize = headerSize + 2*8 + 2*16 + 5*8
	tcpCloseWait = 8
)

func readTCP(raw []byte) (e tcpEvent, ok bool) {
	if len(raw) < tcpEventSize {
		return e, false
	}
	b := raw[headerSize:]
	e.family, e.oldState = le.Uint16(b), le.Uint16(b[2:])
	e.localPort, e.peerPort = le.Uint16(b[4:]), le.Uint16(b[6:])
	e.err, e.wait = le.Uint32(b[8:]), le.Uint32(b[12:])
	e.local, e.peer = inetAddress(e.family, b[16:]), inetAddress(e.family, b[32:])
	e.count, e.nanos = le.Uint64(b[48:]), le.Uint64(b[56:])
	e.sent, e.received = le.Uint64(b[64:]), le.Uint64(b[72:])
	e.resent, e.accepted = le.Uint32(b[80:]), le.Uint32(b[84:])
	return e, true
}

func decodeTCP(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	e, ok := readTCP(raw)
	if !ok {
		return nil
	}
	return &evidence.ConnectFailed{
		Peer: address(e.peer, e.peerPort), Protocol: evidence.FDTCP, Errno: evidence.Errno(e.err), Nanos: int64(e.nanos),
		Blocking: e.wait != 0, Count: int64(e.count), Resent: int64(e.resent),
	}
}

func decodeTCPLost(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	e, ok := readTCP(raw)
	if !ok {
		return nil
	}
	return &evidence.ConnectionLost{
		Peer: address(e.peer, e.peerPort), Local: address(e.local, e.localPort), Errno: evidence.Errno(e.err),
		Closing: e.oldState == tcpCloseWait, Accepted: e.accepted != 0, Nanos: int64(e.nanos),
		Sent: int64(e.sent), Received: int64(e.received), Resent: int64(e.resent), Count: int64(e.count),
	}
}

// tcpPeer mirrors struct tcp_peer.
type tcpPeer struct {
	PID          uint32
	Port, Family uint16
	Type, Err    uint16
	Subject      uint32
	Addr         [16]byte
}

func (p *tcpPeer) String() string { return address(inetAddress(p.Family, p.Addr[:]), p.Port) }

// tcpTally mirrors struct tcp_tally.
type tcpTally struct {
	N, FirstNS, LastNS, Nanos uint64
}

// tcpSeen is what tallyTCP has handed on.
type tcpSeen struct {
	peers map[tcpPeer]uint64
	ports map[tcpPort]bool // that some connect failed to, or a connection was lost to
}

type tcpPort struct {
	process
	port uint16
}

// tallyTCP hands on what has been counted by peer since the last time.
func tallyTCP(s *Set, gone func(process) bool, handle func(*evidence.Observation)) error {
	t := &s.tcp
	if t.peers == nil {
		t.peers, t.ports = map[tcpPeer]uint64{}, map[tcpPort]bool{}
	}
	tell := func(k *tcpPeer, v *tcpTally, d evidence.Detail) {
		if t.peers[*k] == v.N {
			return
		}
		t.peers[*k] = v.N
		handle(&evidence.Observation{
			BootNanos: int64(v.LastNS), WallNanos: int64(v.LastNS) + s.wall.Load(),
			Source: evidence.SourceKernel, PID: int32(k.PID), Subject: k.Subject, Detail: d,
		})
	}
	defer t.forget(gone)
	err := s.peers("tcp_peers", gone, func(k *tcpPeer, v *tcpTally) {
		t.ports[tcpPort{process{k.Subject, k.PID}, k.Port}] = true
		switch {
		case v.N <= wholeEvents:
		case uint32(k.Type) == evTCP:
			tell(k, v, &evidence.ConnectFailed{Peer: k.String(), Protocol: evidence.FDTCP, Errno: evidence.Errno(k.Err), Nanos: int64(v.Nanos), Count: int64(v.N)})
		default:
			tell(k, v, &evidence.ConnectionLost{Peer: k.String(), Errno: evidence.Errno(k.Err), Nanos: int64(v.Nanos), Count: int64(v.N)})
		}
	})
	return errors.Join(err, s.peers("tcp_made", gone, func(k *tcpPeer, v *tcpTally) {
		if t.ports[tcpPort{process{k.Subject, k.PID}, k.Port}] {
			tell(k, v, &evidence.ConnectMade{Peer: k.String(), Nanos: int64(v.Nanos), Count: int64(v.N)})
		}
	}))
}

// peers visits one of the maps by peer, and forgets the entries of processes that are gone.
func (s *Set) peers(name string, gone func(process) bool, visit func(*tcpPeer, *tcpTally)) error {
	m := s.env.maps[name]
	if m == nil {
		return nil
	}
	var k tcpPeer
	var v tcpTally
	var old []tcpPeer
	it := m.Iterate()
	for it.Next(&k, &v) {
		visit(&k, &v)
		if gone(process{k.Subject, k.PID}) {
			old = append(old, k)
		}
	}
	// One that the kernel put elsewhere meanwhile is met the next time.
	if err := it.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) {
		return fmt.Errorf("read %s: %w", name, err)
	}
	for i := range old {
		_ = m.Delete(&old[i])
	}
	return nil
}

func (t *tcpSeen) forget(gone func(process) bool) {
	maps.DeleteFunc(t.peers, func(k tcpPeer, _ uint64) bool { return gone(process{k.Subject, k.PID}) })
	maps.DeleteFunc(t.ports, func(k tcpPort, _ bool) bool { return gone(k.process) })
}

// inetAddress reads an IPv6 address, or an IPv4 one in the first four bytes.
func inetAddress(family uint16, b []byte) (a [16]byte) {
	copy(a[:], b)
	if family == syscall.AF_INET {
		return mapped(a)
	}
	return a
}

// active says whether a probe watches.
func (s *Set) active(p *Probe) bool {
	for i := range s.status {
		if s.status[i].Name == p.Name {
			return s.status[i].Missing == ""
		}
	}
	return false
}
