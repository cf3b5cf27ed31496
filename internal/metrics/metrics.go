// Package metrics holds what the node agent tells Prometheus: the containers that it watches, and itself. All metrics
// stand in one table, Families, of which docs/metrics.md is made.
//
// The agent pushes what it knows (Set, Ended, Died, Swept, SetAgent); a scrape only writes what was pushed, so it
// never waits for the agent nor the agent for it.
package metrics

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Config bounds what is exported. Zero values are the defaults.
type Config struct {
	MaxSeries int              // of all containers together; 0: 24,000
	Linger    time.Duration    // how long a container's counters stay after its end, for the last scrape; 0: five minutes
	Nameless  time.Duration    // how long a container may wait for its name before it is shown by its id; 0: ten seconds
	StartIn   time.Duration    // how long the agent may take until its first turn; 0: ten minutes
	TurnIn    time.Duration    // how long a turn of the agent's loop may take; 0: a minute
	Now       func() time.Time // nil: time.Now
}

// Container is what the agent knows of one life of a container, or of a unit of a plain host.
type Container struct {
	ID                   string // tells lives apart; shown only (its first 12 digits) where there is no name
	Namespace, Pod, Name string
	Unit                 string // in place of the three above
	StartedAt            time.Time
	Processes            int64
	OpenFDs              int64 // of all processes
	HighestFD            int64 // highest descriptor number of any process, 0: not known
	// Of the process that is nearest to its soft limit.
	WorstOpen, WorstLimit int64
	Step                  int // of the ladder
	Forecasts             []Forecast
	Counters              map[string]int64 // by the names in evidence (CountFDRefused …), since the container's start
}

// maxForecasts are the limits that a container can have forecasts of.
const maxForecasts = 5

// Forecast says when a container, or its first process, or the machine runs out. It is given as long as it holds.
type Forecast struct {
	Limit            string  // as evidence.Headroom has it
	Seconds          float64 // until exhaustion
	Earliest, Latest float64 // bounds of it, 0: not known
	Warned           bool    // a warning was raised, and holds
}

// Death is a death (or a warning, or the death of a child) that a case was opened for.
type Death struct {
	Kind       string // as in evidence.CaseKind
	Cause      string // id of the first finding; "": unexplained
	Confidence string // of it
	At         time.Time
	Took       time.Duration // from the death to the case
}

// Probe is one of the kernel probes.
type Probe struct {
	Name string
	By   string // what it is made of; empty where it is missing
	Up   bool
}

// Runtime is a container runtime that names containers.
type Runtime struct {
	Name string // "containerd"
	Up   bool   // it answered when asked last
}

// Agent is what the agent knows of itself. Counts are whole: since its start.
type Agent struct {
	Subjects  int64 // containers and units that are watched
	Dead      int64 // that have ended and are not forgotten yet
	Unnamed   int64 // of Subjects, those that no runtime has named yet
	Processes int64
	Closer    int64            // subjects on step 1 of the ladder
	Climbs    map[string]int64 // by sign
	Descents  int64
	NoRoom    int64            // signs that found no room on the ladder
	Events    map[string]int64 // by probe
	Lost      map[string]int64 // by probe
	Probes    []Probe
	Runtimes  []Runtime
	Kept      map[string]int64 // cases, by kind
	Dropped   int64            // old cases that made room for new ones
	Failed    int64            // cases that could not be kept
	Cases     int64            // in the casebook
	Outbox    *Outbox          // nil: there is no server
	Recording int64            // bytes of the recordings of all subjects
	Forecasts []Forecast       // of the machine
	Forgotten int64            // observations that recordings had no room for
}

// Outbox is the state of what is to be sent to a server.
type Outbox struct {
	Pending, Sent, Refused, Retries int64
}

// Metrics is what was pushed last. Its methods may be called from several goroutines.
type Metrics struct {
	cfg   Config
	start time.Time

	mu       sync.Mutex
	lives    map[string]*life
	series   map[string]*series // by their labels
	order    []*series          // sorted by labels, nil: to be sorted
	ended    []*series          // without a life, the oldest first
	deaths   map[deathKey]int64
	agent    Agent
	sweep    histogram
	judge    histogram
	turned   time.Time // when the loop turned last
	ready    bool
	leftOut  int64 // containers that found no room, ever
	admitted int
	seq      uint64
}

