// Package forecast says from samples when a process will run out of descriptors. It is pure: it
// reads no clock and no file.
//
// Descriptor counts are hard to extrapolate. They come in bursts, they fall in teeth where a garbage
// collector closes what was forgotten, they rise while a program warms up and then stay. So a
// forecast is made of the lower envelope (the least count of each stretch of time), at five scales
// from single samples to half-hour stretches, by Mann and Kendall's test and Sen's slope, neither of
// which a few odd values can sway; and it reaches no further than what was seen supports. A wrong
// warning is worse than a late one.
package forecast

import (
	"math"
	"slices"

	"github.com/descry-dev/descry/internal/evidence"
)

// The limits of a Headroom.
const (
	LimitNoFile    = "nofile"     // RLIMIT_NOFILE, soft
	LimitFDSetSize = "fd_setsize" // what an fd_set of select() holds
)

// FDSetSize is the first descriptor number that an fd_set does not hold.
const FDSetSize = 1024

const (
	scales = 5
	points = 24 // of each scale

	second = int64(1e9)

	// minZ is the least Mann-Kendall score. 12 points in a row that rise give 4.46, a step in the
	// middle of 24 gives 3.55.
	minZ = 4.3
	// minRise is the least number of descriptors that a trend must have brought.
	minRise = 8
	// reach is how many times the time that a trend was seen for it is extrapolated by.
	reach = 4
	// selectFresh is how long a process counts as calling select after it last did.
	selectFresh = 300 * second
)

// widths are the stretches of the scales; the first scale has single samples.
var widths = [scales]int64{0, 4 * second, 32 * second, 256 * second, 2048 * second}

// point is a stretch of time: least and greatest value in it.
type point struct {
	t        int64 // start, or for a single sample its time
	min, max int64
}

// scale keeps the newest stretches of one length.
type scale struct {
	pts  [points]point
	n    int // in pts
	head int // oldest
	cur  point
	open bool // cur has a value
}

func (s *scale) at(i int) *point { return &s.pts[(s.head+i)%points] }

func (s *scale) push(p point) {
	if s.n < points {
		s.pts[(s.head+s.n)%points] = p
		s.n++
		return
	}
	s.pts[s.head] = p
	s.head = (s.head + 1) % points
}

func (s *scale) add(t, v, width int64) {
	if width == 0 {
		s.push(point{t, v, v})
		return
	}
	if s.open && t-s.cur.t >= width {
		s.push(s.cur)
		s.open = false
	}
	if !s.open {
		s.cur, s.open = point{t, v, v}, true
		return
	}
	s.cur.min, s.cur.max = min(s.cur.min, v), max(s.cur.max, v)
}

// series is one value over time.
type series struct {
	scales [scales]scale
	now    int64
}

func (s *series) add(t, v int64) {
	s.now = v
	for i := range s.scales {
		s.scales[i].add(t, v, widths[i])
	}
}

// trend is a growth that was found.
type trend struct {
	slope, low, high float64 // per second, with the bounds of 95%
	span             float64 // seconds for which it was seen
	rise             float64 // in that time
	peak             int64   // greatest value of the newest stretch
}

// Tracker keeps what is needed of one process, about 6 KiB, and allocates nothing.
type Tracker struct {
	open, highest series
	started       bool
	last          int64 // boot time of the newest sample, nanoseconds
	interval      int64 // between the newest two
	soft          int64
	selectCalls   int64
	selectAt      int64 // when selectCalls last grew
	selects       bool  // it ever did
	views         views // of look, kept so that it allocates nothing
}

// Add takes a sample: boot time in nanoseconds, open descriptors, the highest descriptor number (-1:
// not known), the soft limit (0 or less: not known) and the calls of select so far (0: not counted).
// A sample that is not newer than the one before is left out.
//
// Nothing is concluded from a highest number below FDSetSize.
func (t *Tracker) Add(boot, open, highest, softLimit, selectCalls int64) {
	if t.started && boot <= t.last {
		return
	}
	if t.started {
		t.interval = boot - t.last
		if selectCalls > t.selectCalls {
			t.selects, t.selectAt = true, boot
		}
	}
	t.started, t.last, t.soft, t.selectCalls = true, boot, softLimit, selectCalls
	t.open.add(boot, open)
	// The kernel gives the lowest free number: what an fd_set meets next is told by the count, also
	// where a single descriptor was put far up on purpose or holes are left below.
	number := open - 1
	if highest >= FDSetSize {
		number = highest
	}
	t.highest.add(boot, number)
}

// Headroom is the forecast for the limit that is reached first. It is false as long as nothing
// grows for certain. Its Group is left to the caller.
func (t *Tracker) Headroom() (evidence.Headroom, bool) {
	var best view
	for _, limit := range limits {
		if v, ok := t.look(limit).best(); ok && (best.Limit == "" || v.Seconds < best.Seconds) {
			best = v
		}
	}
	return best.Headroom, best.Limit != ""
}

var limits = [...]string{LimitNoFile, LimitFDSetSize}

// view is a forecast of one scale.
type view struct {
	evidence.Headroom
	left float64 // descriptors
	span float64 // seconds for which the growth was seen
	rise float64 // descriptors in that time
}

// views are those of all scales that show growth, the coarsest first.
type views struct {
	all [scales]view
	n   int
}

