//go:build linux

package probe

import (
	"maps"
	"time"
)

// How old counters may be that SubjectCounters gives of a subject that still runs, and for how long late
// events of a forgotten one are thrown away.
const (
	countersAge = int64(100 * time.Millisecond)
	lateEvents  = int64(5 * time.Minute)
)

// SubjectCounters are the counters of one subject, as Counters gives those of the tree. They are whole
// once its last process has ended and the ring was read up to then; of one that still runs they are at
// most a tenth of a second old.
func (s *Set) SubjectCounters(subject uint32) map[string]int64 {
	s.counters.mu.Lock()
	defer s.counters.mu.Unlock()
	// Reading all is what costs, so several that die together share it.
	now := s.bootNow()
	end := s.ended[subject]
	if s.nowAt == 0 || end != 0 && s.nowAt <= end || end == 0 && now-s.nowAt > countersAge {
		s.now = map[uint32]map[string]int64{}
		_ = s.each(func(k *countKey, v *countValue) {
			m := s.now[k.Subject]
			if m == nil {
				m = map[string]int64{}
				s.now[k.Subject] = m
			}
			s.total(k, v, m)
		})
		s.nowAt = now
	}
	sum := maps.Clone(s.totals[subject])
	if sum == nil {
		sum = map[string]int64{}
	}
	add(sum, s.now[subject])
	return sum
}

// Forget lets go of what is kept of a subject whose last observation was read. What is still seen of it
// after that, packets on their way, counts no more.
func (s *Set) Forget(subject uint32) {
	if s.env.node == nil {
		return
	}
	_ = s.Look(subject, false)
	s.counters.mu.Lock()
	delete(s.totals, subject)
	delete(s.now, subject)
	delete(s.ended, subject)
	s.forgotten[subject] = s.bootNow()
	s.counters.mu.Unlock()
	maps := s.env.maps
	var is subjectIs
	if maps["subjects"].LookupAndDelete(subject, &is) != nil {
		return
	}
	var l leaf
	for _, key := range []uint64{is.Cgroup, is.Unified} {
		if maps["leaves"].Lookup(key, &l) == nil && l.Subject == subject {
			_ = maps["leaves"].Delete(key)
		}
	}
	var latest uint32
	if maps["names"].Lookup(is.Name, &latest) == nil && latest == subject {
		_ = maps["names"].Delete(is.Name)
	}
	if m := maps["dns_pace"]; m != nil {
		_ = m.Delete(subject)
	}
}

// letGo ends the throwing away of what comes late. Callers hold s.counters.mu.
func (s *Set) letGo() {
	now := s.bootNow()
	for subject, at := range s.forgotten {
		if now-at > lateEvents {
			delete(s.forgotten, subject)
		}
	}
}

// endedAt takes note of a subject's end.
func (s *Set) endedAt(subject uint32, boot int64) {
	s.counters.mu.Lock()
	s.ended[subject] = boot
	s.counters.mu.Unlock()
}
