package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/descry-dev/descry/bench/forecast/trace"
	"github.com/descry-dev/descry/internal/forecast"
)

// warned is an alarm of descry with what it said.
type warned struct {
	alarm
	seconds, low, high float64
	usage              float64
}

// verdict is what one way made of one trace.
type verdict struct {
	alarms int // of all series, but those of the leak while it leaks
	lead   int // seconds from the first warning of the leak to its end; -1: none
	gone   int // of the leak's warnings, how many were withdrawn before the end
}

// result is what all ways made of one trace.
type result struct {
	*trace.Trace
	heldOut  bool
	from     int           // second at which the leak began
	truth    *trace.Series // that reached its limit, nil: none
	end      int           // second at which it did
	descry   verdict
	said     *warned // descry's first of the leak
	covered  int     // each minute at which there was a forecast: those whose bounds held the end
	forecast int     // and how many there were
	rules    []verdict
	played   int // series that were judged
	notes    []string
}

// reached gives the second at which a series came to its limit, -1: never.
func reached(s *trace.Series) int {
	if s.Max <= 0 {
		return -1
	}
	limit := s.Max
	switch s.Quantity {
	case trace.Highest:
		limit = forecast.FDSetSize
	case trace.Memory:
		limit = s.Max * 97 / 100 // the kernel reclaims what is left, and kills
	case trace.Mappings:
		limit = s.Max - 4 // some of the lines of maps do not count
	case trace.Working, trace.Usage:
		return -1
	}
	for i, v := range s.Values {
		if v >= limit {
			return s.From + i*s.Step
		}
	}
	// What opens many at once is refused some of them and then ends, or waits for the next time, a little below.
	if n := len(s.Values) - 1; n >= 0 && s.Values[n] >= limit*94/100 {
		return s.From + n*s.Step
	}
	return -1
}

var gauges = map[string]string{trace.Pids: forecast.LimitPids, trace.Memory: forecast.LimitMemory, trace.Mappings: forecast.LimitMappings, trace.FileNr: forecast.LimitFileMax}

// play gives the warnings of descry over one series, until second end (-1: all of it).
func play(s *trace.Series, end int, each func(second int, seconds, low, high float64)) (out []warned) {
	var w forecast.Warner
	var t forecast.Tracker
	var g *forecast.Gauge
	limit, ok := gauges[s.Quantity]
	if ok {
		g = forecast.NewGauge(limit)
	} else if s.Quantity != trace.NoFile && s.Quantity != trace.Highest {
		return nil
	}
	for i, v := range s.Values {
		second := s.From + i*s.Step
		if v < 0 {
			continue
		}
		if end >= 0 && second >= end {
			break
		}
		boot := int64(second)*1e9 + 1
		var e forecast.Event
		var said bool
		switch {
		case g != nil:
			g.Add(boot, v*s.Unit, s.Max*s.Unit)
			e, said = w.CheckGauge(g)
			if h, ok := g.Headroom(); ok && each != nil {
				each(second, h.Seconds, h.SecondsLow, h.SecondsHigh)
			}
		default:
			calls := int64(0)
			open, soft := v, s.Max
			if s.Quantity == trace.Highest {
				calls, open, soft = int64(i+1), v+1, 1<<20 // the other limit is another series'
			}
			t.Add(boot, open, v, soft, calls)
			e, said = w.Check(&t)
			if h, ok := t.Headroom(); ok && each != nil {
				each(second, h.Seconds, h.SecondsLow, h.SecondsHigh)
			}
		}
		if !said {
			continue
		}
		switch e.Kind {
		case forecast.Warned:
			out = append(out, warned{alarm{second, -1}, e.Seconds, e.SecondsLow, e.SecondsHigh, float64(e.Open) / float64(e.Max)})
		case forecast.Withdrawn:
			out[len(out)-1].to = second
		}
	}
	return out
}

