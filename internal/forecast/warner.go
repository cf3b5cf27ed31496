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
	nearUsage      = 0.9
	nearSelect     = 0.75 // of FD_SETSIZE: beyond it memory is overwritten, which no retry mends
	lowUsage       = 0.7  // below this it is withdrawn
	calmSeconds    = 30   // without growth until a warning is withdrawn
	againSeconds   = 600  // after that, until as high a count warns again
)

// levels are the seconds left below which a warning may be repeated.
var levels = [...]float64{horizonSeconds, 600, 60}

// Warner decides when to speak about one process. It allocates nothing.
type Warner struct {
	limits [2]warning
}

type warning struct {
	on      bool
	said    float64 // seconds left, when last said
	span    float64 // for which growth had been seen, when last said
	level   int     // levels already spoken of
	open    int64   // value when last said
	grewAt  int64   // boot time at which the forecast last stood
	endedAt int64   // boot time of the last withdrawal, 0: none
}

// Check looks at t after a sample was added. It gives at most one event; where both limits have one,
// the other comes at the next call.
func (w *Warner) Check(t *Tracker) (Event, bool) {
	for i, limit := range limits {
		if e, ok := w.limits[i].check(t, limit); ok {
			return e, true
		}
	}
	return Event{}, false
}

func (w *warning) check(t *Tracker, limit string) (Event, bool) {
	vs := t.look(limit)
	v, grows := vs.best()
	if grows {
		w.grewAt = t.last
	}
	if !w.on {
		if !vs.due(t.interval) || w.tooSoon(t.last, v.Open) {
			return Event{}, false
		}
		w.on = true
		w.say(&v)
		return Event{Warned, v.Headroom}, true
	}
	if w.over(t, limit, &v, grows) {
		s, limitMax, _ := t.limitOf(limit)
		*w = warning{endedAt: t.last, open: w.open}
		return Event{Withdrawn, evidence.Headroom{Limit: limit, Open: s.now, Max: limitMax}}, true
	}
	if grows && w.level < len(levels) && v.Seconds < levels[w.level] && v.Seconds <= w.said/2 {
		w.say(&v)
		return Event{Worse, v.Headroom}, true
	}
	return Event{}, false
}

func (w *warning) say(v *view) {
	w.said, w.span, w.open = v.Seconds, v.span, v.Open
	w.level = len(levels)
	if i := slices.IndexFunc(levels[:], func(l float64) bool { return v.Seconds >= l }); i >= 0 {
		w.level = i
	}
}

// tooSoon keeps what swings about a threshold from warning again and again.
func (w *warning) tooSoon(now, open int64) bool {
	return w.endedAt != 0 && now-w.endedAt < againSeconds*second && open <= w.open
}

func (vs *views) due(interval int64) bool {
	for i := range vs.n {
		if vs.all[i].due(interval) {
			return true
		}
	}
	return false
}

// due says whether a forecast is a reason to warn. The shorter growth has been going on, the more of
// the limit must be used: most of what rises for seconds is a program that starts. And what is left
// must be in proportion to what was seen to come.
func (v *view) due(interval int64) bool {
	usage := float64(v.Open) / float64(v.Max)
	if v.Seconds > horizonSeconds && usage < highUsage {
		return false
	}
	switch {
	case v.span >= 1800:
		return v.rise*2 >= v.left
	case v.rise < v.left:
		return false
	case v.span >= 300:
		return usage >= 0.5
	case v.span >= 30:
		return usage >= 0.85 && v.rise >= 2*v.left
	}
	near := nearUsage
	if v.Limit == LimitFDSetSize {
		near = nearSelect
	}
	// As long as another sample comes before the end, wait for it.
	return usage >= near && v.rise >= 3*v.left || v.Seconds < 1.5*float64(interval)/1e9
}

// over says whether what was said no longer holds.
func (w *warning) over(t *Tracker, limit string, v *view, grows bool) bool {
	s, limitMax, concerns := t.limitOf(limit)
	if limitMax <= 0 {
		return false
	}
	usage := float64(s.now) / float64(limitMax)
	switch {
	case usage >= 0.97:
		return false // it is there: growth ends at the limit, trouble does not
	case !concerns:
		return t.last-t.selectAt > 2*selectFresh
	case s.now*2 < w.open:
		return true
	case grows:
		return v.Seconds > 2*horizonSeconds && usage < lowUsage
	}
	// What took long to be seen takes long to be gone.
	return float64(t.last-w.grewAt)/1e9 >= max(calmSeconds, w.span/4)
}
