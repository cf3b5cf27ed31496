package agent

import (
	"time"

	"github.com/descry-dev/descry/internal/diagnose"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/report"
)

// Times around a death.
const (
	settleTime = 20 * time.Millisecond  // until what came with a death is there: the ends of other processes, the last output
	childTime  = 500 * time.Millisecond // until a child's death is one of its own: its parent may pass it on
	nodeFlush  = time.Second            // how long the kernel's last events are waited for
)

// job is a case to be made, outside of the owner.
type job struct {
	s *subject
	material
	late bool // the kernel's last events did not come in time
}

// exited takes the end of a process of a subject.
func (n *node) exited(s *subject, o *evidence.Observation, d *evidence.Exit) {
	m := s.procs[o.PID]
	delete(s.procs, o.PID)
	if n.pids[o.PID] == s {
		delete(n.pids, o.PID)
	}
	if s.main == 0 && m != nil && m.executed && n.outside(s, d.Parent) { // it ended before it was looked at
		s.main = o.PID
	}
	switch {
	case o.PID == s.main && s.exit == nil:
		s.exit = o
		n.after(settleTime, func() { n.settle(func(late bool) { n.bury(s, late) }) })
	case s.exit == nil && s.main != 0 && faulted(d):
		n.after(childTime, func() {
			if s.exit == nil {
				n.settle(func(late bool) { n.mourn(s, o, d, late) })
			}
		})
	}
}

// faulted says whether a process died as nobody wishes a child to.
func faulted(d *evidence.Exit) bool {
	return crashed(d, &evidence.Case{}, 0)
}

// settle has the owner go on when all that the kernel has said by now was taken.
func (n *node) settle(then func(late bool)) {
	go func() {
		late := !n.set.Flush(nodeFlush)
		n.post(message{do: func() { then(late) }})
	}()
}

// bury makes a case of a subject whose main process has ended.
func (n *node) bury(s *subject, late bool) {
	if s.ended {
		return
	}
	s.ended = true
	d := s.exit.Detail.(*evidence.Exit)
	if d.ExitCode != 0 || d.Signal != 0 {
		n.open(s, evidence.CaseDeath, s.exit, late)
	}
	n.after(forgetAfter, func() { n.forget(s) })
}

// forgetAfter is how long the dead are remembered.
const forgetAfter = 30 * time.Second

// mourn makes a case of a child that died while its parent lives on.
func (n *node) mourn(s *subject, o *evidence.Observation, _ *evidence.Exit, late bool) {
	if s.exit == nil {
		n.open(s, evidence.CaseChildDeath, o, late)
	}
}

// open hands what is known of a death to those who judge.
func (n *node) open(s *subject, kind evidence.CaseKind, o *evidence.Observation, late bool) {
	j := &job{s: s, late: late}
	j.kind, j.subject, j.maps = kind, s.words(), &s.maps
	j.death = deathOf(o, o.Detail.(*evidence.Exit))
	j.counters = map[string]int64{}
	j.coverage = n.coverage(s, late)
	select {
	case n.jobs <- j:
	default:
		n.log.Warn("a death is not kept: too many at once", "container", s.name())
	}
}

// deathOf is a death as the kernel told it.
func deathOf(o *evidence.Observation, d *evidence.Exit) *evidence.Death {
	return &evidence.Death{
		At: o.Time(), BootNanos: o.BootNanos, PID: o.PID, Comm: o.Comm, ExitCode: d.ExitCode, Signal: d.Signal, CoreDumped: d.CoreDumped,
		UptimeSeconds: float64(o.BootNanos-d.StartNanos) / 1e9, MaxRSSBytes: d.MaxRSSBytes,
		UserSeconds: float64(d.UserNanos) / 1e9, SystemSeconds: float64(d.SystemNanos) / 1e9,
	}
}

// coverage says what watched a subject, and from when on.
func (n *node) coverage(s *subject, late bool) []evidence.Coverage {
	var out []evidence.Coverage
	lost := n.set.Lost()
	now := time.Now().UTC()
	for _, st := range n.set.Status() {
		v := evidence.Coverage{Source: st.Name, By: st.By, Missing: st.Missing, Lost: lost[st.Name]}
		if st.Missing == "" {
			v.From, v.To = s.since.UTC(), now
			if s.found {
				v.Partial = "it ran before descry watched it"
			}
		}
		if late {
			v.Lost++
		}
		out = append(out, v)
	}
	return append(out, evidence.Coverage{Source: "output", Missing: "the agent does not read it"})
}

// judge makes cases until there are no more jobs.
func (n *node) judge() {
	for j := range n.jobs {
		j.all = j.s.rec.Observations()
		c := j.assemble()
		c.FDTable = tableOf(c)
		diagnose.Judge(c)
		_, err := n.book.Put(c)
		if err != nil {
			n.log.Error("a case is not kept", "container", j.s.name(), "error", err)
			continue
		}
		n.log.Info(report.Headline(c), "why", "descry why "+c.ID)
	}
}

// forget lets go of a subject that is dead.
func (n *node) forget(s *subject) {
	for pid := range s.procs {
		if n.pids[pid] == s {
			delete(n.pids, pid)
		}
	}
	delete(n.subjects, s.id)
	for key, other := range n.places {
		if other == s {
			delete(n.places, key)
		}
	}
	n.set.Forget(s.id)
	if s.root != nil {
		s.root.Close()
	}
	s.rec.Close()
}
