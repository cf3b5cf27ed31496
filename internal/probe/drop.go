//go:build linux

package probe

import (
	"sync"

	"github.com/cilium/ebpf"

	"github.com/descry-dev/descry/internal/evidence"
)

var dropObject = &object{name: "drop", spec: loadDrop, setup: setupDrop}

// setupDrop looks whether the socket stands where the program reads it.
func setupDrop(e *env, _ *ebpf.CollectionSpec) error {
	for tracepoint, at := range map[string]int{"udp_fail_queue_rcv_skb": 1, "sock_rcvqueue_full": 0, "sock_exceed_buf_limit": 0} {
		params, err := e.parameters(tracepoint)
		if err != nil {
			return err
		}
		if len(params) <= at || pointsTo(params[at].Type) != "sock" {
			return &NotSupportedError{Feature: "tracepoint " + tracepoint + " with these parameters"}
		}
	}
	return nil
}

var dropProbe = &Probe{
	Name: "probe/drop",
	Cost: "data that sockets had no room for is seen only in the counters of the whole network namespace",
	Ways: []Made{{
		By: "tp_btf/udp_fail_queue_rcv_skb", Since: "5.17", Needs: []string{"tp_btf"},
		Object: dropObject, Programs: []string{"on_udp_fail", "on_queue_full", "on_exceed"}, Leaf: true,
	}},
	Events: []Event{{Type: evDrop, Decode: decodeDrop, Counted: countedDrop, Total: totalDrop}},
}

// dropReasons are in the order of enum drop_reason in drop.bpf.c.
var dropReasons = [...]string{
	"", evidence.DropBufferFull, evidence.DropUDPMemory, evidence.DropSocketMemory, evidence.DropProtocolMemory,
}

const dropEvent = headerSize + endsSize + 8*3 + 8 + 8*3 + 4*4

// drops keeps what is known of sockets whose drops are counted later.
type drops struct {
	mu   sync.Mutex
	seen map[countKey]evidence.Drop
}

const maxDrops = 256 // sockets whose drops are told of one by one; the totals are whole

func (d *drops) keep(k countKey, v evidence.Drop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		d.seen = map[countKey]evidence.Drop{}
	}
	if _, ok := d.seen[k]; ok || len(d.seen) < maxDrops {
		d.seen[k] = v
	}
}

func (d *drops) known(k countKey) (evidence.Drop, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, ok := d.seen[k]
	return v, ok
}

func decodeDrop(s *Set, o *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < dropEvent {
		return nil
	}
	e := readEnds(raw[headerSize:])
	b := raw[headerSize+endsSize:]
	reason, sending := le.Uint32(b[64:]), le.Uint32(b[68:])
	d := &evidence.Drop{
		Protocol: e.protocol(), Local: e.localName(), Peer: e.peerName(),
		Reason: dropReason(reason), Sending: sending != 0,
		Buffer: int64(int32(le.Uint32(b[56:]))), Queued: int64(int32(le.Uint32(b[60:]))),
		Count: int64(le.Uint64(b[8:])), Inode: le.Uint64(b),
		Allocated: int64(le.Uint64(b[24:])),
	}
	for i := range d.Limits {
		d.Limits[i] = int64(le.Uint64(b[32+8*i:]))
	}
	k := countKey{PID: uint32(o.PID), Subject: o.Subject, Type: uint16(evDrop), Nr: uint16(reason&15 | uint32(e.kind)<<4), Err: int32(uint32(d.Inode))}
	if d.Sending {
		k.Nr |= 1 << 8
	}
	s.drops.keep(k, *d)
	return d
}

func dropReason(n uint32) string {
	if int(n) < len(dropReasons) {
		return dropReasons[n]
	}
	return evidence.DropUnsaid
}

// countedDrop says how many there are by now, with what the first ones told of the socket.
func countedDrop(s *Set, k *countKey, v *countValue) evidence.Detail {
	d, ok := s.drops.known(*k)
	if !ok || int64(v.N) <= d.Count {
		return nil // told whole, or one of too many sockets
	}
	d.Count = int64(v.N)
	s.drops.keep(*k, d)
	return &d
}

func totalDrop(k *countKey, v *countValue, add func(string, int64)) {
	name := evidence.CountSocketDrops
	if k.Nr>>8&1 != 0 {
		name = evidence.CountSocketMemory
	}
	add(name, int64(v.N))
}
