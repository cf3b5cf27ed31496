//go:build linux

package probe

// Status says what one probe is made of, or why it is missing.
type Status struct {
	Name    string // "probe/exit"
	By      string // "tp_btf/sched_process_exit"; empty where it is missing
	Missing string // the reason; empty where it is active
	Cost    string // what the user loses where it is missing
	Since   string // least Linux version
}

// Status lists all probes. It waits for those that are loaded while the subject starts.
func (s *Set) Status() []Status {
	<-s.later
	s.mu.Lock()
	defer s.mu.Unlock()
	out := append([]Status(nil), s.status...)
	if s.env.node != nil && s.withoutUnified() {
		for i := range out {
			if s.leafed[out[i].Name] != nil && out[i].Missing == "" {
				out[i].By, out[i].Missing = "", "the containers that run have cgroups of version 1 alone, and a packet tells version 2 only"
			}
		}
	}
	return out
}

// withoutUnified says that containers run, and none has a cgroup of version 2.
func (s *Set) withoutUnified() bool {
	m := s.env.maps["subjects"]
	if m == nil {
		return false
	}
	var number uint32
	var is subjectIs
	some := false
	for it := m.Iterate(); it.Next(&number, &is); {
		if is.Procs > 0 && is.Unified != 0 {
			return false
		}
		some = some || is.Procs > 0
	}
	return some
}

// Read gives how many observations came out of the ring of events, by the name of the probe. What was only
// counted in the kernel is not among them.
func (s *Set) Read() map[string]int64 {
	out := map[string]int64{}
	for typ := range s.read {
		if n := s.read[typ].Load(); n > 0 && s.owner[typ] != "" {
			out[s.owner[typ]] += n
		}
	}
	return out
}

// Lost counts the events that found no room, by the name of their probe.
func (s *Set) Lost() map[string]int64 {
	out := map[string]int64{}
	m := s.env.maps["lost"]
	if m == nil {
		return out
	}
	for typ := range uint32(eventTypes) {
		var n uint64
		if s.owner[typ] != "" && m.Lookup(typ, &n) == nil && n > 0 {
			out[s.owner[typ]] += int64(n)
		}
	}
	for name, missed := range s.missed {
		if missed == nil {
			continue
		}
		if n := missed(); n > 0 {
			out[name] += n
		}
	}
	if n := s.unread.Load(); n > 0 {
		out["probe"] += n
	}
	return out
}
