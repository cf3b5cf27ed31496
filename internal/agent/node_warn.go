package agent

import (
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

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
	m.last = *p
	if first || o.BootNanos-m.at >= sampleEvery || news(&m.told, p) {
		m.told, m.at = *p, o.BootNanos
		s.rec.Record(o)
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

// warn opens a case of a warning, brings it up to date, or says that it no longer holds. warned are the cases of the
// warnings that hold, by limit.
func (n *node) warn(s *subject, warned *map[string]string, pid int32, comm string, e *forecast.Event) {
	h := e.Headroom
	if e.Kind == forecast.Withdrawn {
		n.log.Info("warning withdrawn", "subject", s.name(), "pid", pid, "what", report.Withdrawn(&h))
		if id := (*warned)[h.Limit]; id != "" {
			delete(*warned, h.Limit)
			n.aside(func() { n.withdraw(id, time.Now()) })
		}
		return
	}
	var t *evidence.FDTable
	if h.Limit == forecast.LimitNoFile || h.Limit == forecast.LimitFDSetSize {
		var err error
		if t, err = n.set.Table(int(pid)); err == nil {
			h.Group = t.Dominant()
		}
	}
	x := now(evidence.SourceSample, pid, &h)
	x.Comm = comm
	s.rec.Record(x)
	n.sign(s, x)
	if h.Limit != forecast.LimitNoFile && h.Limit != forecast.LimitFDSetSize {
		// No cause of the catalogue is about what only grows: it is told, and stands in the case of what comes of it.
		n.log.Warn(strings.TrimPrefix(report.Warning(&h, 0), "descry: "), "subject", s.name(), "pid", pid)
		return
	}
	id := (*warned)[h.Limit]
	if id == "" && n.loops.full(s.workload, evidence.CaseWarning, time.Now()) {
		return
	}
	j := &job{s: s, workload: s.workload, again: id != ""}
	if id == "" {
		id = ulid.Make().String()
		if *warned == nil {
			*warned = map[string]string{}
		}
		(*warned)[h.Limit] = id
	}
	j.id, j.kind, j.subject, j.maps = id, evidence.CaseWarning, n.words(s), &s.maps
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

// withdraw says in a case that its warning no longer holds.
func (n *node) withdraw(id string, at time.Time) {
	c, err := n.book.Get(id)
	if err == nil {
		c.WithdrawnAt = at.UTC()
		_, err = n.book.Put(c)
	}
	if err != nil {
		n.log.Warn("a warning is not withdrawn in its case", "case", id, "error", err)
	}
}
