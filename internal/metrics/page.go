package metrics

import (
	"math"
	"strconv"
	"time"
)

// page is a page of metrics being written, in Prometheus' text format 0.0.4 or in OpenMetrics 1.0.
type page struct {
	b    []byte
	open bool // OpenMetrics
	f    *Family
	now  time.Time
	n    int // series written
	head bool
}

// family begins a metric; its head is written with its first series, and no sooner.
func (p *page) family(f *Family) { p.f, p.head = f, false }

func (p *page) begin() {
	if p.head {
		return
	}
	p.head = true
	name := p.f.Name
	if p.open && p.f.Type == Counter {
		name = name[:len(name)-len("_total")]
	}
	p.b = append(p.b, "# HELP "...)
	p.b = append(p.b, name...)
	p.b = append(p.b, ' ')
	p.b = append(p.b, p.f.Help...)
	p.b = append(p.b, "\n# TYPE "...)
	p.b = append(p.b, name...)
	p.b = append(p.b, ' ')
	p.b = append(p.b, p.f.Type...)
	p.b = append(p.b, '\n')
	if p.open && p.f.Unit != "" {
		p.b = append(p.b, "# UNIT "...)
		p.b = append(p.b, name...)
		p.b = append(p.b, ' ')
		p.b = append(p.b, p.f.Unit...)
		p.b = append(p.b, '\n')
	}
}

// put writes one series. Each of labels is `name="value"` or several of these, escaped; empty ones are left out.
func (p *page) put(v float64, labels ...string) { p.sample("", v, labels...) }

func (p *page) sample(suffix string, v float64, labels ...string) {
	p.begin()
	p.n++
	p.b = append(p.b, p.f.Name...)
	p.b = append(p.b, suffix...)
	comma := byte('{')
	for _, l := range labels {
		if l != "" {
			p.b = append(p.b, comma)
			p.b = append(p.b, l...)
			comma = ','
		}
	}
	if comma == ',' {
		p.b = append(p.b, '}')
	}
	p.b = append(p.b, ' ')
	p.b = appendValue(p.b, v)
	p.b = append(p.b, '\n')
}

// end ends the page.
func (p *page) end() []byte {
	if p.open {
		p.b = append(p.b, "# EOF\n"...)
	}
	return p.b
}

func appendValue(b []byte, v float64) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	case math.IsInf(v, -1):
		return append(b, "-Inf"...)
	case v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

// histogram counts durations in seconds.
type histogram struct {
	bounds []float64
	le     []string // labels of the bounds and of +Inf
	counts []int64
	sum    float64
	n      int64
}

// Bounds of buckets, seconds.
var (
	sweepBounds = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1}
	judgeBounds = []float64{0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10}
)

func newHistogram(bounds []float64) histogram {
	h := histogram{bounds: bounds, counts: make([]int64, len(bounds)+1)}
	for _, b := range bounds {
		s := strconv.FormatFloat(b, 'g', -1, 64)
		if b == math.Trunc(b) {
			s += ".0" // as OpenMetrics has them
		}
		h.le = append(h.le, `le="`+s+`"`)
	}
	h.le = append(h.le, `le="+Inf"`)
	return h
}

func (h *histogram) observe(v float64) {
	i := 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	h.counts[i]++
	h.sum += v
	h.n++
}

func (h *histogram) write(p *page) {
	var n int64
	for i, c := range h.counts {
		n += c
		p.sample("_bucket", float64(n), h.le[i])
	}
	p.sample("_sum", h.sum)
	p.sample("_count", float64(h.n))
}
