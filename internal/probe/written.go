//go:build linux

package probe

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// Mirrors the flags of struct written_event.
const (
	writtenOdd    = 1
	writtenOutput = 2
)

const (
	writtenDesc    = headerSize + 56 + lookSize
	writtenContext = writtenDesc + fdDescSize
	lookSize       = 64
)

func decodeWritten(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < writtenContext+contextSize {
		return nil
	}
	flags := le.Uint16(raw[94:])
	d := &evidence.Written{
		Call: callName(le.Uint32(raw[40:])), FD: int32(le.Uint32(raw[44:])),
		Inode: le.Uint64(raw[48:]), Offset: int64(le.Uint64(raw[56:])), Bytes: int64(le.Uint64(raw[64:])), Count: int64(le.Uint64(raw[72:])),
		From: le.Uint64(raw[80:]), At: int64(le.Uint32(raw[88:])), Output: flags&writtenOutput != 0, Odd: flags&writtenOdd != 0,
		Context: readContext(raw[writtenContext:]),
	}
	n := min(int(le.Uint16(raw[92:])), lookSize)
	d.Data = append([]byte(nil), raw[96:96+n]...)
	is := readFDDesc(raw[writtenDesc:])
	d.FDKind, _, d.Peer, d.Path = is.describe()
	return d
}

func totalWritten(k *countKey, v *countValue, add func(string, int64)) {
	switch {
	case k.Err&writtenOutput == 0:
		add(evidence.CountStrayWrites, int64(v.N))
	case k.Err&writtenOdd != 0:
		add(evidence.CountOddWrites, int64(v.N))
	}
}

// Output is what the subject writes its output to: a pipe, or a pseudo-terminal.
type Output struct {
	Inode uint64
	Rdev  uint64 // of a terminal, as in stat(2); 0: a pipe
}

// outputIs mirrors struct output_is.
type outputIs struct {
	Sum        uint64
	Rdev, Last uint32
}

// closerIs mirrors struct closer_is.
type closerIs struct{ Until, Stacks uint64 }

// WatchOutput makes writes to it enter the ledger, see Writes. What was written to it before counts as
// offset 0.
func (s *Set) WatchOutput(o Output) error {
	m := s.env.maps["outputs"]
	if m == nil {
		return &NotSupportedError{Feature: "the ledger of writes to the output", Err: errors.New("system calls are not watched")}
	}
	v := outputIs{Last: ledgerSize} // no slot
	if o.Rdev != 0 {
		v.Rdev = unix.Major(o.Rdev)<<20 | unix.Minor(o.Rdev)
	}
	if err := m.Put(o.Inode, &v); err != nil {
		return fmt.Errorf("watch writes to inode %d: %w", o.Inode, err)
	}
	return nil
}

// UnwatchOutput ends what WatchOutput began. Its runs stay in the ledger until others take their place.
func (s *Set) UnwatchOutput(o Output) {
	for _, name := range []string{"outputs", "closer"} {
		if m := s.env.maps[name]; m != nil {
			_ = m.Delete(o.Inode) // it may not be there
		}
	}
}

// Closer takes stacks of the next writes to an output, at most n of them and until boot time until.
func (s *Set) Closer(o Output, n int, until int64) error {
	m := s.env.maps["closer"]
	if m == nil {
		return nil
	}
	if err := m.Put(o.Inode, &closerIs{uint64(until), uint64(n)}); err != nil {
		return fmt.Errorf("look closer at writes to inode %d: %w", o.Inode, err)
	}
	var last uint64
	if next := s.env.maps["ledger_next"]; next.Lookup(uint32(1), &last) != nil || last < uint64(until) {
		if err := next.Put(uint32(1), uint64(until)); err != nil {
			return fmt.Errorf("look closer at writes to inode %d: %w", o.Inode, err)
		}
	}
	return nil
}

const ledgerSize = 4096 + 1024

// run mirrors struct run.
type run struct {
	Ino             uint64
	Offset, Length  uint64
	First, Last     uint64
	LastOffset      uint64
	PID, TID        uint32
	Writes          uint32
	FD              int32
	Nr              uint16
	Odd             uint8
	FirstN, LastN   uint8
	_               [3]uint8
	Comm            [16]byte
	FirstIs, LastIs [16]byte
}

// Written is a run of writes by one thread, each behind the one before: by one call, on one descriptor,
// as the kernel saw their ends. Where threads write at the same time the pipe may have another order.
type Written struct {
	Offset, Length   int64 // in the output, by the sum of what writes gave
	PID, TID         int32
	Comm             string
	Call             string
	FD               int32
	Writes           int64
	BootNanos, Until int64  // of the first and the last one
	Odd              bool   // they hold bytes that no text has
	First, Last      []byte // what the first and the last write begin with, at most 16 bytes; none where they were moved from a file or pipe
	LastOffset       int64  // of the last write
}

// ledgerBuffer is reused: a program that writes garbage again and again has the ledger read again and again.
type ledgerBuffer struct {
	mu     sync.Mutex
	keys   []uint32
	values []run
}

// Writes appends to dst the newest runs of writes to an output, by offset; some thousands over all
// outputs. What io_uring writes is not among them, nor what processes outside of the tree do.
func (s *Set) Writes(dst []Written, inode uint64) ([]Written, error) {
	m := s.env.maps["ledger"]
	if m == nil {
		return nil, &NotSupportedError{Feature: "the ledger of writes to the output", Err: errors.New("system calls are not watched")}
	}
	b := &s.ledger
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keys == nil {
		b.keys, b.values = make([]uint32, ledgerSize), make([]run, ledgerSize)
	}
	var at ebpf.MapBatchCursor
	n, err := m.BatchLookup(&at, b.keys, b.values, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, fmt.Errorf("read the ledger of writes: %w", err)
	}
	wanted := 0
	for i := range b.values[:n] {
		if b.values[i].Ino == inode && b.values[i].Length != 0 {
			wanted++
		}
	}
	dst = slices.Grow(dst, wanted)
	from := len(dst)
	heads := make([]byte, 0, 32*wanted)
	head := func(b *[16]byte, n uint8) []byte {
		at := len(heads)
		heads = append(heads, b[:min(n, 16)]...)
		return heads[at:len(heads):len(heads)]
	}
	for i := range b.values[:n] {
		r := &b.values[i]
		if r.Ino != inode || r.Length == 0 {
			continue
		}
		dst = append(dst, Written{
			Offset: int64(r.Offset), Length: int64(r.Length), PID: int32(r.PID), TID: int32(r.TID), Comm: cString(r.Comm[:]),
			Call: callName(uint32(r.Nr)), FD: r.FD, Writes: int64(r.Writes), BootNanos: int64(r.First), Until: int64(r.Last), Odd: r.Odd != 0,
			First: head(&r.FirstIs, r.FirstN), Last: head(&r.LastIs, r.LastN), LastOffset: int64(r.LastOffset),
		})
	}
	slices.SortFunc(dst[from:], func(a, b Written) int { return cmp.Compare(a.Offset, b.Offset) })
	return dst, nil
}
