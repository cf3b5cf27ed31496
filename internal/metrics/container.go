package metrics

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// life is one life of a container, as it was told last.
type life struct {
	series *series
	at     time.Time // first told of
	now    Container // Counters and Forecasts apart
	casts  [maxForecasts]Forecast
	ncasts int
	counts [numCounts]int64
	closer time.Duration // on step 1 so far
	last   time.Time
}

// series is all that has one set of labels: a container of a pod over all its restarts. Its counters never go back,
// as long as it is shown.
type series struct {
	labels  string // as written, without the braces
	lives   []*life
	counts  [numCounts]int64 // of lives that have ended
	known   [numCounts]bool  // that were given once
	closer  time.Duration    // likewise
	starts  int64
	deaths  int64
	death   Death     // the last one
	endedAt time.Time // without lives
	shown   bool      // there is room for it
	waited  bool      // there was none
	seq     uint64
}

// current is the life that is shown: the one that started last.
func (s *series) current() *life {
	var out *life
	for _, l := range s.lives {
		if out == nil || l.now.StartedAt.After(out.now.StartedAt) {
			out = l
		}
	}
	return out
}

func (s *series) count(i int) int64 {
	n := s.counts[i]
	for _, l := range s.lives {
		n += l.counts[i]
	}
	return n
}

func (s *series) closerFor() time.Duration {
	d := s.closer
	for _, l := range s.lives {
		d += l.closer
	}
	return d
}

// Set tells what a container has now. Nothing of c is kept that the caller may change.
func (m *Metrics) Set(c *Container) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(c)
}

func (m *Metrics) set(c *Container) *life {
	now := m.cfg.Now()
	l := m.lives[c.ID]
	if l == nil {
		l = &life{at: now, last: now}
		m.lives[c.ID] = l
	}
	if l.now.Step > 0 {
		l.closer += now.Sub(l.last)
	}
	l.last = now
	moved := l.series == nil || !sameName(&l.now, c)
	l.now = *c
	l.now.Counters, l.now.Forecasts = nil, nil
	l.ncasts = copy(l.casts[:], c.Forecasts)
	for i := range counts {
		if n, ok := counts[i].of(c.Counters); ok {
			l.counts[i] = max(n, l.counts[i])
			if l.series != nil {
				l.series.known[i] = true
			}
		}
	}
	if moved {
		m.move(l, c)
	}
	return l
}

// move puts a life where its labels are: at its first sight, and when its name comes.
func (m *Metrics) move(l *life, c *Container) {
	old := l.series
	s := m.find(c)
	if s == old {
		return
	}
	if old != nil {
		old.lives = slices.DeleteFunc(old.lives, func(o *life) bool { return o == l })
		for i, k := range old.known {
			s.known[i] = s.known[i] || k
		}
		if old.starts--; old.starts == 0 && old.deaths == 0 {
			m.drop(old)
		} else if len(old.lives) == 0 {
			m.linger(old)
		}
	}
	for i := range counts {
		if _, ok := counts[i].of(c.Counters); ok {
			s.known[i] = true
		}
	}
	l.series = s
	s.lives = append(s.lives, l)
	s.starts++
	if len(s.lives) == 1 {
		m.ended = slices.DeleteFunc(m.ended, func(o *series) bool { return o == s })
	}
}

// find is the series of a container; it is made where there is none.
func (m *Metrics) find(c *Container) *series {
	labels := labelsOf(c)
	s := m.series[labels]
	if s == nil {
		m.seq++
		s = &series{labels: labels, seq: m.seq}
		m.series[labels] = s
		m.order = nil
		m.admit(s)
	}
	return s
}

// admit gives a series room, or counts that it has none.
func (m *Metrics) admit(s *series) {
	if (m.admitted+1)*perContainer <= m.cfg.MaxSeries {
		s.shown = true
		m.admitted++
	} else if !s.waited {
		s.waited = true
		m.leftOut++
	}
}

func (m *Metrics) drop(s *series) {
	delete(m.series, s.labels)
	m.order = nil
	m.ended = slices.DeleteFunc(m.ended, func(o *series) bool { return o == s })
	if !s.shown {
		return
	}
	if m.admitted--; m.hidden() == 0 {
		return
	}
	var next *series // who has waited longest
	for _, o := range m.series {
		if !o.shown && (next == nil || o.seq < next.seq) {
			next = o
		}
	}
	if next != nil {
		m.admit(next)
	}
}

func (m *Metrics) linger(s *series) {
	if s.endedAt = m.cfg.Now(); !slices.Contains(m.ended, s) {
		m.ended = append(m.ended, s)
	}
}

// Ended tells what a container had at its end. Its counters stay for a while, so that they are scraped once more.
func (m *Metrics) Ended(c *Container) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.set(c)
	s := l.series
	for i, n := range l.counts {
		s.counts[i] += n
	}
	s.closer += l.closer
	s.lives = slices.DeleteFunc(s.lives, func(o *life) bool { return o == l })
	delete(m.lives, c.ID)
	if len(s.lives) == 0 {
		m.linger(s)
	}
}

// expire lets go of what ended a while ago.
func (m *Metrics) expire() {
	now := m.cfg.Now()
	for len(m.ended) > 0 && now.Sub(m.ended[0].endedAt) >= m.cfg.Linger {
		m.drop(m.ended[0])
	}
}

// sorted are the series that are shown, in the order of their labels.
func (m *Metrics) sorted() []*series {
	if m.order == nil {
		m.order = make([]*series, 0, len(m.series))
		for _, s := range m.series {
			m.order = append(m.order, s)
		}
		slices.SortFunc(m.order, func(a, b *series) int { return cmp.Compare(a.labels, b.labels) })
	}
	return m.order
}

// visible says whether a series is written: it has room, and its name is known or has been waited for.
func (m *Metrics) visible(s *series, now time.Time) bool {
	if !s.shown {
		return false
	}
	if !strings.HasPrefix(s.labels, nameless) {
		return true
	}
	for _, l := range s.lives {
		if now.Sub(l.at) >= m.cfg.Nameless {
			return true
		}
	}
	return len(s.lives) == 0
}

func sameName(a, b *Container) bool {
	return a.Namespace == b.Namespace && a.Pod == b.Pod && a.Name == b.Name && a.Unit == b.Unit
}

const nameless = `namespace="",pod="",`

// labelsOf writes the labels of a container: namespace, pod and container, or unit.
func labelsOf(c *Container) string {
	if c.Unit != "" {
		return `unit="` + clean(c.Unit) + `"`
	}
	name := c.Name
	if name == "" {
		name = c.ID[:min(len(c.ID), 12)]
	}
	return `namespace="` + clean(c.Namespace) + `",pod="` + clean(c.Pod) + `",container="` + clean(name) + `"`
}

const maxLabel = 253 // bytes; what Kubernetes allows

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// clean makes a string a label's value: valid UTF-8, bounded, escaped.
func clean(s string) string {
	if len(s) > maxLabel {
		s = strings.ToValidUTF8(s[:maxLabel], "")
	}
	return escape.Replace(strings.ToValidUTF8(s, "\uFFFD"))
}
