package agent

import (
	"github.com/descry-dev/descry/internal/container"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/ladder"
)

// foundWords says of a subject why it was not watched from its start.
const foundWords = "it ran before descry watched it"

// contained takes what the kernel says of a container.
func (n *node) contained(o *evidence.Observation, d *evidence.Container) {
	s := n.subjects[o.Subject]
	if s != nil && s.earlier && d.Cgroup != "" && d.Cgroup != s.cgroup {
		n.log.Warn("the probes of the agent before were not taken over: containers are found anew", "was", s.cgroup, "is", d.Cgroup)
		delete(n.subjects, s.id) // its number is another's now
		s.rec.Close()
		s = nil
	}
	if s == nil {
		switch d.Action {
		case evidence.ContainerStarted, evidence.ContainerFound:
		default:
			return // it was forgotten
		}
		found := ""
		if d.Action == evidence.ContainerFound {
			found = foundWords
		}
		var err error
		if s, err = n.add(o.Subject, d.Cgroup, found); err != nil {
			n.log.Error("a container is not watched", "cgroup", d.Cgroup, "error", err)
			return
		}
		if found == "" {
			s.since = o.Time()
			n.foreshadow(s)
		}
	}
	s.rec.Record(o)
	switch d.Action {
	case evidence.ContainerStarted, evidence.ContainerFound, evidence.ContainerJoined:
		n.join(s, o.PID)
	case evidence.ContainerMain: // what its runtime started there has executed a program; a runtime may execute itself anew first
		if n.join(s, o.PID); s.main == 0 && s.exit == nil {
			s.told = o.PID
			if command := commandOf(o.PID); s.found != "" && command != nil && !runtimeInit(&evidence.Exec{Path: command[0], Args: command}) {
				n.lead(s, o.PID, command)
			}
		}
	case evidence.ContainerLeft:
		n.leave(s, o.PID)
	case evidence.ContainerEmpty, evidence.ContainerRemoved:
		n.emptied(s)
	}
}

// foreshadow looks closer at a new container of a pod of which one died lately, before it is known which it is: its
// program must not run before.
func (n *node) foreshadow(s *subject) {
	if s.ref.PodUID == "" || n.cfg.NoSyscalls {
		if s.ref.ID == "" && n.steps.Closer(s.workload) { // a unit is known by its name
			n.look(s, true, ladder.EarlierDeath, "it died lately")
		}
		return
	}
	for w := range n.dying {
		if w.pod == s.ref.PodUID && n.steps.Closer(w.workload) {
			n.look(s, true, ladder.EarlierDeath, "it died lately")
			return
		}
	}
}

// pod and workload that died lately.
type dying struct{ pod, workload string }

// emptied takes that no process is left. Where the end of the main one was not seen, nothing more will come of it:
// the runtime may tell.
func (n *node) emptied(s *subject) {
	if s.exit != nil || s.ended {
		return
	}
	s.ended = true
	n.log.Debug("a container has ended and its main process was not seen to", "container", s.name())
	if s.sandbox {
		n.podEnded(s.ref.PodUID)
	}
	n.after(fillAfter, func() {
		if n.names == nil || s.ref.ID == "" {
			return
		}
		if info, ok := n.names.Get(s.ref.ID); ok && info.State == container.StateExited && info.ExitCode != 0 && !info.Sandbox {
			why := "the end of its main process was not seen"
			if s.main == 0 {
				why = "it ended before it had executed its command"
			}
			n.fillOne(&info, why, nil)
		}
	})
	n.after(forgetAfter, func() { n.forget(s) })
}
