package agent

import (
	"strings"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// A container that its runtime ends is no death worth a case when its pod is deleted; it is one when the same
// container is started again in the same pod, as the kubelet does where a liveness or startup probe fails. Which
// of both it is shows later.
const (
	awaitRestart = 6 * time.Minute // the kubelet's longest pause before it starts a container again, and some
	maxAwaited   = 256             // subjects that wait
)

// runtimes are the commands by which containers, and units, are ended on purpose.
var runtimes = []string{"runc", "crun", "youki", "runsc", "containerd-shim", "containerd", "conmon", "conmonrs", "crio", "dockerd", "podman", "systemd"}

// byRuntime says whether a signal comes from who runs the container.
func byRuntime(d *evidence.SignalSent) bool {
	if d.SenderInTree || d.Sender == 0 || d.SenderContainer != "" {
		return false
	}
	for _, r := range runtimes {
		if d.SenderComm == r || strings.HasPrefix(d.SenderComm, "containerd-shim") {
			return true
		}
	}
	return false
}

// asked says whether a subject's end was asked for by its runtime. One that crashes on its way out does so of itself.
func (n *node) asked(s *subject, d *evidence.Exit) bool {
	if s.askedAt == 0 {
		return false
	}
	switch d.Signal {
	case evidence.SIGSEGV, evidence.SIGBUS, evidence.SIGILL, evidence.SIGFPE, evidence.SIGABRT, evidence.SIGSYS, evidence.SIGTRAP:
		return false
	}
	return !s.oom[s.main]
}

// await keeps a subject that was ended on purpose until it is known whether it was started again.
func (n *node) await(s *subject) {
	if s.ref.PodUID == "" || len(n.awaited) >= maxAwaited || n.podGone[s.ref.PodUID] {
		n.silent(s)
		return
	}
	n.awaited[s] = time.Now().Add(awaitRestart)
}

// silent lets go of a subject whose end is no case.
func (n *node) silent(s *subject) {
	delete(n.awaited, s)
	n.decided(s, "")
	n.after(forgetAfter, func() { n.forget(s) })
}

// podEnded takes the end of a pod's sandbox: what was ended with it was so on purpose.
func (n *node) podEnded(uid string) {
	if uid == "" {
		return
	}
	if len(n.podGone) >= maxAwaited {
		clear(n.podGone)
	}
	n.podGone[uid] = true
	for s := range n.awaited {
		if s.ref.PodUID == uid {
			n.silent(s)
		}
	}
}

// again takes a new life of a workload.
func (n *node) again(s *subject) {
	for old := range n.awaited {
		if old.workload == s.workload && old != s && old.ref.PodUID == s.ref.PodUID {
			delete(n.awaited, old)
			n.open(old, evidence.CaseDeath, old.exit, true)
			n.after(forgetAfter, func() { n.forget(old) })
		}
	}
}

// awaitedTooLong lets go of those that were not started again.
func (n *node) awaitedTooLong(at time.Time) {
	for s, until := range n.awaited {
		if at.After(until) {
			n.silent(s)
		}
	}
}
