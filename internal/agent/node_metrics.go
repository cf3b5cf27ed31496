package agent

import (
	"context"
	"sync"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/metrics"
)

// figures are the agent's own.
type figures struct {
	started    int64 // subjects
	sweepError string
	pinError   string
	touched    time.Time
	counted    time.Time
	told       time.Time // counters of the subjects
	toldAgent  time.Time // the agent's own
	swept      time.Duration
	climbs     map[string]int64
	descents   int64
	kept       map[string]int64
	recordings int64 // bytes
}

// openMetrics serves metrics.
func (n *node) openMetrics(ctx context.Context, beside *sync.WaitGroup) error {
	n.figures.climbs, n.figures.kept = map[string]int64{}, map[string]int64{}
	if n.cfg.Metrics == "" {
		return nil
	}
	l, err := metrics.Listen(n.cfg.Metrics)
	if err != nil {
		return err
	}
	n.tell = metrics.New(metrics.Config{})
	n.log.Info("serving metrics", "address", l.Addr().String())
	beside.Go(func() {
		if err := n.tell.Serve(ctx, l); err != nil {
			n.log.Error("metrics are not served any more", "error", err)
		}
	})
	return nil
}

// How often is told what costs more to read than a sweep: counters of subjects, and the agent's own.
const (
	measureEvery      = 15 * time.Second
	measureAgentEvery = 5 * time.Second
)

// measure tells what a sweep has shown.
func (n *node) measure(took time.Duration) {
	n.figures.swept = took
	if n.tell == nil {
		return
	}
	whole := time.Since(n.figures.told) >= measureEvery
	var c metrics.Container
	for _, s := range n.subjects {
		if s.exit == nil && !s.sandbox && s.main != 0 {
			n.container(s, &c, whole)
			n.tell.Set(&c)
		}
	}
	if whole {
		n.figures.told = time.Now()
	}
	if time.Since(n.figures.toldAgent) >= measureAgentEvery {
		n.figures.toldAgent = time.Now()
		n.tell.SetAgent(n.aboutAgent())
		n.aside(n.countCases)
	}
	n.tell.Ready(true)
	n.tell.Swept(took)
}

// container fills in what a subject has now.
func (n *node) container(s *subject, c *metrics.Container, counters bool) {
	casts := c.Forecasts[:0]
	*c = metrics.Container{
		ID: s.ref.ID, Namespace: s.info.Namespace, Pod: s.info.Pod, Name: s.info.Container, StartedAt: s.since, Processes: int64(len(s.procs)),
	}
	if s.ref.ID == "" {
		c.ID, c.Unit = s.cgroup, s.cgroup
	}
	if s.closer() {
		c.Step = 1
	}
	for _, m := range s.procs {
		p := &m.last
		c.OpenFDs += p.Open
		c.HighestFD = max(c.HighestFD, p.Highest)
		if c.WorstLimit == 0 || p.SoftLimit > 0 && p.Open*c.WorstLimit > c.WorstOpen*p.SoftLimit {
			c.WorstOpen, c.WorstLimit = p.Open, p.SoftLimit
		}
		m.look.each(func(h *evidence.Headroom) { casts = append(casts, castOf(h, m.warned)) })
	}
	s.outlook.each(func(h *evidence.Headroom) { casts = append(casts, castOf(h, s.warned)) })
	c.Forecasts = nearest(casts)
	if counters {
		c.Counters = n.set.SubjectCounters(s.id)
		n.logs.counters(s.id, c.Counters)
	}
}

// castOf is a forecast for metrics; warned has the warnings that hold.
func castOf(h *evidence.Headroom, warned map[string]string) metrics.Forecast {
	_, is := warned[h.Limit]
	return metrics.Forecast{Limit: h.Limit, Seconds: h.Seconds, Earliest: h.SecondsLow, Latest: h.SecondsHigh, Warned: is}
}

// nearest keeps of each limit the forecast that comes first.
func nearest(all []metrics.Forecast) []metrics.Forecast {
	out := all[:0]
next:
	for _, f := range all {
		for i := range out {
			if out[i].Limit == f.Limit {
				f.Warned = f.Warned || out[i].Warned
				if f.Seconds > out[i].Seconds {
					f.Seconds, f.Earliest, f.Latest = out[i].Seconds, out[i].Earliest, out[i].Latest
				}
				out[i] = f
				continue next
			}
		}
		out = append(out, f)
	}
	return out
}

// countCases waits for the disk.
func (n *node) countCases() {
	if cases, err := n.book.Count(); err == nil {
		n.inBook.Store(int64(cases))
	}
}

// aboutAgent is what the agent knows of itself.
func (n *node) aboutAgent() *metrics.Agent {
	a := &metrics.Agent{
		Events: n.set.Read(), Lost: n.set.Lost(), NoRoom: n.steps.Refused(), Recording: n.figures.recordings,
		Climbs: n.figures.climbs, Descents: n.figures.descents, Kept: n.figures.kept, Failed: n.unkept.Load(), Dropped: n.dropped.Load(), Cases: n.inBook.Load(),
	}
	for _, s := range n.subjects {
		if s.exit != nil {
			a.Dead++
			continue
		}
		a.Subjects++
		a.Processes += int64(len(s.procs))
		if !s.named && n.names != nil {
			a.Unnamed++
		}
		if s.closer() {
			a.Closer++
		}
		for _, d := range s.rec.Dropped() {
			a.Forgotten += d
		}
	}
	if b := n.around.machine.files; b != nil {
		if h, ok := b.Headroom(); ok && h.Seconds > 0 {
			a.Forecasts = []metrics.Forecast{{Limit: h.Limit, Seconds: h.Seconds, Earliest: h.SecondsLow, Latest: h.SecondsHigh, Warned: n.around.machine.warned}}
		}
	}
	for _, st := range n.set.Status() {
		a.Probes = append(a.Probes, metrics.Probe{Name: st.Name, By: st.By, Up: st.Missing == ""})
	}
	if n.names != nil {
		for _, st := range n.names.Status() {
			a.Runtimes = append(a.Runtimes, metrics.Runtime{Name: st.Runtime, Up: st.Connected})
		}
	}
	return a
}

// measureEnd tells what a subject had at its end.
func (n *node) measureEnd(s *subject) {
	if n.tell == nil || s.sandbox {
		return
	}
	var c metrics.Container
	n.container(s, &c, true)
	n.tell.Ended(&c)
}

// measureCase tells of a case.
func (n *node) measureCase(c *evidence.Case, kept bool) {
	if kept {
		n.figures.kept[string(c.Kind)]++
	}
	if n.tell == nil {
		return
	}
	s := &c.Subject
	m := metrics.Container{ID: s.ContainerID, Namespace: s.Namespace, Pod: s.Pod, Name: s.Container, Unit: s.Unit}
	if m.ID == "" {
		m.ID = s.Unit
	}
	d := metrics.Death{Kind: string(c.Kind), At: c.OpenedAt}
	if c.Death != nil && !c.Death.Unseen {
		d.At, d.Took = c.Death.At, c.OpenedAt.Sub(c.Death.At)
	}
	if len(c.Findings) > 0 {
		d.Cause, d.Confidence = c.Findings[0].Cause, string(c.Findings[0].Confidence)
	}
	n.tell.Died(&m, d)
}
