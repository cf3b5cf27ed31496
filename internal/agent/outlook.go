package agent

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/forecast"
	"github.com/descry-dev/descry/internal/report"
)

// outlook is the forecast of one process.
type outlook struct {
	tracker forecast.Tracker
	warner  forecast.Warner
	maps    *bound // of its mappings; nil: not told
}

// bound is the forecast of one value that has a limit.
type bound struct {
	*forecast.Gauge
	warner forecast.Warner
}

func newBound(limit string) *bound { return &bound{Gauge: forecast.NewGauge(limit)} }

// add takes a sample and gives what there is to say.
func (b *bound) add(boot, value, limit int64) (forecast.Event, bool) {
	b.Add(boot, value, limit)
	return b.warner.CheckGauge(b.Gauge)
}

// add takes a sample of a process, and tells what there is to say. mappingsMax is vm.max_map_count.
func (w *outlook) add(boot int64, p *evidence.Process, mappingsMax int64, tell func(forecast.Event)) {
	w.tracker.Add(boot, p.Open, p.Highest, p.SoftLimit, p.SelectCalls)
	for {
		e, ok := w.warner.Check(&w.tracker)
		if !ok {
			break
		}
		tell(e)
	}
	if p.Mappings <= 0 {
		return
	}
	if w.maps == nil {
		w.maps = newBound(forecast.LimitMappings)
	}
	if e, ok := w.maps.add(boot, p.Mappings, mappingsMax); ok {
		tell(e)
	}
}

// headroom is the forecast for the limit that is reached first.
func (w *outlook) headroom() (evidence.Headroom, bool) {
	h, ok := w.tracker.Headroom()
	if w.maps != nil {
		h, ok = sooner(h, ok, w.maps)
	}
	return h, ok
}

func sooner(h evidence.Headroom, ok bool, b *bound) (evidence.Headroom, bool) {
	if other, also := b.Headroom(); also && (!ok || other.Seconds < h.Seconds) {
		return other, true
	}
	return h, ok
}

// each gives all forecasts that there are.
func (w *outlook) each(tell func(*evidence.Headroom)) {
	for _, h := range w.tracker.All() {
		if h.Seconds > 0 {
			tell(&h)
		}
	}
	w.maps.each(tell)
}

func (b *bound) each(tell func(*evidence.Headroom)) {
	if b == nil {
		return
	}
	if h, ok := b.Headroom(); ok && h.Seconds > 0 {
		tell(&h)
	}
}

// groupOutlook is the forecast of a cgroup: its tasks, and its memory without page cache.
type groupOutlook struct{ pids, memory *bound }

// add takes what was read of the cgroup, and tells what there is to say.
func (g *groupOutlook) add(boot int64, d *evidence.Cgroup, tell func(forecast.Event)) {
	if g.pids == nil {
		g.pids, g.memory = newBound(forecast.LimitPids), newBound(forecast.LimitMemory)
	}
	if e, ok := g.pids.add(boot, d.Pids, d.PidsMax); ok {
		tell(e)
	}
	if d.Version == 0 {
		return
	}
	if e, ok := g.memory.add(boot, d.Held, d.Max); ok {
		tell(e)
	}
}

// headroom is the forecast for the limit that is reached first.
func (g *groupOutlook) headroom() (h evidence.Headroom, ok bool) {
	if g.pids == nil {
		return h, false
	}
	h, ok = g.pids.Headroom()
	return sooner(h, ok, g.memory)
}

// each gives all forecasts that there are.
func (g *groupOutlook) each(tell func(*evidence.Headroom)) {
	g.pids.each(tell)
	g.memory.each(tell)
}

// forecast prints and records when a limit comes near, and when that is over.
func (f *flight) forecast(o *evidence.Observation, p *evidence.Process, w *outlook) {
	if p.Mappings > 0 && f.mappingsMax == 0 {
		f.mappingsMax = maxMapCount()
	}
	w.add(o.BootNanos, p, f.mappingsMax, func(e forecast.Event) { f.warn(o.PID, p.SoftLimit, &e) })
}

// warn records and prints one event about a process, or about what it is in.
func (f *flight) warn(pid int32, softLimit int64, e *forecast.Event) {
	h := e.Headroom
	if e.Kind != forecast.Withdrawn {
		if h.Limit == forecast.LimitNoFile || h.Limit == forecast.LimitFDSetSize {
			if t, err := f.table(int(pid)); err == nil {
				h.Group = t.Dominant()
			}
		}
		f.observe(now(evidence.SourceSample, pid, &h))
	}
	switch {
	case f.cfg.Quiet:
	case e.Kind == forecast.Withdrawn:
		f.line(report.Withdrawn(&h))
	default:
		f.line(report.Warning(&h, softLimit))
	}
}

// exhaustion is the shortest time until a limit is reached by the forecasts, 0 where there is none.
func (f *flight) exhaustion() time.Duration {
	var least time.Duration
	take := func(h evidence.Headroom, ok bool) {
		if ok && h.Seconds > 0 {
			if d := time.Duration(h.Seconds * float64(time.Second)); least == 0 || d < least {
				least = d
			}
		}
	}
	for _, w := range f.forecasts {
		take(w.headroom())
	}
	for _, g := range f.groups.last {
		take(g.outlook.headroom())
	}
	return least
}

// maxMapCount reads vm.max_map_count, -1 where it cannot be.
func maxMapCount() int64 {
	b, err := os.ReadFile("/proc/sys/vm/max_map_count")
	if err != nil {
		return -1
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
