package forecast

import (
	"math"
	"slices"
)

const (
	// minZ is the least Mann-Kendall score. 12 points in a row that rise give 4.46, a step in the
	// middle of 24 gives 3.55.
	minZ = 4.3
	// reach is how many times the time that a trend was seen for it is extrapolated by.
	reach = 4
)

// trend is a growth that was found.
type trend struct {
	slope, low, high float32 // per second, with the bounds of 95%
	spread           float32 // by how much the rise of one stretch differs from the others', in the long run
	span             float32 // seconds for which it was seen
	stretch          float32 // seconds from one point to the next
	from             uint32  // tick
	peak             float32 // greatest value of the newest stretch
	early, late      float32 // rates of its halves, per second
	half             float32 // seconds from the middle of one to that of the other
	end              float32 // value at its end, without noise
}

// view is a forecast of one scale.
type view struct {
	slope, seconds, low, high float64
	left                      float64 // until the limit
	span                      float64 // seconds for which the growth was seen
	rise                      float64 // in that time
}

// judge makes of all scales one forecast: that of the finest view that saw at least as much come as is
// left, since it knows the present rate best, else of the one that saw most of it. Its bounds hold those
// of all.
func (h *history) judge(g *Gauge) {
	h.grows, h.due = false, false
	var all [scales]view
	n := 0
	var recent *trend // of the finest scale that shows growth, whatever else speaks against it
	for i := scales - 1; i >= 0; i-- {
		v, ok := h.view(i, g)
		if s := &h.scales[i]; s.grows {
			recent = &s.trend
		}
		if !ok {
			continue
		}
		if n == 0 && h.beenHigher(i, float32(g.now)) {
			continue // it was there before and came back: a tooth
		}
		all[n] = v
		n++
	}
	low, high, shares := math.Inf(1), 0.0, 0.0
	for i := range n {
		v := &all[i]
		if v.slows(recent, g) {
			continue
		}
		low, high = min(low, v.low), max(high, v.high)
		if share := v.rise / v.left; !h.grows || v.rise >= v.left || share > shares {
			h.best, shares = *v, share
		}
		h.grows = true
		h.due = h.due || v.due(g)
	}
	if h.grows {
		h.best.low, h.best.high = min(low, h.best.seconds), max(high, h.best.seconds)
		if g.usage() >= accelerateFrom {
			h.accelerate(g)
		}
	}
}

// slows says whether growth is slower of late by so much that it ends below the limit.
func (v *view) slows(recent *trend, g *Gauge) bool {
	slope, span := float64(recent.slope), float64(recent.span)
	if slope > 0.8*v.slope || v.span <= span {
		return false
	}
	brake := (v.slope - slope) / ((v.span - span) / 2) // from one middle to the other
	rate := max(0, slope-brake*span/2)
	return float64(g.now)+1.2*rate*rate/(2*brake) < float64(g.limit)
}

// view is what one scale says.
func (h *history) view(i int, g *Gauge) (view, bool) {
	s := &h.scales[i]
	least := g.least()
	if !s.known {
		s.trend, s.grows = s.find(least)
		s.known = true
	}
	if !s.grows {
		return view{}, false
	}
	tr := &s.trend
	limit := float64(g.limit)
	slope, span := float64(tr.slope), float64(tr.span)
	v := view{slope: slope, span: span, rise: slope * span, left: max(0, limit-max(float64(tr.peak), float64(g.now)))}
	v.seconds = v.left / slope
	if v.rise < least || v.seconds > reach*span || tr.levelsOff(limit) {
		return view{}, false
	}
	v.bound(tr, g.interval)
	return v, true
}

// bound gives the bounds of the time: how well the slope is known, by how much what is to come may
// differ from it, as what came did, and what if it goes on to grow faster or slower.
func (v *view) bound(tr *trend, interval int64) {
	v.low, v.high = v.left/float64(tr.high), v.left/float64(tr.low)
	stretches, seen := v.seconds/float64(tr.stretch), v.span/float64(tr.stretch)
	if stretches > 0 {
		per := float64(tr.slope) * float64(tr.stretch)
		rel := 2 * float64(tr.spread) / per * math.Sqrt(1/stretches+1/seen)
		v.low = min(v.low, v.seconds/(1+rel))
		v.high = max(v.high, v.seconds/max(0.1, 1-rel))
	}
	more := float64(interval) / 1e9 // until the next sample nothing is known
	bent := tr.bent(v.left, v.seconds)
	v.low, v.high = min(v.low, 0.9*v.seconds, bent), max(v.high, 1.1*v.seconds, bent)
	v.low, v.high = max(v.low/2, v.low-more), v.high+more
}

// beenHigher says whether an older stretch, at a coarser scale than i or before the trend at i, reached
// a value.
func (h *history) beenHigher(i int, now float32) bool {
	start := h.scales[i].trend.from
	for j := i; j < scales; j++ {
		c := &h.scales[j]
		for k := range int(c.n) {
			if p := c.at(k); p.t+widths[j] <= start && p.max >= now && (j > i || p.t < start) {
				return true
			}
		}
	}
	return false
}

