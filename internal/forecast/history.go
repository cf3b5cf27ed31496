package forecast

import "math"

const (
	scales = 7
	points = 24 // of each scale

	// tick is the unit of time in a history, nanoseconds; 32 bits of it are 497 days.
	tick = int64(1e7)
)

// widths are the stretches of the scales in ticks; the first scale has single samples.
var widths = [scales]uint32{0, 4 * 100, 16 * 100, 64 * 100, 256 * 100, 1024 * 100, 4096 * 100}

// point is a stretch of time: least and greatest value in it.
type point struct {
	t        uint32 // start, or for a single sample its time, ticks
	min, max float32
}

// scale keeps the newest stretches of one length.
type scale struct {
	pts   *[points]point
	n     uint8 // in pts
	head  uint8 // oldest
	open  bool  // cur has a value
	known bool  // trend and grows are of what is in pts
	grows bool
	cur   point
	trend trend
}

func (s *scale) at(i int) *point {
	if i += int(s.head); i >= points {
		i -= points
	}
	return &s.pts[i]
}

func (s *scale) push(p point) {
	s.known = false
	if s.pts == nil {
		s.pts = new([points]point)
	}
	if s.n < points {
		s.pts[(int(s.head)+int(s.n))%points] = p
		s.n++
		return
	}
	s.pts[s.head] = p
	s.head = (s.head + 1) % points
}

func (s *scale) add(t uint32, v float32, width uint32) {
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

// history is what a value was.
type history struct {
	origin int64 // boot time of tick 0
	near   int64 // when the value last was not far below its limit
	scales [scales]scale

	// Of the newest sample, once it was looked at.
	best       view
	grows, due bool
}

func newHistory(origin int64) *history { return &history{origin: origin, near: origin} }

func (h *history) add(boot int64, value int64) {
	t := (boot - h.origin) / tick
	if t < 0 || t > math.MaxUint32-int64(widths[scales-1]) { // over a year: begin anew
		*h = *newHistory(boot)
		t = 0
	}
	for i := range h.scales {
		h.scales[i].add(uint32(t), float32(value), widths[i])
	}
}

// fill adds what was the same from one time to another, seen each interval, before anything else.
func (h *history) fill(from, to, interval, value int64) {
	h.origin = from
	v := float32(value)
	for i := range h.scales {
		width := int64(widths[i]) * tick
		if i == 0 {
			width = max(interval, tick)
		}
		n := min((to-from)/width, points)
		for j := range n {
			h.scales[i].push(point{uint32((to - from - (n-j)*width) / tick), v, v})
		}
	}
}
