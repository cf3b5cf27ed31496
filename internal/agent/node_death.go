package agent

import (
	"cmp"
	"slices"
	"time"

	"github.com/descry-dev/descry/internal/diagnose"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/report"
)

// Times around a death.
const (
	settleTime  = 20 * time.Millisecond  // until what came with a death is there: the ends of other processes, the last output
	childTime   = 500 * time.Millisecond // until a child's death is one of its own: its parent may pass it on
	nodeFlush   = time.Second            // how long the kernel's last events are waited for
	forgetAfter = 30 * time.Second       // how long the dead are remembered, at the least
	nameTime    = 50 * time.Millisecond  // how long a death waits for a name where no runtime can be asked: one may come back
	askedTime   = 5 * time.Second        // likewise, where one can be: Podman takes half a second on a busy machine
	podNameTime = 20 * time.Second       // likewise, of a container of a pod: its name will come, however busy the runtime is, if there is one
)

// job is a case to be made, outside of the owner.
type job struct {
	s        *subject // nil: nothing of it was recorded
	workload string
	material
	more  []*evidence.Observation // that are not in its recording
	table *evidence.FDTable       // of a warning
	again bool                    // its case is there already, and is brought up to date
	do    func()                  // in place of all that
}

// exited takes the end of a process of a subject.
func (n *node) exited(s *subject, o *evidence.Observation, d *evidence.Exit) {
	m := s.procs[o.PID]
	if s.main == 0 && s.exit == nil && m != nil && m.executed && n.outside(s, d.Parent) { // it ended before it was looked at
		n.lead(s, o.PID, m.args)
	}
	if m != nil && o.PID != s.main {
		for limit := range m.warned { // what grew has gone with it
			n.letGo(m.warned, limit)
		}
	}
	n.leave(s, o.PID)
	switch {
	case o.PID == s.main && s.exit == nil:
		s.exit = o
		n.keepPinned(s, false)
		n.lastAround(s)
		n.measureEnd(s)
		n.soon(settleTime, func() { n.settle(s, s.main, func(late bool) { n.bury(s, late) }) })
	case s.exit == nil && s.main != 0 && !s.sandbox && faulted(s, o, d):
		n.soon(childTime, func() {
			if s.exit == nil {
				n.settle(s, o.PID, func(late bool) { n.mourn(s, o, late) })
			} else {
				n.pending--
			}
		})
	}
}

// faulted says whether a child died as nobody wishes one to.
func faulted(s *subject, o *evidence.Observation, d *evidence.Exit) bool {
	if d.Signal == evidence.SIGKILL {
		return s.oom[o.PID]
	}
	return crashed(d, &evidence.Case{}, o.PID)
}

// soon has the owner go on with a death later, or at once when it is to end.
func (n *node) soon(d time.Duration, do func()) {
	n.pending++
	if n.stopping {
		d = 0
	}
	n.after(d, do)
}

// settle has the owner go on when all that the kernel has said by now was taken, and all that s has written; and the core of a process of it is there.
func (n *node) settle(s *subject, pid int32, then func(late bool)) {
	wrote := false
	if s.exit != nil {
		d, ok := s.exit.Detail.(*evidence.Exit)
		wrote = ok && d.AtEnd != nil && d.AtEnd.Written > 0
	}
	go func() {
		late := !n.set.Flush(nodeFlush)
		n.read(s, pid, wrote)
		n.post(message{do: func() {
			n.pending--
			then(late)
		}})
	}()
}

// bury decides what becomes of a death: a case, nothing, or a case if it turns out that nobody wished for it.
func (n *node) bury(s *subject, late bool) {
	if s.ended {
		return
	}
	later := n.places[s.key] != s // life: nothing more will be told of this one
	if later && !s.named && n.names != nil && s.ref.ID != "" {
		n.name(s)
	}
	if !s.introduced() && !later && n.names != nil && !n.stopping && s.ref.ID != "" && !s.waited {
		s.waited = true
		wait := nameTime
		switch {
		case s.ref.PodUID != "" && n.mayName():
			wait = podNameTime
		case n.names.Answers():
			wait = askedTime
		}
		s.unnamed = func() { // its log is known with its name
			s.unnamed = nil
			n.settle(s, s.main, func(later bool) { n.bury(s, late || later) })
		}
		n.soon(wait, func() {
			if s.unnamed != nil {
				s.unnamed()
			}
		})
		return
	}
	s.ended, s.late = true, late
	d := s.exit.Detail.(*evidence.Exit)
	well := d.ExitCode == 0 && d.Signal == 0
	switch {
	case s.sandbox:
		n.podEnded(s.ref.PodUID)
	case n.asked(s, d):
		n.letGoAll(s)
		n.await(s)
		return
	case well && !n.logs.turned(s.id):
		n.letGoAll(s)
		n.decided(s, "")
	default:
		n.open(s, evidence.CaseDeath, s.exit, false)
		if !well {
			n.died(s)
		}
	}
	n.after(forgetAfter, func() { n.forget(s) })
}