// sinceDrop is the first point after the newest fall by half: a restart, or the end of a tooth.
func (s *scale) sinceDrop(least float64) int {
	for i := int(s.n) - 1; i > 0; i-- {
		if a, b := s.at(i-1).min, s.at(i).min; b < a/2 && float64(a-b) >= least {
			return i
		}
	}
	return 0
}

// find tests the lower envelope for growth.
func (s *scale) find(least float64) (t trend, ok bool) {
	if s.n < points/2 || float64(s.at(int(s.n)-1).min) < least {
		return t, false
	}
	k := s.sinceDrop(least)
	n := int(s.n) - k
	if n < points/2 {
		return t, false
	}
	first, last := s.at(k), s.at(k+n-1)
	if float64(last.min-first.min) < least {
		return t, false
	}
	score := 0
	for i := range n {
		a := s.at(k + i).min
		for j := i + 1; j < n; j++ {
			switch b := s.at(k + j).min; {
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
		return t, false
	}
	var buf [points * (points - 1) / 2]float32
	slopes := buf[:0]
	for i := range n {
		a := s.at(k + i)
		for j := i + 1; j < n; j++ {
			b := s.at(k + j)
			slopes = append(slopes, (b.min-a.min)/seconds(a, b))
		}
	}
	slices.Sort(slopes)
	m := float64(len(slopes))
	t = trend{
		slope: slopes[len(slopes)/2],
		low:   slopes[max(0, int((m-1.96*sigma)/2))],
		high:  slopes[min(len(slopes)-1, int((m+1.96*sigma)/2)+1)],
		span:  seconds(first, last),
		from:  first.t,
		peak:  last.max,
	}
	t.stretch = t.span / float32(n-1)
	rise := t.slope * t.span
	if t.low <= 0 || float64(rise) < least || s.stalled(k, n, t.slope) || s.stepped(k, t.slope, rise) {
		return t, false
	}
	t.spread = s.spread(k, n, t.slope)
	s.bend(k, n, &t)
	return t, true
}

// seconds is the time from one point to another, never 0.
func seconds(a, b *point) float32 { return max(float32(b.t-a.t), 1) / 100 }

// spread is the standard deviation of the rise of one stretch: that of several together, so that what is
// only noise about the trend does not count, by the root of their number.
func (s *scale) spread(k, n int, slope float32) float32 {
	lag := max(1, n/6)
	sum := 0.0
	for i := k; i+lag < k+n; i++ {
		a, b := s.at(i), s.at(i+lag)
		d := float64(b.min - a.min - slope*seconds(a, b))
		sum += d * d
	}
	return float32(math.Sqrt(sum / float64((n-lag)*lag)))
}

// stalled says whether the newest quarter brought far less than the slope says.
func (s *scale) stalled(k, n int, slope float32) bool {
	a, b := s.at(k+n-1-n/4), s.at(k+n-1)
	expected := slope * seconds(a, b)
	return expected >= 4 && b.min-a.min < expected/4
}

// stepped says whether a single step made most of the rise: noise on both sides of it looks like growth.
func (s *scale) stepped(k int, slope, rise float32) bool {
	for i := k + 1; i < int(s.n); i++ {
		a, b := s.at(i-1), s.at(i)
		if b.min-a.min-slope*seconds(a, b) > rise/2 {
			return true
		}
	}
	return false
}

// bend takes the rates of the two halves of a trend.
func (s *scale) bend(k, n int, tr *trend) {
	mid := func(i int) (*point, float32) { // the median of three, for noise
		a := [3]float32{s.at(k + i - 1).min, s.at(k + i).min, s.at(k + i + 1).min}
		slices.Sort(a[:])
		return s.at(k + i), a[1]
	}
	p0, v0 := mid(1)
	p1, v1 := mid(n / 2)
	p2, v2 := mid(n - 2)
	tr.early, tr.late = (v1-v0)/seconds(p0, p1), (v2-v1)/seconds(p1, p2)
	tr.half, tr.end = seconds(p0, p2)/2, v2
}

// levelsOff says whether growth slows down so that it ends below limit: a program that warms up, a load
// that nears its height. The later half's rate to the earlier half's, taken as the ratio of a geometric
// series, gives where; and so does the rate that falls as steadily as it did.
func (tr *trend) levelsOff(limit float64) bool {
	early, late, half := float64(tr.early), float64(tr.late), float64(tr.half)
	if early <= 0 || late >= 0.85*early {
		return false
	}
	q := max(0, late/early)
	rest := late * half * q / (1 - q)
	if late < 0.75*early {
		brake := (early - late) / half
		rate := max(0, late-brake*half/2)
		rest = min(rest, rate*rate/(2*brake))
	}
	return float64(tr.end)+1.2*rest < limit
}

// bent is the time until left is used up where the rate goes on to change as it did, at most ten times
// straight.
func (tr *trend) bent(left, straight float64) float64 {
	early, late, half := float64(tr.early), float64(tr.late), float64(tr.half)
	more := (late - early) / half // per second and second
	rate := max(0, late+more*half/2)
	root := rate*rate + 2*more*left
	if root < 0 {
		return 10 * straight
	}
	if t := 2 * left / (rate + math.Sqrt(root)); t < 10*straight { // and not for 0/0
		return t
	}
	return 10 * straight
}
