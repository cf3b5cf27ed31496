package forecast

import (
	"slices"

	"github.com/descry-dev/descry/internal/evidence"
)

// EventKind says what a Warner has to say.
type EventKind int

// The kinds of events.
const (
	Warned    EventKind = iota + 1 // the limit is near at the present rate
	Worse                          // said before, and much nearer now
	Withdrawn                      // said before, and no longer so
)

// Event is something to tell the user.
type Event struct {
	Kind              EventKind
	evidence.Headroom // of Withdrawn: Limit, Open and Max alone
}

const (
	horizonSeconds = 3600 // exhaustion that is further away is no news...
	highUsage      = 0.8  // ...unless this share of the limit is used
	lowUsage       = 0.7  // below this it is withdrawn
	calmSeconds    = 30   // without growth until a warning is withdrawn
	againSeconds   = 600  // after that, until as high a count warns again
)

// levels are the seconds left below which a warning may be repeated.
var levels = [...]float64{horizonSeconds, 600, 60}

// Warner decides when to speak about one process, or about one gauge. It takes 16 bytes until it has
// something to say.
type Warner struct {
	open, highest *warning
}

type warning struct {
	on      bool
	said    float64 // seconds left, when last said
	span    float64 // for which growth had been seen, when last said
	level   int     // levels already spoken of
	value   int64   // when last said
	grewAt  int64   // boot time at which the forecast last stood
	endedAt int64   // boot time of the last withdrawal, 0: none
}

// Check looks at t after a sample was added. It gives at most one event; where both limits have one,
// the other comes at the next call.
func (w *Warner) Check(t *Tracker) (Event, bool) {
	if e, ok := check(&w.open, &t.open); ok {
		return e, true
	}
	if t.highest == nil {
		return Event{}, false
	}
	return check(&w.highest, t.highest)
}

// CheckGauge looks at g after a sample was added.
func (w *Warner) CheckGauge(g *Gauge) (Event, bool) { return check(&w.open, g) }

// Warning says whether a warning stands.
func (w *Warner) Warning() bool {
	return w.open != nil && w.open.on || w.highest != nil && w.highest.on
}

func check(at **warning, g *Gauge) (Event, bool) {
	v, grows := g.look()
	w := *at
	if w == nil {
		if !grows || !g.h.due {
			return Event{}, false
		}
		w = new(warning)
		*at = w
	}
	if grows {
		w.grewAt = g.last
	}
	if !w.on {
		if !grows || !g.h.due || w.tooSoon(g.last, g.now) {
			return Event{}, false
		}
		w.on = true
		w.say(v, g.now)
		return Event{Warned, g.headroom(v)}, true
	}
	if w.over(g, v, grows) {
		*w = warning{endedAt: g.last, value: w.value}
		return Event{Withdrawn, evidence.Headroom{Limit: kinds[g.kind].name, Open: g.now, Max: g.max()}}, true
	}
	if grows && w.level < len(levels) && v.seconds < levels[w.level] && v.seconds <= w.said/2 {
		w.say(v, g.now)
		return Event{Worse, g.headroom(v)}, true
	}
	return Event{}, false
}

func (w *warning) say(v *view, now int64) {
	w.said, w.span, w.value = v.seconds, v.span, now
	w.level = len(levels)
	if i := slices.IndexFunc(levels[:], func(l float64) bool { return v.seconds >= l }); i >= 0 {
		w.level = i
	}
}

// tooSoon keeps what swings about a threshold from warning again and again.
func (w *warning) tooSoon(now, value int64) bool {
	return w.endedAt != 0 && now-w.endedAt < againSeconds*second && value <= w.value
}

// due says whether a forecast is a reason to warn. The shorter growth has been going on, the more of
// the limit must be used: most of what rises for seconds is a program that starts. And what is left
// must be in proportion to what was seen to come.
func (v *view) due(g *Gauge) bool {
	k := &kinds[g.kind]
	usage := float64(g.now) / float64(g.limit)
	if v.seconds > horizonSeconds && usage < highUsage {
		return false
	}
	switch {
	case v.rise*2 < v.left:
		return false
	case v.span >= 6*3600:
		return true
	case v.span >= 2*3600:
		return usage >= 0.5
	case v.span >= 1800:
		return usage >= 0.7
	case v.rise < v.left:
		return false
	case v.span >= 600:
		return usage >= 0.75
	case v.span >= 300:
		return usage >= 0.85
	case !k.quick || v.rise < 2*v.left:
		return false
	case v.span >= 30:
		return usage >= 0.85
	}
	// As long as another sample comes before the end, wait for it.
	return usage >= k.near && v.rise >= 3*v.left || v.seconds < 1.5*float64(g.interval)/1e9
}

// over says whether what was said no longer holds.
func (w *warning) over(g *Gauge, v *view, grows bool) bool {
	switch {
	case g.limit <= 0:
		// An fd_set concerns no process that has not called select for so long; else the limit is not known.
		return kinds[g.kind].name == LimitFDSetSize && g.last-w.grewAt > 2*selectFresh
	case g.usage() >= 0.97:
		return false // it is there: growth ends at the limit, trouble does not
	case g.now*2 < w.value:
		return true
	case grows:
		return v.seconds > 2*horizonSeconds && g.usage() < lowUsage
	}
	// What took long to be seen takes long to be gone.
	return float64(g.last-w.grewAt)/1e9 >= max(calmSeconds, w.span/4)
}

func (g *Gauge) usage() float64 { return float64(g.now) / float64(g.limit) }

// max is the limit for a message.
func (g *Gauge) max() int64 {
	if g.limit <= 0 && kinds[g.kind].name == LimitFDSetSize {
		return FDSetSize
	}
	return max(0, g.limit)
}
