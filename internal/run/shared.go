package run

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A stream is one way out of the command.
type Stream int

// The streams. Where both are one open file, or a terminal, all is in Stdout.
const (
	Stdout Stream = iota
	Stderr
	streams
)

func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

const (
	chunkMax   = 64 << 10  // most that the relay reads at once
	ringSize   = 256 << 10 // bytes kept of a stream; a power of two
	indexSize  = 1024      // times kept of a stream
	indexNanos = 1e6       // at most one time in a millisecond
)

// shared is the memory that relay and watcher have in common. Only the relay writes, except armed.
// Both may die at any time without harm to the other.
type shared struct {
	signals [maxSignal + 1]atomic.Uint32 // that reached the relay, by number
	typed   [maxSignal + 1]atomic.Uint32 // interrupts typed at a terminal of the command's own
	armed   atomic.Uint32                // the watcher wants a byte on the control socket at the next output
	done    atomic.Uint32                // all streams have ended
	stream  [streams]sharedStream
}

type sharedStream struct {
	total    atomic.Int64 // bytes that the command wrote
	passed   atomic.Int64 // of these, taken by what the output goes to
	dropped  atomic.Int64 // of these, refused by it
	errno    atomic.Int32 // the last refusal
	blocked  atomic.Int64 // boot time since when a write to the outside waits, 0: none does
	lastAt   atomic.Int64 // boot time of the last chunk
	ended    atomic.Uint32
	gone     atomic.Uint32 // the reader of the output went away
	indexLen atomic.Int64  // entries ever made
	index    [indexSize]struct{ offset, at atomic.Int64 }
	ring     [ringSize]byte
}

const sharedSize = int64(unsafe.Sizeof(shared{}))

func mapShared(fd int) (*shared, []byte, error) {
	mem, err := unix.Mmap(fd, 0, int(sharedSize), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("map the output's ring: %w", err)
	}
	return (*shared)(unsafe.Pointer(&mem[0])), mem, nil
}

// put adds what the command wrote. It is the relay's, one goroutine for each stream.
func (s *sharedStream) put(b []byte, now int64) {
	off := s.total.Load()
	n := s.indexLen.Load()
	if n == 0 || now-s.index[(n-1)%indexSize].at.Load() >= indexNanos {
		e := &s.index[n%indexSize]
		e.offset.Store(off)
		e.at.Store(now)
		s.indexLen.Store(n + 1)
	}
	for rest, at := b, off; len(rest) > 0; {
		m := copy(s.ring[at%ringSize:], rest)
		rest, at = rest[m:], at+int64(m)
	}
	s.lastAt.Store(now)
	s.total.Store(off + int64(len(b)))
}

// get appends to b what the stream has from offset from on, and gives the offset of its first byte:
// older bytes may be overwritten.
func (s *sharedStream) get(b []byte, from int64) ([]byte, int64) {
	// The relay may be writing the chunk that follows total, over the oldest of the ring.
	const usable = ringSize - chunkMax
	end := s.total.Load()
	from = max(from, end-usable)
	start := len(b)
	for at := from; at < end; {
		i := at % ringSize
		n := min(end-at, ringSize-i)
		b = append(b, s.ring[i:i+n]...)
		at += n
	}
	if first := s.total.Load() - usable; first > from {
		n := min(first, end) - from
		b = append(b[:start], b[start+int(n):]...)
		from += n
	}
	return b, from
}

// timeAt is the boot time at which the byte at offset off was read, up to about a millisecond late
// in a fast stream.
func (s *sharedStream) timeAt(off int64) (int64, bool) {
	if off < 0 || off >= s.total.Load() {
		return 0, false
	}
	n := s.indexLen.Load()
	for i := n - 1; i >= 0 && i > n-indexSize; i-- {
		e := &s.index[i%indexSize]
		if o, at := e.offset.Load(), e.at.Load(); o <= off {
			// Not overwritten meanwhile.
			return at, s.indexLen.Load() < i+indexSize
		}
	}
	return 0, false
}
