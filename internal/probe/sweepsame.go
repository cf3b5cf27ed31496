//go:build linux

package probe

import "hash/maphash"

// toldProcess is what was last handed on of a process, as far as it takes to know whether that changed.
type toldProcess struct {
	start  uint64
	digest uint64 // of all but its memory
	rss    uint64 // pages
	nanos  int64  // boot time of the telling
	swept  uint64 // that saw it last
	held   bool
}

const (
	tellAgain = int64(10e9) // nanoseconds after which a process is told of though nothing has changed
	rssSlack  = 64          // pages
)

var sweepSeed = maphash.MakeSeed()

// unchanged says whether a row tells nothing new. It changes the place of the row's memory.
func (w *sweeper) unchanged(pid int32, row []byte, now int64) bool {
	at := row[processNumbers+8*4:]
	t := toldProcess{rss: le.Uint64(at), start: le.Uint64(row[processStart:]), nanos: now, swept: w.swept, held: w.held[pid]}
	le.PutUint64(at, 0)
	t.digest = maphash.Bytes(sweepSeed, row[8:processRow])
	le.PutUint64(at, t.rss)
	was, ok := w.told[pid]
	if ok && was.start != t.start {
		delete(w.stdio, pid) // another process with the same number
	}
	moved := int64(t.rss) - int64(was.rss)
	if moved < 0 {
		moved = -moved
	}
	if ok && was.start == t.start && was.digest == t.digest && !was.held && !t.held && now-was.nanos < tellAgain && moved <= int64(was.rss/32)+rssSlack {
		was.swept = w.swept
		w.told[pid] = was
		return true
	}
	w.told[pid] = t
	return false
}
