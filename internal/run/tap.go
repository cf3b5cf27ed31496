package run

import (
	"time"

	"golang.org/x/sys/unix"
)

// Tap is the watcher's view of the command's output. It never slows the output down, and it stays
// readable after the end of the command and of the relay. Its methods are for one goroutine at a
// time, except Totals and Stalled.
type Tap struct {
	mem    *shared
	raw    []byte
	merged bool
	inode  [streams]uint64
	rdev   uint64        // of the command's terminal, 0: it has pipes
	wake   chan struct{} // filled once after each arming
	over   chan struct{} // closed when the output has ended, or the relay
	next   [streams]int64
	buf    [streams][]byte
}

// Read gives what the stream has had since the last Read; from is the offset of its first byte in
// the stream. lost counts the bytes in between that were overwritten before they were read: the
// ring holds 192 KiB. What is returned is valid until the next Read of the same stream.
func (t *Tap) Read(s Stream) (b []byte, from, lost int64) {
	want := t.next[s]
	if t.buf[s] == nil {
		t.buf[s] = make([]byte, 0, ringSize)
	}
	t.buf[s], from = t.mem.stream[s].get(t.buf[s][:0], want)
	t.next[s] = from + int64(len(t.buf[s]))
	return t.buf[s], from, from - want
}

// Tail appends the last n bytes of the stream to b, or what there is, and gives the offset of the
// first.
func (t *Tap) Tail(b []byte, s Stream, n int) (tail []byte, from int64) {
	return t.mem.stream[s].get(b, max(0, t.mem.stream[s].total.Load()-int64(n)))
}

// TimeAt is the boot time in nanoseconds at which the byte at that offset of a stream left the
// command, as far as the relay saw; false where the stream has not had it, or the time is too old
// to be known. Times are exact to about a millisecond.
func (t *Tap) TimeAt(s Stream, offset int64) (bootNanos int64, ok bool) {
	return t.mem.stream[s].timeAt(offset)
}

// Wait waits until there is output that Read has not given yet, the output has ended, or d is over,
// and says whether there is any.
func (t *Tap) Wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		t.mem.armed.Store(1)
		if t.pending() {
			return true
		}
		if t.Ended() {
			return false
		}
		select {
		case <-t.wake:
		case <-t.over:
			return t.pending()
		case <-timer.C:
			return t.pending()
		}
	}
}

func (t *Tap) pending() bool {
	for s := range t.next {
		if t.mem.stream[s].total.Load() > t.next[s] {
			return true
		}
	}
	return false
}

// Totals counts the bytes of a stream.
type Totals struct {
	Written   int64 // by the command
	Passed    int64 // taken by what the output goes to
	Dropped   int64 // refused by it, and so lost
	Errno     int32 // of the last refusal
	Ended     bool  // every process closed the stream, or its reader went away
	Gone      bool  // its reader went away
	LastBoot  int64 // boot time in nanoseconds of the last output
	PipeInode uint64
}

// Totals of a stream, up to now.
func (t *Tap) Totals(s Stream) Totals {
	m := &t.mem.stream[s]
	return Totals{
		Written: m.total.Load(), Passed: m.passed.Load(), Dropped: m.dropped.Load(), Errno: m.errno.Load(),
		Ended: m.ended.Load() != 0, Gone: m.gone.Load() != 0, LastBoot: m.lastAt.Load(), PipeInode: t.inode[s],
	}
}

// Stalled is the boot time in nanoseconds since when what the stream goes to takes nothing more,
// 0 while it takes what comes. Any write shows for an instant: look at the time that has passed.
func (t *Tap) Stalled(s Stream) (since int64) { return t.mem.stream[s].blocked.Load() }

// Inode is that of the pipe or pseudo-terminal that the command writes a stream to, 0: none; rdev is the
// terminal's device as in stat(2), 0: a pipe.
func (t *Tap) Inode(s Stream) (inode, rdev uint64) { return t.inode[s], t.rdev }

// Merged says that stdout and stderr are one stream, which is Stdout.
func (t *Tap) Merged() bool { return t.merged }

// Ended says that all output has ended and was passed on.
func (t *Tap) Ended() bool { return t.mem.done.Load() != 0 }

func (t *Tap) close() {
	if t.raw != nil {
		unix.Munmap(t.raw)
		t.raw, t.mem = nil, nil
	}
}
