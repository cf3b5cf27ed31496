package agent

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/descry-dev/descry/internal/container"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/ladder"
)

// registry knows containers by name: container.Registry.
type registry interface {
	Run(ctx context.Context)
	Get(id string) (container.Info, bool)
	Need(ref container.Ref)
	Forget(id string)
	Changed() <-chan struct{}
	Changes() []container.Info
	Synced() <-chan struct{}
	DiedSince(t time.Time) (died []container.Info, forgotten []container.Forgotten)
	Answers() bool
	Status() []container.Status
}

// openNames asks the container runtimes for names.
func (n *node) openNames(ctx context.Context, beside *sync.WaitGroup) error {
	var endpoints []string
	if n.cfg.RuntimeEndpoint != "" {
		endpoints = []string{n.cfg.RuntimeEndpoint}
	} else if n.cfg.Standalone {
		return nil
	}
	n.names = container.New(container.Options{
		Endpoints: endpoints, HostRoot: n.cfg.HostRoot,
		Log: func(format string, args ...any) { n.log.Info(fmt.Sprintf(format, args...)) },
	})
	beside.Go(func() { n.names.Run(ctx) })
	return nil
}

// mayName says whether a runtime may yet tell a name: one that was never there will not.
func (n *node) mayName() bool {
	for _, st := range n.names.Status() {
		if st.Runtime != "" || !errors.Is(st.Err, container.ErrAbsent) {
			return true
		}
	}
	return false
}

// named takes what the runtimes tell of new.
func (n *node) named() {
	for _, info := range n.names.Changes() {
		s := n.places[info.ID]
		if s == nil {
			if info.Sandbox && (info.Removed || info.State == container.StateExited) {
				n.podEnded(info.PodUID)
			}
			continue
		}
		n.name(s)
	}
}

// name takes what the runtimes know of a subject.
func (n *node) name(s *subject) {
	info, ok := n.names.Get(s.ref.ID)
	if !ok {
		return
	}
	if n.laterLife(s, &info) {
		if s.named {
			if s.unnamed != nil { // all of its own is told
				s.unnamed()
			}
			return
		}
		info.Attempt, info.PID, info.State = max(info.Attempt, 1)-1, 0, container.StateExited
	}
	if s.found == "" && !info.FinishedAt.IsZero() && info.FinishedAt.Before(s.since) { // an earlier life has the name, too
		info.State, info.PID, info.ExitCode, info.Reason = container.StateUnknown, 0, 0, ""
		info.StartedAt, info.FinishedAt = time.Time{}, time.Time{}
	}
	if s.named && !info.StartedAt.IsZero() && info.StartedAt.Equal(s.info.StartedAt) { // Podman counts a life before it begins
		info.Attempt = min(info.Attempt, s.info.Attempt)
	}
	s.info, s.named = info, true
	if info.PodUID != "" {
		s.ref.PodUID = info.PodUID
	}
	if info.Sandbox {
		s.sandbox = true
	}
	if info.PID > 0 && s.main == 0 && s.exit == nil && s.procs[info.PID] != nil && s.procs[info.PID].executed {
		n.lead(s, info.PID, s.procs[info.PID].args)
	}
	n.follow(s)
	n.known(s)
	if s.unnamed != nil && s.introduced() {
		s.unnamed()
	}
}

// startLate is how long after its start an engine may note the time of it: some containers have ended by then.
const startLate = 5 * time.Second

// laterLife says whether what is known is of a later life under the same id, as Docker and Podman have them.
func (n *node) laterLife(s *subject, info *container.Info) bool {
	if s.exit == nil {
		return false
	}
	ended := s.exit.Time()
	if n.places[s.key] == s && (info.PID == 0 || info.PID == s.main) {
		ended = ended.Add(startLate)
	}
	return info.StartedAt.After(ended)
}

// introduced says whether a runtime has told all that a death waits for: an engine's events tell the name alone, not where the
// log is; and only when it says that the container has ended is the log whole. A pod's log is where the kubelet puts it.
func (s *subject) introduced() bool {
	i := &s.info
	return s.named && (s.ref.PodUID != "" || s.sandbox || i.Removed || i.State == container.StateExited && (i.LogPath != "" || i.LogDriver != ""))
}

// maxAliases are the workloads whose command is remembered.
const maxAliases = 4096

// known takes that it is known better whose life a subject is.
func (n *node) known(s *subject) {
	was := s.workload
	s.workload = n.workloadOf(s)
	if was == s.workload {
		return
	}
	if n.steps.Closer(was) {
		n.steps.Gone(bootNanos(), was)
		n.steps.See(bootNanos(), s.workload, ladder.Growth, "it was looked at closer")
	}
	if s.exit != nil || s.sandbox {
		return
	}
	n.begun(s)
	n.again(s)
}