// New has nothing yet.
func New(cfg Config) *Metrics {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if cfg.MaxSeries == 0 {
		cfg.MaxSeries = 24_000
	}
	def(&cfg.Linger, 5*time.Minute)
	def(&cfg.Nameless, 10*time.Second)
	def(&cfg.StartIn, 10*time.Minute)
	def(&cfg.TurnIn, time.Minute)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Metrics{
		cfg: cfg, start: cfg.Now(), lives: map[string]*life{}, series: map[string]*series{}, deaths: map[deathKey]int64{},
		sweep: newHistogram(sweepBounds), judge: newHistogram(judgeBounds),
	}
}

// Swept tells that the loop has turned once, and how long its sweep took.
func (m *Metrics) Swept(took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turned = m.cfg.Now()
	m.sweep.observe(took.Seconds())
	m.expire()
}

// Ready tells that the probes are attached, or that it is known which cannot be.
func (m *Metrics) Ready(is bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ready = is
}

// SetAgent tells of the agent itself. Nothing of a is kept that the caller may change.
func (m *Metrics) SetAgent(a *Agent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := &m.agent
	climbs, events, lost, kept, probes, runtimes, casts, box := old.Climbs, old.Events, old.Lost, old.Kept, old.Probes, old.Runtimes, old.Forecasts, old.Outbox
	m.agent = *a
	m.agent.Climbs, m.agent.Events = refill(climbs, a.Climbs), refill(events, a.Events)
	m.agent.Lost, m.agent.Kept = refill(lost, a.Lost), refill(kept, a.Kept)
	m.agent.Probes, m.agent.Runtimes = append(probes[:0], a.Probes...), append(runtimes[:0], a.Runtimes...)
	m.agent.Forecasts = append(casts[:0], a.Forecasts...)
	m.agent.Outbox = nil
	if a.Outbox != nil {
		if box == nil {
			box = new(Outbox)
		}
		*box = *a.Outbox
		m.agent.Outbox = box
	}
}

// refill makes to hold what from holds, without allocating where it can.
func refill(to, from map[string]int64) map[string]int64 {
	if to == nil {
		to = make(map[string]int64, len(from))
	}
	clear(to)
	maps.Copy(to, from)
	return to
}

// maxDeaths bounds the pairs of namespace and cause; what comes beyond is counted in the namespace "_other", which
// is nobody's: names of namespaces have no underscore.
const maxDeaths = 1000

type deathKey struct{ kind, namespace, cause string }

// Died tells of a death (or a warning, or the death of a child) that a case was opened for. Its container may
// have ended before, or may end later.
func (m *Metrics) Died(c *Container, d Death) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.Cause == "" {
		d.Cause, d.Confidence = "unexplained", ""
	}
	key := deathKey{d.Kind, clean(c.Namespace), clean(d.Cause)}
	if _, known := m.deaths[key]; !known && len(m.deaths) >= maxDeaths {
		key.namespace = "_other"
	}
	m.deaths[key]++
	if d.Took > 0 {
		m.judge.observe(d.Took.Seconds())
	}
	if d.Kind != kindDeath {
		return
	}
	s := m.find(c)
	s.deaths++
	s.death = d
	if len(s.lives) == 0 {
		m.linger(s)
	}
}

// kindDeath is evidence.CaseDeath.
const kindDeath = "death"

// turning says whether the loop turns, and whether it has begun to.
func (m *Metrics) turning() (ok bool, late time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.cfg.Now()
	if m.turned.IsZero() {
		late = now.Sub(m.start)
		return late < m.cfg.StartIn, late
	}
	late = now.Sub(m.turned)
	return late < m.cfg.TurnIn, late
}

func (m *Metrics) isReady() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ready
}

func sortedKeys(m map[string]int64) []string { return slices.Sorted(maps.Keys(m)) }