func (r *result) evaluate() {
	r.end, r.descry.lead = -1, -1
	for _, s := range r.Series {
		if end := reached(s); end >= 0 && r.Kind == trace.Leak && (r.end < 0 || end < r.end) {
			r.truth, r.end = s, end
		}
	}
	r.rules = make([]verdict, len(rules))
	for i := range r.rules {
		r.rules[i].lead = -1
	}
	for _, s := range r.Series {
		if s.Max <= 0 || s.Quantity == trace.Working || s.Quantity == trace.Usage {
			continue
		}
		if r.Kind == trace.Leak && s != r.truth && r.alsoLeaks(s) {
			continue
		}
		r.played++
		r.series(s)
	}
}

// alsoLeaks says whether a series is of the same leak: the other end of its connections, another worker.
func (r *result) alsoLeaks(s *trace.Series) bool {
	for i, v := range s.Values {
		if r.end >= 0 && s.From+i*s.Step > r.end+60 {
			break
		}
		if v >= s.Max*3/4 {
			return true
		}
	}
	return false
}

func (r *result) series(s *trace.Series) {
	isLeak := r.truth == s
	var each func(int, float64, float64, float64)
	if isLeak {
		each = func(second int, _, low, high float64) {
			if second%60 != 0 || second < r.from {
				return
			}
			r.forecast++
			if left := float64(r.end - second); low <= left && left <= high {
				r.covered++
			}
		}
	}
	said := play(s, r.end, each)
	var alarms []alarm
	for _, w := range said {
		alarms = append(alarms, w.alarm)
		if isLeak && w.from >= r.from && r.said == nil {
			r.said = &w
		}
		if !isLeak {
			r.notes = append(r.notes, fmt.Sprintf("%s of %s(%d) at %ds, %.0f%% of %d, in %.0fs (%.0f to %.0f), until %d", s.Quantity, s.Comm, s.PID, w.from, w.usage*100, s.Max*s.Unit, w.seconds, w.low, w.high, w.to))
		}
	}
	r.descry.count(alarms, isLeak, r.end, r.from)
	limit := s.Max
	if s.Quantity == trace.Highest {
		limit = forecast.FDSetSize
	}
	values := s.Values
	if r.end >= 0 {
		values = values[:max(0, min(len(values), (r.end-s.From)/s.Step))]
	}
	for i, rule := range rules {
		r.rules[i].count(rule.alarms(values, s.Step, s.From, limit), isLeak, r.end, r.from)
	}
}

func (v *verdict) count(alarms []alarm, isLeak bool, end, from int) {
	for _, a := range alarms {
		if !isLeak || a.from < from {
			v.alarms++
			continue
		}
		if v.lead < 0 {
			v.lead = end - a.from
		}
		if a.to >= 0 {
			v.gone++
		}
	}
}

// load reads all traces of a folder, in order of name.
func load(dir string) ([]*trace.Trace, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.trace"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no traces in %s (%v)", dir, err)
	}
	slices.Sort(names)
	var out []*trace.Trace
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		t, err := trace.Read(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t.Name = strings.TrimSuffix(filepath.Base(name), ".trace")
		out = append(out, t)
	}
	return out, nil
}

// results judges all traces: those of a folder, and those that are made.
func results(dir string) ([]*result, error) {
	traces, err := load(dir)
	if err != nil {
		return nil, err
	}
	var out []*result
	for _, t := range traces {
		i := slices.IndexFunc(all, func(p program) bool { return p.name == t.Name })
		if i < 0 {
			return nil, fmt.Errorf("%s: no program of this name", t.Name)
		}
		t.Kind, t.What = all[i].kind, all[i].what
		r := &result{Trace: t, heldOut: all[i].held, from: all[i].from}
		r.evaluate()
		out = append(out, r)
	}
	for i := range generated {
		r := &result{Trace: generated[i].trace(), heldOut: generated[i].held, from: generated[i].from}
		r.evaluate()
		out = append(out, r)
	}
	return out, nil
}