// mourn makes a case of a child that died while its parent lives on.
func (n *node) mourn(s *subject, o *evidence.Observation, late bool) {
	if s.exit == nil {
		s.late = s.late || late
		n.open(s, evidence.CaseChildDeath, o, false)
	}
}

// open hands what is known of a death to those who judge.
func (n *node) open(s *subject, kind evidence.CaseKind, o *evidence.Observation, restarted bool) {
	if n.loops.full(s.workload, kind, o.Time()) {
		n.decided(s, "")
		n.log.Debug("a death is only counted: its workload has cases enough", "container", s.name())
		return
	}
	j := &job{s: s, workload: s.workload}
	j.kind, j.subject, j.maps = kind, n.words(s), &s.maps
	j.death = deathOf(o, o.Detail.(*evidence.Exit))
	j.death.Restarted = restarted
	j.death.Reason = s.info.Reason
	j.counters = n.countersOf(s)
	j.coverage = n.coverage(s)
	j.more = n.machineOf(s)
	s.using++
	select {
	case n.jobs <- j:
	default:
		s.using--
		n.failing.say(n.log, "a death is not judged: too many at once", "container", s.name())
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

// countersOf are the counters of one subject.
func (n *node) countersOf(s *subject) map[string]int64 {
	out := n.set.SubjectCounters(s.id)
	n.logs.counters(s.id, out)
	for _, dropped := range s.rec.Dropped() {
		out[evidence.CountDropped] += dropped
	}
	return out
}

// judge makes cases until there are no more jobs.
func (n *node) judge() {
	for j := range n.jobs {
		if j.do != nil {
			j.do()
			continue
		}
		if j.s != nil {
			j.all = append(j.s.rec.Observations(), j.more...)
			slices.SortStableFunc(j.all, func(a, b *evidence.Observation) int { return cmp.Compare(a.BootNanos, b.BootNanos) })
			j.output = n.lastOutput(j.s)
		}
		c := j.assemble()
		c.Core = n.coreOf(j)
		if c.FDTable = j.table; c.Death != nil {
			c.FDTable = tableOf(c)
			n.lookAtFiles(j.s, c)
		}
		diagnose.Judge(c)
		kept := n.keep(j, c)
		n.post(message{do: func() { n.judged(j, c, kept) }})
	}
}

// keep puts a case into the casebook, and says whether it is there.
func (n *node) keep(j *job, c *evidence.Case) bool {
	if !j.again && !n.loops.admit(j.workload, c, c.OpenedAt) {
		return false
	}
	if j.again {
		was, err := n.book.Get(c.ID)
		if err != nil {
			return false // its workload had cases enough, or it made room
		}
		c.OpenedAt, c.More, c.WithdrawnAt = was.OpenedAt, was.More, was.WithdrawnAt // what others have added to it
	}
	dropped, err := n.book.Put(c)
	n.dropped.Add(int64(dropped))
	if err != nil {
		n.unkept.Add(1)
		n.failing.say(n.log, "a case is not kept", "subject", report.Headline(c), "error", err)
		return false
	}
	args := []any{}
	if len(c.Findings) > 0 {
		args = append(args, "summary", c.Findings[0].Summary)
	}
	n.log.Info(report.Headline(c), append(args, "more", "descry why "+c.ID)...)
	return true
}

// judged goes on after a case was made.
func (n *node) judged(j *job, c *evidence.Case, kept bool) {
	if j.s != nil {
		if j.s.using--; j.s.using == 0 && j.s.exit != nil && c.Kind == evidence.CaseDeath {
			j.s.memory = 0
			j.s.rec.Bound(0) // all that it is for is done
		}
	}
	id := ""
	if kept {
		id = c.ID
	}
	cause := ""
	if len(c.Findings) > 0 {
		cause = c.Findings[0].Cause
	}
	if c.Kind == evidence.CaseDeath {
		n.state.decided(record{Container: j.subject.ContainerID, At: c.Death.At, Case: id, Workload: j.workload, Kind: c.Kind, Cause: cause})
	} else if kept && !j.again {
		n.state.decided(record{At: c.OpenedAt, Case: id, Workload: j.workload, Kind: c.Kind, Cause: cause})
	}
	n.measureCase(c, kept)
}

// forget lets go of a subject that is dead.
func (n *node) forget(s *subject) {
	if s.using > 0 || n.book == nil {
		n.after(time.Second, func() { n.forget(s) })
		return
	}
	if n.subjects[s.id] != s {
		return
	}
	for pid := range s.procs {
		n.leave(s, pid)
	}
	delete(n.subjects, s.id)
	if n.places[s.key] == s {
		delete(n.places, s.key)
	}
	n.unplace(s)
	n.logs.leave(s.id)
	n.keepPinned(s, true)
	n.set.Forget(s.id)
	if n.names != nil && s.ref.ID != "" && n.places[s.ref.ID] == nil {
		n.names.Forget(s.ref.ID)
	}
	if s.root != nil {
		s.root.Close()
	}
	s.rec.Close()
}