// workloadOf is what stays of a container over its lives: its pod and its name there. As long as nobody has told the
// name, its command stands for it, which also tells a new life before its name is there.
func (n *node) workloadOf(s *subject) string {
	if s.ref.ID == "" {
		return s.cgroup
	}
	command := ""
	if s.ref.PodUID != "" && s.main != 0 {
		h := fnv.New64a()
		io.WriteString(h, strings.Join(s.command, "\x00")) //nolint:errcheck // a hash takes all
		command = fmt.Sprintf("%s/#%x", s.ref.PodUID, h.Sum64())
	}
	switch {
	case s.named && s.ref.PodUID != "" && s.info.Container != "":
		name := s.ref.PodUID + "/" + s.info.Container
		if command != "" {
			if n.aliases == nil || len(n.aliases) >= maxAliases {
				n.aliases = map[string]string{}
			}
			n.aliases[command] = name
		}
		return name
	case command != "":
		if name, ok := n.aliases[command]; ok {
			return name
		}
		return command
	case s.named && s.info.Container != "":
		return s.info.Container // Docker
	}
	return s.ref.ID
}

// fillAfter is how long the events of a gap may take until they are taken.
const fillAfter = 2 * time.Second

// fill makes cases of containers that died while no agent watched: of them the runtime knows how they ended.
func (n *node) fill(ctx context.Context) {
	if n.names == nil || n.state.seen.IsZero() {
		return // what died before the first agent was no agent's
	}
	select {
	case <-n.names.Synced():
	case <-ctx.Done():
		return
	}
	select {
	case <-time.After(fillAfter):
	case <-ctx.Done():
		return
	}
	died, forgotten := n.names.DiedSince(n.state.seen.Add(-sameDeath))
	var had map[string][]time.Time
	for i := range died {
		d := &died[i]
		if d.ExitCode == 0 || d.FinishedAt.After(n.started.Add(fillAfter)) {
			continue
		}
		if had == nil {
			had = n.caseTimes()
		}
		why := fmt.Sprintf("no agent watched when it died; the one before was alive last at %s", n.state.seen.UTC().Format("2006-01-02 15:04:05 MST"))
		n.ask(func() { n.fillOne(d, why, had) })
	}
	for _, f := range forgotten {
		n.log.Warn("lives of a container ended while no agent watched, of which its runtime has kept nothing",
			"container", f.Namespace+"/"+f.Pod+"/"+f.Container, "lives", f.To-f.From+1, "before", f.Before)
	}
}

// caseTimes are the deaths that have a case, by container: an agent may have been killed before it noted that.
func (n *node) caseTimes() map[string][]time.Time {
	out := map[string][]time.Time{}
	entries, _, err := n.book.List()
	if err != nil {
		n.log.Warn("the casebook cannot be read", "error", err)
	}
	for i := range entries {
		if e := &entries[i]; e.ContainerID != "" && e.Kind == evidence.CaseDeath {
			out[e.ContainerID] = append(out[e.ContainerID], e.DiedAt)
		}
	}
	return out
}

// fillOne makes the case of one of them, unless its death was dealt with.
func (n *node) fillOne(d *container.Info, why string, had map[string][]time.Time) {
	if sameMoment(had[d.ID], d.FinishedAt) || !n.ours(d) {
		return
	}
	if n.state.has(d.ID, d.FinishedAt) || n.places[d.ID] != nil && !n.places[d.ID].ended {
		return
	}
	s := &subject{ref: d.Ref, info: *d, named: true, workload: d.ID}
	if d.PodUID != "" {
		s.workload = d.PodUID + "/" + d.Container
	}
	signal := evidence.Signal(0)
	if d.ExitCode > 128 && d.ExitCode < 128+65 {
		signal = evidence.Signal(d.ExitCode - 128)
	}
	if (signal == evidence.SIGTERM || signal == evidence.SIGKILL) && d.Reason != "OOMKilled" && !n.restartedSince(d) {
		return // with its pod, as far as anybody can tell
	}
	at := d.FinishedAt.UTC()
	j := &job{workload: s.workload}
	j.kind, j.subject, j.maps = evidence.CaseDeath, n.words(s), new(mapsBook)
	j.death = &evidence.Death{
		At: at, ExitCode: d.ExitCode, Signal: signal, OOMKilled: d.Reason == "OOMKilled", Reason: d.Reason, Unseen: true,
		Comm: d.Container,
	}
	if !d.StartedAt.IsZero() {
		j.death.UptimeSeconds = at.Sub(d.StartedAt).Seconds()
	}
	j.counters = map[string]int64{}
	j.coverage = []evidence.Coverage{{Source: "probe", Missing: why}, {Source: "output", Missing: why}}
	select {
	case n.jobs <- j:
	default:
		n.after(time.Second, func() { n.fillOne(d, why, had) }) // too many wait to be judged
	}
}

// ours says whether a container that has died was in the scope, as far as its runtime tells where it was.
func (n *node) ours(d *container.Info) bool {
	if n.cfg.Scope == "" || d.Cgroup == "" {
		return true
	}
	return d.Cgroup == n.cfg.Scope || strings.HasPrefix(d.Cgroup, strings.TrimSuffix(n.cfg.Scope, "/")+"/")
}

// restartedSince says whether a later life of the same container of the pod is known.
func (n *node) restartedSince(d *container.Info) bool {
	for _, s := range n.subjects {
		if s.ref.PodUID != "" && s.ref.PodUID == d.PodUID && s.info.Container == d.Container && s.info.Attempt > d.Attempt {
			return true
		}
	}
	return false
}
