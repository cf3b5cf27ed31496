//go:build linux

package probe

import "github.com/descry-dev/descry/internal/evidence"

const (
	failureRing = 16
	failureSize = 128
)

// decodeFailures reads the ring of a thread, oldest first.
func decodeFailures(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < headerSize+8+failureRing*failureSize {
		return nil
	}
	n := le.Uint32(raw[40:])
	first := uint32(0)
	if n > failureRing {
		first = n - failureRing
	}
	d := &evidence.ThreadFailures{Calls: make([]evidence.FailedCall, 0, n-first)}
	for ; first < n; first++ {
		d.Calls = append(d.Calls, readFailure(raw[48+first%failureRing*failureSize:]))
	}
	return d
}

func readFailure(b []byte) evidence.FailedCall {
	f := evidence.FailedCall{
		BootNanos: int64(le.Uint64(b)), Arg: le.Uint64(b[8:]),
		Call: callName(uint32(le.Uint16(b[16:]))), Errno: evidence.Errno(le.Uint16(b[18:])),
		FD: int32(le.Uint32(b[20:])), Count: int64(le.Uint32(b[24:])),
	}
	path := b[32:failureSize]
	if n := le.Uint32(b[28:]); n > 0 {
		f.Path, _ = socketAddress(path[:min(int(n), len(path))])
	} else {
		f.Path = cString(path)
	}
	return f
}

func totalFailures(_ *countKey, v *countValue, add func(string, int64)) {
	add(evidence.CountSyscallFailed, int64(v.N))
}
