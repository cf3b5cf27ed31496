package agent

import (
	"errors"
	"os"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/ladder"
)

// closer is a time in which a subject's system calls were looked at.
type closer struct {
	from, to time.Time // to is zero while it goes on
	why      string
}

// manyDescriptors is how many ask for a closer look: select() overflows at 1024.
const manyDescriptors = 900

// muchBeyond is so far beyond what select() can take that a program which has come there hardly uses it.
const muchBeyond = 1536

// sign takes what an observation asks for.
func (n *node) sign(s *subject, o *evidence.Observation) {
	if sign, why, ok := ladder.SignOf(o); ok && sign != ladder.EarlierDeath { // a child that ends is everyday
		n.see(s, sign, why)
	}
}

// see takes a sign of a subject.
func (n *node) see(s *subject, sign ladder.Sign, why string) {
	if n.cfg.NoSyscalls || s.sandbox {
		return
	}
	n.step(n.steps.See(bootNanos(), s.workload, sign, why))
	if n.steps.Closer(s.workload) && !s.closer() && s.exit == nil { // a life of it that began before that was known
		n.look(s, true, sign, why)
	}
}

// step does what the ladder says.
func (n *node) step(changes []ladder.Change) {
	for _, c := range changes {
		n.log.Debug("ladder", "change", c.String())
		if c.Closer {
			n.figures.climbs[c.Sign.String()]++
		} else {
			n.figures.descents++
		}
		for _, s := range n.subjects {
			if s.workload == c.Subject && s.exit == nil {
				n.look(s, c.Closer, c.Sign, c.Why)
			}
		}
	}
}

// look begins or ends a closer look at a subject, and records it.
func (n *node) look(s *subject, on bool, sign ladder.Sign, why string) {
	if on == s.closer() {
		return
	}
	d := &evidence.Step{Sign: sign.String(), Why: why}
	if on {
		d.Step = 1
	}
	if err := n.set.Look(s.id, on); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return
		}
		d.Error = err.Error()
		if n.lookFailed == "" || n.lookFailed != d.Error {
			n.lookFailed = d.Error
			n.log.Warn("system calls cannot be looked at", "container", s.name(), "error", err)
		}
	}
	if d.Error == "" && on {
		s.looks = append(s.looks, closer{from: time.Now(), why: why})
		if len(s.looks) > maxLooks {
			s.looks = s.looks[1:]
		}
	} else if d.Error == "" && len(s.looks) > 0 {
		s.looks[len(s.looks)-1].to = time.Now()
	}
	if d.Error == "" {
		n.logs.closer(s.id, on)
	}
	s.rec.Record(now(evidence.SourceRuntime, s.main, d))
}

// maxLooks are the closer looks of a subject that are remembered.
const maxLooks = 16

// closer says whether the subject is looked at closer now.
func (s *subject) closer() bool {
	return len(s.looks) > 0 && s.looks[len(s.looks)-1].to.IsZero()
}

// begun looks closer at a new life of a workload that asks for it.
func (n *node) begun(s *subject) {
	if n.steps.Closer(s.workload) {
		n.look(s, true, ladder.EarlierDeath, "it died lately")
	} else if s.closer() { // it was taken for another container of its pod
		n.look(s, false, ladder.EarlierDeath, "it is another container of the pod that died lately")
	}
}

// died asks for a closer look at the next life of a workload.
func (n *node) died(s *subject) {
	if len(n.dying) >= maxAliases {
		clear(n.dying)
	}
	n.dying[dying{s.ref.PodUID, s.workload}] = true
	n.see(s, ladder.EarlierDeath, "it died lately")
}
