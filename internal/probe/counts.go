//go:build linux

package probe

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"

	"github.com/descry-dev/descry/internal/evidence"
)

// counters are the repeated events: counted in the kernel, exactly, and read from time to time.
type counters struct {
	mu           sync.Mutex
	seen         map[countKey]uint64         // as of the last Counts
	connectPeers map[countKey]connectPeer    // whose connects failed
	dead         map[process]bool            // whose counters can go
	totals       map[uint32]map[string]int64 // by subject, of counters that are gone
	keys         []countKey
	now          map[uint32]map[string]int64 // by subject, of counters that are there, as of nowAt
	nowAt        int64                       // boot time; 0: not read
	ended        map[uint32]int64            // subjects whose last process has ended, and when
	forgotten    map[uint32]int64            // by subject, when: what comes late is of no use
	values       []countValue
	unread       atomic.Int64 // events that could not be decoded
}

// process is one of a subject: a number is used again, by another subject's too.
type process struct{ subject, pid uint32 }

// of gives the totals of a subject. Callers hold c.mu.
func (c *counters) of(subject uint32) map[string]int64 {
	t := c.totals[subject]
	if t == nil {
		t = map[string]int64{}
		c.totals[subject] = t
	}
	return t
}

func (c *counters) init() {
	c.seen, c.dead, c.totals = map[countKey]uint64{}, map[process]bool{}, map[uint32]map[string]int64{}
	c.ended, c.forgotten = map[uint32]int64{}, map[uint32]int64{}
}

// each visits all counters of the kernel.
func (s *Set) each(visit func(*countKey, *countValue)) error {
	m := s.env.maps["counts"]
	if m == nil {
		return nil
	}
	const batch = 512
	if s.keys == nil {
		s.keys, s.values = make([]countKey, batch), make([]countValue, batch)
	}
	var at ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&at, s.keys, s.values, nil)
		for i := range n {
			visit(&s.keys[i], &s.values[i])
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read counters: %w", err)
		}
	}
}

// Counts hands on one observation for each counter that has changed since the last call, with its
// present count, timed at its last event. Counters of processes that are gone are forgotten then;
// Counters keeps their sum.
func (s *Set) Counts(handle func(*evidence.Observation)) error {
	if err := s.setWall(); err != nil {
		return err
	}
	s.counters.mu.Lock()
	defer s.counters.mu.Unlock()
	gone := func(p process) bool { return s.dead[p] || s.forgotten[p.subject] != 0 }
	s.nowAt = 0 // what was counted live stands in totals from now on
	var old []countKey
	err := s.each(func(k *countKey, v *countValue) {
		if gone(process{k.Subject, k.PID}) {
			old = append(old, *k)
		}
		if s.seen[*k] == v.N || int(k.Type) >= eventTypes {
			return
		}
		s.seen[*k] = v.N
		e := s.byType[k.Type]
		if e == nil || e.Counted == nil {
			return
		}
		o := &evidence.Observation{
			BootNanos: int64(v.LastNS), WallNanos: int64(v.LastNS) + s.wall.Load(),
			Source: evidence.SourceKernel, PID: int32(k.PID), Subject: k.Subject,
		}
		if o.Detail = e.Counted(s, k, v); o.Detail != nil {
			handle(o)
		} else {
			delete(s.seen, *k) // what is known of it may be on its way in the ring
		}
	})
	for i := range old {
		var v countValue
		if s.env.maps["counts"].LookupAndDelete(&old[i], &v) == nil && s.forgotten[old[i].Subject] == 0 {
			s.total(&old[i], &v, s.of(old[i].Subject))
		}
		delete(s.seen, old[i])
	}
	for _, p := range s.probes {
		if p.Tally != nil && s.active(p) {
			err = errors.Join(err, p.Tally(s, gone, handle))
		}
	}
	clear(s.dead)
	s.letGo()
	return err
}

func (s *Set) total(k *countKey, v *countValue, into map[string]int64) {
	if int(k.Type) >= eventTypes {
		return
	}
	if e := s.byType[k.Type]; e != nil && e.Total != nil {
		e.Total(k, v, func(name string, n int64) { into[name] += n })
	}
}

// Counters gives the whole counters of the tree, by the names in evidence (CountFDRefused …).
func (s *Set) Counters() map[string]int64 {
	s.counters.mu.Lock()
	defer s.counters.mu.Unlock()
	sum := map[string]int64{}
	for _, t := range s.totals {
		add(sum, t)
	}
	_ = s.each(func(k *countKey, v *countValue) { s.total(k, v, sum) })
	return sum
}

// add adds counters; of a duration the longest counts.
func add(sum, more map[string]int64) {
	for name, n := range more {
		if name == evidence.CountDNSSlowest {
			sum[name] = max(sum[name], n)
			continue
		}
		sum[name] += n
	}
}

// died lets the counters of a process go at the next Counts.
func (s *Set) died(p process) {
	s.counters.mu.Lock()
	s.dead[p] = true
	s.counters.mu.Unlock()
}

// addTotal adds to a total of what was counted outside the map of counters.
func (s *Set) addTotal(subject uint32, name string, n int64) {
	if n == 0 {
		return
	}
	s.counters.mu.Lock()
	s.of(subject)[name] += n
	s.counters.mu.Unlock()
}
