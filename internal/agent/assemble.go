package agent

import (
	"runtime"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/descry-dev/descry/internal/diagnose"
	"github.com/descry-dev/descry/internal/evidence"
)

// material is what a case is made of, of one subject.
type material struct {
	id       string // of the case; "": a new one
	kind     evidence.CaseKind
	limit    string // of a warning
	subject  evidence.Subject
	all      []*evidence.Observation
	maps     *mapsBook
	death    *evidence.Death // nil: none
	counters map[string]int64
	coverage []evidence.Coverage
	output   *evidence.LastOutput
}

// assemble puts together what a case holds before it is judged.
func (m *material) assemble() *evidence.Case {
	timeline, left := story(m.all, m.subject.PID)
	m.maps.unwind(timeline)
	link(timeline)
	c := &evidence.Case{
		ID: m.id, Kind: m.kind, OpenedAt: time.Now().UTC(), Descry: descryVersion(),
		Host:       evidence.Host{Kernel: kernelRelease(), Arch: runtime.GOARCH},
		Subject:    m.subject,
		Death:      m.death,
		Timeline:   timeline,
		Counters:   m.counters,
		Coverage:   m.coverage,
		LastOutput: m.output,
		Limit:      m.limit,
	}
	if c.ID == "" {
		c.ID = ulid.Make().String()
	}
	if c.Kind == "" {
		c.Kind = evidence.CaseDeath
	}
	c.Counters[evidence.CountDropped] += left
	if c.Death != nil {
		completeDeath(c)
	}
	return c
}

// completeDeath adds to the death what the kernel said of it.
func completeDeath(c *evidence.Case) {
	d := c.Death
	var sent *evidence.SignalSent
	var exit *evidence.Observation
	for i := range c.Timeline {
		o := &c.Timeline[i]
		if o.PID != d.PID || d.PID == 0 {
			continue
		}
		switch x := o.Detail.(type) {
		case *evidence.SignalSent:
			if d.Signal != 0 && x.Signal == d.Signal {
				sent = x
			}
		case *evidence.OOM:
			d.OOMKilled = true
		case *evidence.Exit:
			exit = o
		}
	}
	if exit != nil {
		d.At, d.BootNanos = exit.Time(), exit.BootNanos
		if x := exit.Detail.(*evidence.Exit); x.StartNanos != 0 {
			d.UptimeSeconds = float64(exit.BootNanos-x.StartNanos) / 1e9
		}
		if exit.Comm != "" {
			d.Comm = exit.Comm
		}
	}
	switch {
	case sent != nil && sent.Sender == 0:
		d.SentBy = &evidence.Sender{Comm: "kernel"}
	case sent != nil:
		d.SentBy = sent.From()
	}
}

// turnToChild makes a case of a command that ended well the case of its child that did not, and says
// whether there was one.
func turnToChild(c *evidence.Case) bool {
	for i := range c.Timeline {
		o := &c.Timeline[i]
		x, ok := o.Detail.(*evidence.Exit)
		if ok && o.PID != c.Subject.PID && crashed(x, c, o.PID) {
			c.Kind = evidence.CaseChildDeath
			c.Death.At, c.Death.BootNanos, c.Death.PID, c.Death.Comm = o.Time(), o.BootNanos, o.PID, o.Comm
			c.Death.ExitCode, c.Death.Signal, c.Death.CoreDumped = x.ExitCode, x.Signal, x.CoreDumped
			c.Death.UptimeSeconds = float64(o.BootNanos-x.StartNanos) / 1e9
			return true
		}
	}
	return false
}

// crashed tells a child's death that nobody wished for from those that shells and supervisors bring
// about all the time (SIGPIPE at the end of a pipeline, SIGTERM to a worker).
func crashed(x *evidence.Exit, c *evidence.Case, pid int32) bool {
	switch x.Signal {
	case evidence.SIGSEGV, evidence.SIGBUS, evidence.SIGILL, evidence.SIGFPE, evidence.SIGABRT, evidence.SIGSYS, evidence.SIGXCPU, evidence.SIGXFSZ:
		return true
	case evidence.SIGKILL:
		for i := range c.Timeline {
			if _, ok := c.Timeline[i].Detail.(*evidence.OOM); ok && c.Timeline[i].PID == pid {
				return true
			}
		}
	}
	return false
}

// tableOf is the descriptor table of the process that the judgement is about: at its death, or at its
// first refusal where a runtime has closed most of it in between.
func tableOf(c *evidence.Case) *evidence.FDTable {
	about := diagnose.Culprit(c)
	var table *evidence.FDTable
	for i := range c.Timeline {
		if c.Timeline[i].PID != about {
			continue
		}
		switch d := c.Timeline[i].Detail.(type) {
		case *evidence.FDRefused:
			if table == nil {
				table = d.FDs
			}
		case *evidence.Exit:
			if d.FDs != nil && (table == nil || d.FDs.Open*2 > table.Open) {
				table = d.FDs
			}
		}
	}
	return table
}
