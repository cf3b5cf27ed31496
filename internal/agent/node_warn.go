package agent

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/descry-dev/descry/internal/casebook"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/forecast"
	"github.com/descry-dev/descry/internal/ladder"
	"github.com/descry-dev/descry/internal/report"
)

// swept takes a process of a sweep: what has not changed is recorded from time to time only.
func (n *node) swept(s *subject, o *evidence.Observation, p *evidence.Process) {
	m := n.join(s, o.PID)
	if m == nil {
		return
	}
	first := m.at == 0
	s.tasks += p.Threads - m.last.Threads
	m.last, m.comm = *p, o.Comm
	if first || o.BootNanos-m.at >= sampleEvery || news(&m.told, p) {
		m.told, m.at = *p, o.BootNanos
		s.rec.Record(o)
	}
	if len(p.Turned) > 0 {
		n.sign(s, o)
	}
	n.forecast(s, m, o, p)
	if sign, why, ok := m.rise.Add(o.BootNanos, p.Open, p.SoftLimit); ok {
		n.see(s, sign, "descriptors: "+why)
	}
	if p.Highest >= manyDescriptors && p.Highest < muchBeyond && p.SoftLimit > forecast.FDSetSize {
		// Whether it uses select() nobody can tell before. The ladder sees to it that this ends.
		n.see(s, ladder.NearLimit, "it has a descriptor of 900 or more: select() overflows at 1024")
	}
}

// news says whether a sample tells what the last one did not.
func news(was, is *evidence.Process) bool {
	return was.Open != is.Open || was.Highest != is.Highest || was.SoftLimit != is.SoftLimit || len(is.Blocked) > 0 || len(is.Stdio) > 0 ||
		was.Threads != is.Threads || is.RSSBytes > was.RSSBytes+was.RSSBytes/8 || is.RSSBytes < was.RSSBytes/2
}

// forecast warns when a limit comes near, and takes that back.
func (n *node) forecast(s *subject, m *member, o *evidence.Observation, p *evidence.Process) {
	if p.Mappings > 0 && n.mappingsMax == 0 {
		n.mappingsMax = maxMapCount()
	}
	m.look.add(o.BootNanos, p, n.mappingsMax, func(e forecast.Event) { n.warn(s, &m.warned, o.PID, o.Comm, &e) })
	if h, ok := m.look.headroom(); ok {
		n.growing(s, &h)
	}
}

// growing takes a forecast for a sign.
func (n *node) growing(s *subject, h *evidence.Headroom) {
	o := evidence.Observation{Detail: h}
	n.sign(s, &o)
}

// mostTold are those who are told to hold most of what runs out.
const mostTold = 3

// most are the processes that hold most of what a limit bounds: memory and mappings by process, tasks by name, since
// it is one program that makes many.
func (s *subject) most(limit string, pid int32) []evidence.Share {
	var all []evidence.Share
	switch limit {
	case forecast.LimitMappings:
		if m := s.procs[pid]; m != nil {
			all = append(all, evidence.Share{Name: m.comm, PID: pid, Processes: 1, Value: m.last.Mappings})
		}
	case forecast.LimitMemory:
		for pid, m := range s.procs {
			all = append(all, evidence.Share{Name: m.comm, PID: pid, Processes: 1, Value: m.last.RSSBytes})
		}
	case forecast.LimitPids:
		of := map[string]int{}
		for pid, m := range s.procs {
			i, known := of[m.comm]
			if !known {
				i = len(all)
				of[m.comm] = i
				all = append(all, evidence.Share{Name: m.comm, PID: pid})
			} else {
				all[i].PID = 0
			}
			all[i].Processes++
			all[i].Value += max(1, m.last.Threads)
		}
	}
	return greatest(all)
}

// greatest keeps the greatest shares, in order.
func greatest(all []evidence.Share) []evidence.Share {
	all = slices.DeleteFunc(all, func(s evidence.Share) bool { return s.Value <= 0 })
	slices.SortFunc(all, func(a, b evidence.Share) int {
		return cmp.Or(-cmp.Compare(a.Value, b.Value), cmp.Compare(a.Name, b.Name), cmp.Compare(a.PID, b.PID))
	})
	return slices.Clone(all[:min(len(all), mostTold)])
}

