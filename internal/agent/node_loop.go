package agent

import (
	"sync"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// Bounds of the cases of one workload, so that one that dies again and again cannot push out the cases of all
// others: of the deaths of an hour the first few have cases of their own, and some more where the cause is
// another one. The others are counted on the newest case that they are like.
const (
	loopWindow  = time.Hour
	loopAnyhow  = 4                // cases of each kind, whatever the cause
	loopMost    = 8                // of each kind
	loopKnown   = 1024             // workloads that are remembered
	loopToldMin = 10 * time.Second // between two times that a case is written anew for its count
)

// loops remembers the newest cases of each workload. Its methods may be called from several goroutines.
type loops struct {
	mu   sync.Mutex
	of   map[loopKey]*loop
	more map[string]*evidence.More // by case, what is not written to it yet
}

type loopKey struct {
	workload string
	kind     evidence.CaseKind
}

type loop struct {
	cases []loopCase // of the last hour, oldest first
	last  time.Time
}

type loopCase struct {
	id, cause string
	at        time.Time
}

// full says whether a workload has so many cases of a kind that another one need not even be judged.
func (l *loops) full(workload string, kind evidence.CaseKind, at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.get(workload, kind, at)
	if len(p.cases) < loopMost {
		return false
	}
	l.count(p.cases[len(p.cases)-1].id, at)
	return true
}

// admit says whether a case is to be kept. One that is not is counted on one that was.
func (l *loops) admit(workload string, c *evidence.Case, at time.Time) bool {
	cause := ""
	if len(c.Findings) > 0 {
		cause = c.Findings[0].Cause
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.get(workload, c.Kind, at)
	onto, known := "", false
	for _, k := range p.cases {
		if k.cause == cause || !known {
			onto = k.id
		}
		known = known || k.cause == cause
	}
	if len(p.cases) < loopAnyhow || !known && len(p.cases) < loopMost {
		p.cases = append(p.cases, loopCase{c.ID, cause, at})
		return true
	}
	l.count(onto, at)
	return false
}

func (l *loops) get(workload string, kind evidence.CaseKind, at time.Time) *loop {
	if l.of == nil {
		l.of = map[loopKey]*loop{}
	}
	key := loopKey{workload, kind}
	p := l.of[key]
	if p == nil {
		l.forget()
		p = new(loop)
		l.of[key] = p
	}
	p.last = at
	for len(p.cases) > 0 && at.Sub(p.cases[0].at) >= loopWindow {
		p.cases = p.cases[1:]
	}
	return p
}

// remember takes a case that an earlier agent kept.
func (l *loops) remember(workload string, kind evidence.CaseKind, id, cause string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.get(workload, kind, at)
	p.cases = append(p.cases, loopCase{id, cause, at})
}

// forget makes room: the workload that had no case for the longest goes.
func (l *loops) forget() {
	if len(l.of) < loopKnown {
		return
	}
	var oldest loopKey
	var at time.Time
	for k, p := range l.of {
		if at.IsZero() || p.last.Before(at) {
			oldest, at = k, p.last
		}
	}
	delete(l.of, oldest)
}

func (l *loops) count(id string, at time.Time) {
	if l.more == nil {
		l.more = map[string]*evidence.More{}
	}
	m := l.more[id]
	if m == nil {
		m = new(evidence.More)
		l.more[id] = m
	}
	m.Count++
	m.LastAt = at.UTC()
}

// take gives what is to be added to cases, and forgets it.
func (l *loops) take() map[string]*evidence.More {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.more
	l.more = nil
	return m
}
