package forecast

import "math"

// Growth whose rate doubles with every so many more (a retry that leaves one more to retry) is told of too late by whoever
// waits until most of the limit is used: it spends half an hour far below, and seconds on the rest. It shows in the times
// that it takes for equal parts of its rise: each is shorter than the one before by the same ratio. Steady growth has a
// ratio of 1, a burst after calm one near 0 and then 1. What doubles in equal times, as a load may that then stays where it is, has
// ratios that come near to 1, the part numbered n having (n-1)/n or so; what rises to a height of its own (a day, a morning,
// a fleet that starts) slows down from half of that on. So ratios that stay well below those, beyond half of the limit, are of
// something that feeds itself.
const (
	parts          = 6    // of the rise
	accelerateFrom = 0.5  // usage
	accelerateSpan = 300  // seconds for which it must have been seen, at the least...
	acceleratePart = 0.3  // ...and the part of them that went by after the first part of the rise: before that it was calm
	slowest        = 0.8  // greatest ratio of one part's time to that before: by chance, a ratio of 0.66 may look so
	fastest        = 0.12 // least: a burst
	selfFeeding    = 0.66 // greatest ratio in the mean of the last four; what doubles in equal times has 0.77 or more
	lastChance     = 120  // seconds that may be left to warn: twice the minute that there should be, since half is misjudged easily
)

// curve is a history at the finest resolution that is kept of each time, oldest first.
type curve struct {
	pts [scales * points]point
	n   int
}

func (c *curve) of(h *history) {
	for i := scales - 1; i >= 0; i-- {
		s := &h.scales[i]
		finer := uint32(math.MaxUint32)
		for j := i - 1; j >= 0; j-- {
			if f := &h.scales[j]; f.n > 0 {
				finer = f.at(0).t
				break
			}
		}
		for k := range int(s.n) {
			if p := s.at(k); p.t+widths[i] <= finer {
				c.pts[c.n] = *p
				c.n++
			}
		}
	}
}

// reached gives when the value came to stay above a level, and when it was there first, in seconds. It is false where the
// curve does not tell.
func (c *curve) reached(level float32) (stays, first float64, ok bool) {
	last, up := -1, -1
	for i := range c.n {
		if c.pts[i].min < level {
			last = i
		}
		if up < 0 && c.pts[i].max >= level {
			up = i
		}
	}
	last = min(last, c.n-2) // the newest sample is there
	if last < 0 || up < 0 {
		return 0, 0, false
	}
	a, b := &c.pts[last], &c.pts[last+1]
	stays = float64(a.t) / 100
	if b.min > a.min {
		stays += float64(b.t-a.t) / 100 * min(1, float64((level-a.min)/(b.min-a.min)))
	}
	return stays, float64(c.pts[min(up+1, c.n-1)].t) / 100, true
}

// accelerate takes into the forecast that growth accelerates, where it does.
func (h *history) accelerate(g *Gauge) {
	v, ok := h.accelerating(g)
	if !ok || v.seconds >= h.best.seconds {
		return
	}
	v.low, v.high = min(v.low, h.best.low), max(v.high, h.best.high)
	h.best = v
	h.due = h.due || kinds[g.kind].quick && v.seconds <= lastChance && v.rise >= v.left
}

// accelerating is the forecast of growth that accelerates, false where it does not for certain.
func (h *history) accelerating(g *Gauge) (v view, ok bool) {
	var c curve
	c.of(h)
	if c.n < points {
		return v, false
	}
	base, now := c.pts[0].min, c.pts[c.n-1].min
	for i := range c.n {
		base = min(base, c.pts[i].min)
	}
	rise := now - base
	if float64(rise) < 4*g.least() || rise < 2*base {
		return v, false
	}
	var at [parts + 1]float64
	for j := range at {
		stays, first, ok := c.reached(base + rise*max(float32(j), 0.1)/parts)
		if at[j] = stays; !ok || j > 0 && stays-first > (at[j]-at[j-1])/8 {
			return v, false // as high before: something comes and goes on top of it, and tells nothing
		}
	}
	var ratio [parts - 1]float64
	for j := range ratio {
		was, is := at[j+1]-at[j], at[j+2]-at[j+1]
		if was <= 0 || is > slowest*was || is < fastest*was {
			return v, false
		}
		ratio[j] = is / was
	}
	// Two parts to the two before, which is less swayed by chance than one to one.
	q := math.Pow(ratio[parts-2]*ratio[parts-3]*ratio[parts-3]*ratio[parts-4], 0.25)
	v.span = at[parts] - at[0]
	if q > selfFeeding || v.span < accelerateSpan || at[parts]-at[1] < acceleratePart*v.span {
		return v, false
	}
	part, took := float64(rise)/parts, at[parts]-at[parts-1]
	v.left = max(0, float64(g.limit-g.now))
	v.rise, v.slope = float64(rise), part/took
	more := v.left / part
	v.seconds = took * sumOfPowers(q, more)
	v.low = took * sumOfPowers(min(ratio[parts-2], ratio[parts-3], ratio[parts-4]), more)
	v.high = took * more
	return v, true
}

// sumOfPowers is q + q² + … of n parts.
func sumOfPowers(q, n float64) float64 { return q * (1 - math.Pow(q, n)) / (1 - q) }
