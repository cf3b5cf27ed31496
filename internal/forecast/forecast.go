// Package forecast says from samples when something will reach its limit: a process its descriptors, a
// cgroup its tasks or memory, the machine its open files. It is pure: it reads no clock and no file.
//
// Such counts are hard to extrapolate. They come in bursts, they fall in teeth where a garbage
// collector closes what was forgotten, they rise while a program warms up and then stay. So a
// forecast is made of the lower envelope (the least count of each stretch of time), at seven scales
// from single samples to stretches of an hour, by Mann and Kendall's test and Sen's slope, neither of
// which a few odd values can sway; and it reaches no further than what was seen supports. A wrong
// warning is worse than a late one.
package forecast

import (
	"github.com/descry-dev/descry/internal/evidence"
)

// The limits of a Headroom.
const (
	LimitNoFile    = evidence.LimitNoFile    // RLIMIT_NOFILE, soft
	LimitFDSetSize = evidence.LimitFDSetSize // what an fd_set of select() holds
	LimitPids      = evidence.LimitPids      // tasks of a cgroup
	LimitMemory    = evidence.LimitMemory    // memory of a cgroup without page cache, bytes
	LimitMappings  = evidence.LimitMappings  // mappings of a process
	LimitFileMax   = evidence.LimitFileMax   // open files of the machine
)

// FDSetSize is the first descriptor number that an fd_set does not hold.
const FDSetSize = 1024

const (
	second = int64(1e9)
	// selectFresh is how long a process counts as calling select after it last did.
	selectFresh = 300 * second
)

// Tracker keeps what is needed of one process's descriptors. It takes about 100 bytes as long as these
// never change or are far below the limit, else up to 3 KiB for each limit that concerns it, of which
// it allocates the more the longer it has been watching, and nothing in the long run. The zero value is
// ready.
type Tracker struct {
	open        Gauge
	highest     *Gauge // nil until it is known that the process calls select
	selectCalls int64
	selectAt    int64 // when selectCalls last grew
}

// Add takes a sample: boot time in nanoseconds, open descriptors, the highest descriptor number (-1:
// not known), the soft limit (0 or less: not known) and the calls of select so far (0: not counted).
// A sample that is not newer than the one before is left out.
//
// Nothing is concluded from a highest number below FDSetSize.
func (t *Tracker) Add(boot, open, highest, softLimit, selectCalls int64) {
	if !t.open.newer(boot) {
		return
	}
	if t.open.started && selectCalls > t.selectCalls {
		t.selectAt = boot
		if t.highest == nil {
			t.highest = NewGauge(LimitFDSetSize)
		}
	}
	t.selectCalls = selectCalls
	t.open.Add(boot, open, softLimit)
	if t.highest == nil {
		return
	}
	// The kernel gives the lowest free number: what an fd_set meets next is told by the count, also
	// where a single descriptor was put far up on purpose or holes are left below.
	number := open - 1
	if highest >= FDSetSize {
		number = highest
	}
	limit := int64(FDSetSize)
	if boot-t.selectAt > selectFresh || softLimit <= FDSetSize {
		limit = 0 // it does not concern the process now
	}
	t.highest.Add(boot, number, limit)
}

// Headroom is the forecast for the limit that is reached first. It is false as long as nothing
// grows for certain. Its Group is left to the caller.
func (t *Tracker) Headroom() (evidence.Headroom, bool) {
	best, ok := t.open.Headroom()
	if t.highest != nil {
		if h, also := t.highest.Headroom(); also && (!ok || h.Seconds < best.Seconds) {
			return h, true
		}
	}
	return best, ok
}

// All are the forecasts for both limits, where there are any.
func (t *Tracker) All() (all []evidence.Headroom) {
	for _, g := range [...]*Gauge{&t.open, t.highest} {
		if g == nil {
			continue
		}
		if h, ok := g.Headroom(); ok {
			all = append(all, h)
		}
	}
	return all
}