// best is the finest view that saw at least as much come as is left, since it knows the present rate
// best, else the one that saw most of it.
func (vs *views) best() (view, bool) {
	at := -1
	for i := range vs.n {
		v := &vs.all[i]
		if at < 0 || v.rise >= v.left || v.rise/v.left > vs.all[at].rise/vs.all[at].left {
			at = i
		}
	}
	if at < 0 {
		return view{}, false
	}
	return vs.all[at], true
}

// limitOf gives the series, its maximum, and whether the limit concerns the process.
func (t *Tracker) limitOf(limit string) (*series, int64, bool) {
	if limit == LimitFDSetSize {
		calls := t.selects && t.last-t.selectAt <= selectFresh
		return &t.highest, FDSetSize, calls && t.soft > FDSetSize
	}
	return &t.open, t.soft, t.soft > 0
}

func (t *Tracker) look(limit string) *views {
	vs := &t.views
	vs.n = 0
	s, limitMax, concerns := t.limitOf(limit)
	if !concerns {
		return vs
	}
	for i := scales - 1; i >= 0; i-- {
		tr, ok := s.scales[i].trend()
		if !ok {
			continue
		}
		if vs.n == 0 && s.beenHigher(i) {
			continue // it was there before and came back: a tooth
		}
		left := float64(max(0, limitMax-max(tr.peak, s.now)))
		seconds := left / tr.slope
		if seconds > reach*tr.span || s.scales[i].levelsOff(float64(limitMax)) {
			continue
		}
		vs.all[vs.n] = view{left: left, span: tr.span, rise: tr.rise, Headroom: evidence.Headroom{
			Limit: limit, Open: s.now, Max: limitMax, PerSecond: tr.slope,
			Seconds: seconds, SecondsLow: left / tr.high, SecondsHigh: left / tr.low}}
		vs.n++
	}
	return vs
}

// beenHigher says whether an older stretch at a coarser scale than i reached the present value.
func (s *series) beenHigher(i int) bool {
	start := s.scales[i].at(0).t
	for j := i + 1; j < scales; j++ {
		c := &s.scales[j]
		for k := range c.n {
			if p := c.at(k); p.t+widths[j] <= start && p.max >= s.now {
				return true
			}
		}
	}
	return false
}

// trend tests the lower envelope for growth.
func (s *scale) trend() (trend, bool) {
	n := s.n
	if n < points/2 {
		return trend{}, false
	}
	first, last := s.at(0), s.at(n-1)
	if last.min-first.min < minRise {
		return trend{}, false
	}
	score := 0
	for i := range n {
		a := s.at(i).min
		for j := i + 1; j < n; j++ {
			switch b := s.at(j).min; {
			case b > a:
				score++
			case b < a:
				score--
			}
		}
	}
	fn := float64(n)
	sigma := math.Sqrt(fn * (fn - 1) * (2*fn + 5) / 18)
	if float64(score-1)/sigma < minZ {
		return trend{}, false
	}
	var buf [points * (points - 1) / 2]float64
	slopes := buf[:0]
	for i := range n {
		a := s.at(i)
		for j := i + 1; j < n; j++ {
			b := s.at(j)
			slopes = append(slopes, float64(b.min-a.min)/(float64(b.t-a.t)/1e9))
		}
	}
	slices.Sort(slopes)
	m := float64(len(slopes))
	t := trend{
		slope: slopes[len(slopes)/2],
		low:   slopes[max(0, int((m-1.96*sigma)/2))],
		high:  slopes[min(len(slopes)-1, int((m+1.96*sigma)/2)+1)],
		span:  float64(last.t-first.t) / 1e9,
		peak:  last.max,
	}
	t.rise = t.slope * t.span
	if t.low <= 0 || t.rise < minRise || s.stalled(t.slope) || s.stepped(t.slope, t.rise) {
		return trend{}, false
	}
	return t, true
}

// stalled says whether the newest quarter brought far less than the slope says.
func (s *scale) stalled(slope float64) bool {
	a, b := s.at(s.n-1-s.n/4), s.at(s.n-1)
	expected := slope * float64(b.t-a.t) / 1e9
	return expected >= 4 && float64(b.min-a.min) < expected/4
}

// stepped says whether a single step made most of the rise: noise on both sides of it looks like growth.
func (s *scale) stepped(slope, rise float64) bool {
	for i := 1; i < s.n; i++ {
		a, b := s.at(i-1), s.at(i)
		if float64(b.min-a.min)-slope*float64(b.t-a.t)/1e9 > rise/2 {
			return true
		}
	}
	return false
}

// levelsOff says whether growth slows down so that it ends below limit: a program that warms up. The
// later half's rate to the earlier half's, taken as the ratio of a geometric series, gives where.
func (s *scale) levelsOff(limit float64) bool {
	n := s.n
	mid := func(i int) (t, v float64) { // the median of three, for noise
		a := [3]int64{s.at(i - 1).min, s.at(i).min, s.at(i + 1).min}
		slices.Sort(a[:])
		return float64(s.at(i).t) / 1e9, float64(a[1])
	}
	t0, v0 := mid(1)
	t1, v1 := mid(n / 2)
	t2, v2 := mid(n - 2)
	early, late := (v1-v0)/(t1-t0), (v2-v1)/(t2-t1)
	if early <= 0 || late >= 0.85*early {
		return false
	}
	q := max(0, late/early)
	rest := late * (t2 - t1) * q / (1 - q)
	return v2+1.2*rest < limit
}
