//go:build linux

package probe

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// gap is what is to be told of the time in which nobody read.
type gap struct {
	known []*evidence.Observation          // subjects that were there before
	dead  map[uint32]*evidence.Observation // those whose last process has ended, as far as the ring did not tell
}

// Takeover says what was found in Node.Pins; nil where nothing was.
func (s *Set) Takeover() *Takeover {
	if s.env.node == nil || s.env.node.pins == nil {
		return nil
	}
	return s.env.node.pins.taken
}

// takeOver pins what was made, lets go of what was there before, and finds out whom it has watched.
func (s *Set) takeOver() error {
	p := s.env.node.pins
	if p == nil {
		return nil
	}
	// The scope is one, though its cgroups are made one after another, and again.
	if m := s.env.maps["scope"]; m != nil && p.same {
		if err := s.env.node.fill("scope", m); err != nil {
			return fmt.Errorf("widen the scope: %w", err)
		}
	}
	if err := p.commit(s.env.maps); err != nil {
		return err
	}
	if p.taken == nil {
		return nil
	}
	if err := s.setState(nodeAdopting, 0); err != nil {
		return err
	}
	s.gap.dead = map[uint32]*evidence.Observation{}
	now := s.bootNow()
	var number uint32
	var is subjectIs
	for it := s.env.maps["subjects"].Iterate(); it.Next(&number, &is); {
		tell := func(action string) *evidence.Observation {
			d := containerDetail(action, is.Cgroup, is.Unified, is.Path[:], is.PathLen)
			d.Cgroup = s.env.node.seen(d.Cgroup)
			return &evidence.Observation{
				BootNanos: now, WallNanos: now + s.wall.Load(), Source: evidence.SourceKernel,
				PID: int32(is.Main), Subject: number, Detail: d,
			}
		}
		s.gap.known = append(s.gap.known, tell(evidence.ContainerFound))
		if is.MainKnown != 0 {
			s.gap.known = append(s.gap.known, tell(evidence.ContainerMain))
		}
		if is.Procs == 0 {
			s.gap.dead[number] = tell(evidence.ContainerEmpty)
		}
		if is.Look != 0 {
			s.look.left = append(s.look.left, number)
		}
	}
	return nil
}

// before tells who was watched when nobody read: their events follow from the ring.
func (s *Set) before(handle func(*evidence.Observation)) {
	for _, o := range s.gap.known {
		handle(o)
	}
	s.gap.known = nil
	if s.reader.AvailableBytes() == 0 {
		s.after(handle)
	}
}

// after tells, once the ring was read, whose end had been read before by somebody who is no more.
func (s *Set) after(handle func(*evidence.Observation)) {
	for number, o := range s.gap.dead {
		s.endedAt(number, o.BootNanos)
		handle(o)
	}
	s.gap.dead = nil
}
