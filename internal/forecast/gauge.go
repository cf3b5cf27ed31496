package forecast

import (
	"math"

	"github.com/descry-dev/descry/internal/evidence"
)

// kind says how a limit is judged.
type kind struct {
	name string
	// least is the least rise that counts as growth, and the part of the limit that it must be.
	least, leastPart int64
	near             float64 // usage at which the fastest growth, seen for seconds, is a reason to warn
	quick            bool    // growth that was seen for less than five minutes may be one at all
}

var kinds = [...]kind{ // a Gauge's zero value is of the first
	{LimitNoFile, 8, 0, 0.9, true},
	{LimitFDSetSize, 8, 0, 0.75, true}, // beyond it memory is overwritten, which no retry mends
	{LimitPids, 8, 64, 0.9, true},
	{LimitMemory, 1 << 20, 64, 0.9, false}, // heaps fill and are collected
	{LimitMappings, 64, 64, 0.9, true},
	{LimitFileMax, 64, 64, 0.9, true},
}

// Gauge keeps what is needed of one value and its limit. It takes less than 100 bytes as long as the
// value never changes or is far below its limit.
type Gauge struct {
	kind     uint8 // in kinds
	started  bool
	fresh    bool  // h.best is of the newest sample
	start    int64 // boot time of the first sample, nanoseconds
	last     int64 // of the newest
	interval int64 // between the newest two
	now      int64
	limit    int64 // 0 or less: none
	h        *history
}

// NewGauge makes one for one of the limits of this package.
func NewGauge(limit string) *Gauge {
	for i := range kinds {
		if kinds[i].name == limit {
			return &Gauge{kind: uint8(i)}
		}
	}
	return new(Gauge)
}

// farBelow is the part of a limit below which nothing is kept: no warning is given below a third of a
// limit, and from here on there is history enough.
const farBelow = 16

// forgetAfter is how long a value must have been far below its limit for its history to be let go.
const forgetAfter = 3600 * second

// newer says whether a sample at that time would be taken.
func (g *Gauge) newer(boot int64) bool { return !g.started || boot > g.last }

// Add takes a sample: boot time in nanoseconds, value and limit (0 or less: none, or not known). One
// that is not newer than the one before is left out.
func (g *Gauge) Add(boot, value, limit int64) {
	if !g.newer(boot) {
		return
	}
	value = max(0, value)
	if !g.started {
		g.started, g.start, g.last, g.now = true, boot, boot, value
	}
	still := value == g.now
	before := g.last
	g.interval, g.last = boot-g.last, boot
	g.limit, g.fresh = limit, false
	far := limit <= 0 || value < limit/farBelow
	if g.h == nil {
		if far || still {
			if !still {
				g.start = boot // what was before is not known, and was not near
			}
			g.now = value
			return
		}
		g.h = newHistory(boot)
		if g.now >= limit/farBelow && before > g.start {
			g.h.fill(g.start, before, g.interval, g.now)
		}
	}
	g.now = value
	if !far {
		g.h.near = boot
	} else if boot-g.h.near > forgetAfter {
		g.h, g.start = nil, boot
		return
	}
	g.h.add(boot, value)
}

// Headroom is the forecast, false as long as nothing grows for certain.
func (g *Gauge) Headroom() (evidence.Headroom, bool) {
	v, ok := g.look()
	if !ok {
		return evidence.Headroom{}, false
	}
	return g.headroom(v), true
}

func (g *Gauge) headroom(v *view) evidence.Headroom {
	return evidence.Headroom{Limit: kinds[g.kind].name, Open: g.now, Max: g.limit,
		PerSecond: v.slope, Seconds: v.seconds, SecondsLow: v.low, SecondsHigh: v.high}
}

// look gives what is to be said of the newest sample.
func (g *Gauge) look() (*view, bool) {
	if g.h == nil || g.limit <= 0 {
		return nil, false
	}
	if !g.fresh {
		g.fresh = true
		g.h.judge(g)
	}
	return &g.h.best, g.h.grows
}

// least is the least rise that counts.
func (g *Gauge) least() float64 {
	k := &kinds[g.kind]
	least := float64(k.least)
	if k.leastPart > 0 {
		least = math.Max(least, float64(g.limit)/float64(k.leastPart))
	}
	return least
}