// warn opens a case of a warning, brings it up to date, or says that it no longer holds. warned are the cases of the
// warnings that hold, by limit.
func (n *node) warn(s *subject, warned *map[string]string, pid int32, comm string, e *forecast.Event) {
	h := e.Headroom
	if e.Kind == forecast.Withdrawn {
		n.log.Info("warning withdrawn", "subject", s.name(), "pid", pid, "what", strings.TrimPrefix(report.Withdrawn(&h), "descry: "))
		n.letGo(*warned, h.Limit)
		return
	}
	var t *evidence.FDTable
	if h.Limit == forecast.LimitNoFile || h.Limit == forecast.LimitFDSetSize {
		var err error
		if t, err = n.set.Table(int(pid)); err == nil {
			h.Group = t.Dominant()
		}
	}
	if h.Most == nil {
		h.Most = s.most(h.Limit, pid)
	}
	x := now(evidence.SourceSample, pid, &h)
	x.Comm = comm
	s.rec.Record(x)
	n.sign(s, x)
	if s.exit != nil {
		return // the case of its death tells
	}
	id, again := (*warned)[h.Limit]
	if !again {
		if *warned == nil {
			*warned = map[string]string{}
		}
		if !n.loops.full(s.workload, evidence.CaseWarning, time.Now()) {
			id = ulid.Make().String()
		}
		(*warned)[h.Limit] = id
	}
	if id == "" {
		return // it is counted on an earlier one
	}
	j := &job{s: s, workload: s.workload, again: again}
	j.id, j.kind, j.limit, j.subject, j.maps = id, evidence.CaseWarning, h.Limit, n.words(s), &s.maps
	j.subject.PID, j.table = pid, t
	j.counters, j.coverage, j.output = n.countersOf(s), n.coverage(s), nil
	s.using++
	select {
	case n.jobs <- j:
	default:
		s.using--
	}
}

// aside does something that waits for the disk.
func (n *node) aside(do func()) {
	select {
	case n.jobs <- &job{do: do}:
	default:
	}
}

// warnFiles tells of the machine's open files. That limit is nobody's own: it is logged, with who holds most, and is a
// case of the one that holds at least half of them, if there is one.
func (n *node) warnFiles(e *forecast.Event) {
	w := &n.around.machine
	w.warned = e.Kind != forecast.Withdrawn
	if !w.warned {
		n.log.Info("warning withdrawn", "what", strings.TrimPrefix(report.Withdrawn(&e.Headroom), "descry: "))
		for _, s := range n.subjects {
			n.letGo(s.warned, forecast.LimitFileMax)
		}
		return
	}
	h := &e.Headroom
	s := n.holdsFiles(h)
	n.log.Warn(strings.TrimPrefix(report.Warning(h, 0), "descry: "))
	if s != nil {
		n.warn(s, &s.warned, s.main, "", e)
	}
}

// holdsFiles says who holds most of the machine's open files, and gives the subject that holds at least half of them,
// nil where none does. A descriptor that was inherited is no open file of its own, so that this is more than there are.
func (n *node) holdsFiles(h *evidence.Headroom) (half *subject) {
	var all []evidence.Share
	most := h.Open / 2
	for _, s := range n.subjects {
		share := evidence.Share{Name: s.name(), Processes: int64(len(s.procs))}
		for _, m := range s.procs {
			share.Value += m.last.Open
		}
		if all = append(all, share); share.Value > most && s.exit == nil && s.main != 0 {
			most, half = share.Value, s
		}
	}
	h.Most = greatest(all)
	return half
}

// letGo takes back a warning that holds.
func (n *node) letGo(warned map[string]string, limit string) {
	if id := warned[limit]; id != "" {
		n.aside(func() { n.withdraw(id, time.Now()) })
	}
	delete(warned, limit)
}

// letGoAll takes back all warnings of a subject that ended as it should.
func (n *node) letGoAll(s *subject) {
	for limit := range s.warned {
		n.letGo(s.warned, limit)
	}
	for _, m := range s.procs {
		for limit := range m.warned {
			n.letGo(m.warned, limit)
		}
	}
}

// withdraw says in a case that its warning no longer holds.
func (n *node) withdraw(id string, at time.Time) {
	c, err := n.book.Get(id)
	if errors.Is(err, casebook.ErrNotFound) || errors.Is(err, casebook.ErrNone) {
		return // its workload had cases enough, or it made room
	}
	if err == nil {
		c.WithdrawnAt = at.UTC()
		_, err = n.book.Put(c)
	}
	if err != nil {
		n.failing.say(n.log, "a warning is not withdrawn in its case", "case", id, "error", err)
	}
}
