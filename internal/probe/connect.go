//go:build linux

package probe

import "github.com/descry-dev/descry/internal/evidence"

// Where what stands in struct address_event, of a connect that failed.
const (
	connectWait = addressDesc + fdDescSize
	connectMark = connectWait + 4
	connectSize = connectMark + 4
)

// connectPeer is the peer of a counter.
type connectPeer struct {
	name     string
	protocol evidence.FDKind
}

const maxConnectPeers = 4096

// decodeConnect reads a connect() that the system call itself was refused.
func decodeConnect(s *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < connectSize {
		return nil
	}
	is := readFDDesc(raw[addressDesc:])
	d := &evidence.ConnectFailed{
		Errno: evidence.Errno(le.Uint32(raw[44:])), Count: int64(le.Uint64(raw[48:])), Protocol: is.kind(is.name, is.path),
		Blocking: le.Uint32(raw[connectWait:]) != 0, AtOnce: true,
	}
	if n := int(le.Uint32(raw[60:])); n > 0 {
		d.Peer, _ = socketAddress(raw[addressAt:][:min(n, addressMax)])
	}
	k := countKey{PID: le.Uint32(raw[12:]), Subject: le.Uint32(raw[20:]), Type: uint16(evConnect), Nr: uint16(le.Uint32(raw[40:])), Err: int32(d.Errno), Arg: int32(le.Uint32(raw[connectMark:]))}
	s.counters.mu.Lock()
	defer s.counters.mu.Unlock()
	if s.connectPeers == nil || len(s.connectPeers) >= maxConnectPeers {
		s.connectPeers = map[countKey]connectPeer{}
	}
	s.connectPeers[k] = connectPeer{d.Peer, d.Protocol}
	return d
}

// countedConnect is called with the lock of the counters held.
func countedConnect(s *Set, k *countKey, v *countValue) evidence.Detail {
	p, ok := s.connectPeers[*k]
	if v.N <= wholeEvents || !ok {
		return nil
	}
	return &evidence.ConnectFailed{Peer: p.name, Protocol: p.protocol, Errno: evidence.Errno(k.Err), Count: int64(v.N), AtOnce: true}
}

func totalConnect(_ *countKey, v *countValue, add func(string, int64)) {
	add(evidence.CountConnectFailed, int64(v.N))
}
