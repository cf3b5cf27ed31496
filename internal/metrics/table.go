package metrics

import (
	"strings"

	"github.com/descry-dev/descry/internal/version"
)

// Type is a metric's type, as Prometheus calls it.
type Type string

// The types.
const (
	Gauge     Type = "gauge"
	Counter   Type = "counter"
	Histogram Type = "histogram"
)

// Family is one metric.
type Family struct {
	Name   string
	Type   Type
	Unit   string   // base unit, which the name ends in; "" where it counts things
	Labels []string // besides those of the container
	Help   string   // one sentence, for Prometheus
	Note   string   // more of it, for docs/metrics.md

	// One of these writes it.
	container func(p *page, s *series, l *life) // for each series of a container; l is nil when none lives
	agent     func(p *page, m *Metrics)
}

// PerContainer says whether the metric has the labels of a container: namespace, pod and container, or unit.
func (f *Family) PerContainer() bool { return f.container != nil }

// perContainer is the greatest number of series that one container can have.
const perContainer = 11 + 2*maxForecasts + numCounts

// living is a gauge that a container has as long as it lives; get says whether it is known.
func living(get func(c *Container) (float64, bool)) func(*page, *series, *life) {
	return func(p *page, s *series, l *life) {
		if l == nil {
			return
		}
		if v, ok := get(&l.now); ok {
			p.put(v, s.labels)
		}
	}
}

// counted writes the counters of a family.
func counted(family string) func(*page, *series, *life) {
	return func(p *page, s *series, _ *life) {
		for i := range counts {
			if c := &counts[i]; c.family == family && (!c.optional || s.known[i]) {
				p.put(float64(s.count(i)), s.labels, c.label)
			}
		}
	}
}

// forecasts writes what get takes from each forecast that stands.
func forecasts(get func(f *Forecast) (float64, bool)) func(*page, *series, *life) {
	return func(p *page, s *series, l *life) {
		if l == nil {
			return
		}
		for i := range l.casts[:l.ncasts] {
			f := &l.casts[i]
			if v, ok := get(f); ok {
				p.put(v, s.labels, label("limit", f.Limit))
			}
		}
	}
}

// machine writes what get takes from each forecast of the machine.
func machine(get func(f *Forecast) float64) func(*page, *Metrics) {
	return func(p *page, m *Metrics) {
		for i := range m.agent.Forecasts {
			p.put(get(&m.agent.Forecasts[i]), label("limit", m.agent.Forecasts[i].Limit))
		}
	}
}

func label(name, value string) string { return name + `="` + clean(value) + `"` }

// own is a metric of the agent itself.
func own(get func(a *Agent) int64) func(*page, *Metrics) {
	return func(p *page, m *Metrics) { p.put(float64(get(&m.agent))) }
}

// each is one with a series for each entry of a map.
func each(name string, get func(a *Agent) map[string]int64) func(*page, *Metrics) {
	return func(p *page, m *Metrics) {
		of := get(&m.agent)
		for _, k := range sortedKeys(of) {
			p.put(float64(of[k]), label(name, k))
		}
	}
}

// box is one of the outbox, absent where there is no server.
func box(get func(o *Outbox) int64) func(*page, *Metrics) {
	return func(p *page, m *Metrics) {
		if o := m.agent.Outbox; o != nil {
			p.put(float64(get(o)))
		}
	}
}

// deaths writes the cases of one kind.
func deaths(kind string) func(*page, *Metrics) {
	return func(p *page, m *Metrics) {
		for _, k := range m.sortedDeaths() {
			if k.kind == kind {
				p.put(float64(m.deaths[k]), `namespace="`+k.namespace+`"`, `cause="`+k.cause+`"`)
			}
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func buildInfo(p *page, _ *Metrics) {
	p.put(1, label("version", version.String()), label("goversion", goVersion()))
}

func probes(p *page, m *Metrics) {
	for _, v := range m.agent.Probes {
		p.put(truth(v.Up), label("probe", v.Name), label("by", v.By))
	}
}

func runtimes(p *page, m *Metrics) {
	for _, v := range m.agent.Runtimes {
		name, _, _ := strings.Cut(v.Name, " ") // without its version, which changes
		p.put(truth(v.Up), label("runtime", name))
	}
}

// Render writes all metrics: in OpenMetrics' format, or in Prometheus' own. It appends to b.
func (m *Metrics) Render(b []byte, openMetrics bool) []byte {
	self := readSelf() // before the lock: it reads /proc
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	p := &page{b: b, open: openMetrics, now: m.cfg.Now()}
	all := m.sorted()
	for i := range Families {
		f := &Families[i]
		p.family(f)
		if f.agent != nil {
			f.agent(p, m)
			continue
		}
		for _, s := range all {
			if m.visible(s, p.now) {
				f.container(p, s, s.current())
			}
		}
	}
	self.write(p)
	return p.end()
}
