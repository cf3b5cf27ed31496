//go:build cluster

package suite

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

// status is what the API says of one container.
type status struct {
	uid, pod, container, image string
	restarts                   int
	running, ended             string           // ids of the container that runs or has ended now
	exits                      map[string]int32 // by id: of this one, if it ended, and the one before
	deaths                     int              // so far; those that ended with 0 are among them
}

type podList struct {
	Items []struct {
		Metadata struct{ Name, UID string }
		Status   struct{ ContainerStatuses, InitContainerStatuses []containerStatus }
	}
}

type containerStatus struct {
	Name, Image, ContainerID string
	RestartCount             int
	State, LastState         struct {
		Running    *struct{}
		Terminated *struct {
			ExitCode    int32
			ContainerID string
		}
	}
}

// statuses asks the API for all containers of a namespace.
func statuses(t *testing.T, namespace string) []status {
	t.Helper()
	var list podList
	if err := json.Unmarshal([]byte(kubectl(t, "-n", namespace, "get", "pods", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	var out []status
	for _, p := range list.Items {
		for _, c := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
			s := status{uid: p.Metadata.UID, pod: p.Metadata.Name, container: c.Name, image: c.Image, restarts: c.RestartCount, deaths: c.RestartCount, exits: map[string]int32{}}
			if e := c.LastState.Terminated; e != nil {
				s.exits[bare(e.ContainerID)] = e.ExitCode
			}
			switch e := c.State.Terminated; {
			case e != nil:
				s.ended = bare(e.ContainerID)
				s.exits[s.ended] = e.ExitCode
				s.deaths++
			case c.State.Running != nil:
				s.running = bare(c.ContainerID)
			default: // it waits to be started again
				if c.LastState.Terminated != nil {
					s.deaths++
				}
			}
			out = append(out, s)
		}
	}
	return out
}

func bare(id string) string {
	_, id, _ = strings.Cut(id, "://")
	return id
}

// key names a container over all its restarts.
func key(pod, container string) string { return pod + "/" + container }

// deaths are the cases of deaths by container, in order.
func deaths(cases []*evidence.Case) map[string][]*evidence.Case {
	out := map[string][]*evidence.Case{}
	for _, c := range cases {
		if c.Kind == evidence.CaseDeath {
			k := key(c.Subject.Pod, c.Subject.Container)
			out[k] = append(out[k], c)
		}
	}
	return out
}

// check says what is wrong with the cases, given what the workloads die of.
func check(namespace string, list []workload, cases []*evidence.Case, truth []status) []string {
	var wrong []string
	complain := func(c *evidence.Case, format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf(format, args...)+"\n    "+show(c))
	}
	ids := map[string]*evidence.Case{}
	for _, c := range cases {
		s := c.Subject
		w := workloadOf(list, s.Pod)
		if w == nil || s.Namespace != namespace && !(w.file && s.Namespace == namespace) {
			complain(c, "it names no pod of ours")
			continue
		}
		d := w.death(s.Container)
		if d == nil {
			complain(c, "a case of a container that is well (%s)", w.why)
			continue
		}
		if s.Image != d.image {
			complain(c, "the image is %q, not %q", s.Image, d.image)
		}
		for _, st := range truth {
			if st.pod != s.Pod || st.container != s.Container {
				continue
			}
			if s.PodUID != st.uid && !w.file { // the API shows a mirror of a static pod, which has another
				complain(c, "the pod's uid is %q, not %q", s.PodUID, st.uid)
			}
			if exit, ok := st.exits[s.ContainerID]; ok && c.Kind == evidence.CaseDeath && c.Death.ExitCode != exit {
				complain(c, "the exit code is %d, and %d to the runtime", c.Death.ExitCode, exit)
			}
			number := -1
			switch {
			case s.ContainerID == st.running, s.ContainerID == st.ended:
				number = st.restarts
			case len(st.exits) > 0 && has(st.exits, s.ContainerID):
				number = st.restarts - 1
			}
			if number >= 0 && (st.running != "" || st.ended != "") && restarts(c) != number {
				complain(c, "the restart count is %d, and %d to the API", restarts(c), number)
			}
		}
		if c.Kind == evidence.CaseDeath {
			if was := ids[s.ContainerID]; was != nil {
				complain(c, "a death twice: %s", was.ID)
			}
			ids[s.ContainerID] = c
		}
		wrong = append(wrong, d.check(c)...)
	}
	return wrong
}

func has(m map[string]int32, k string) bool { _, ok := m[k]; return ok }

// check says what is wrong with one case of a container that dies so.
func (d *death) check(c *evidence.Case) []string {
	cause, sure := verdict(c)
	kind := d.kind
	if kind == "" {
		kind = evidence.CaseDeath
	}
	switch {
	case c.Kind == evidence.CaseWarning:
		if cause != d.warned && !slices.Contains(d.causes, cause) { // of what it dies of later it may well be warned
			return []string{"a warning without need\n    " + show(c)}
		}
		return nil
	case c.Kind != kind:
		return []string{fmt.Sprintf("the kind is %s, not %s\n    %s", c.Kind, kind, show(c))}
	}
	first := restarts(c) == 0 || !closer(c)
	switch {
	case slices.Contains(d.causes, cause):
		if !first && sure.Rank() < d.sure.Rank() {
			return []string{fmt.Sprintf("%s is %s, not %s\n    %s", cause, sure, d.sure, show(c))}
		}
	case !first || !slices.Contains(d.first, cause):
		return []string{fmt.Sprintf("the cause is %s, not %s\n    %s", cause, strings.Join(d.causes, " or "), show(c))}
	}
	return nil
}

// closer says whether that life was looked at closer, all of it: a bound holds how many are at once, and what dies at once may
// be gone before that begins.
func closer(c *evidence.Case) bool {
	i := slices.IndexFunc(c.Coverage, func(v evidence.Coverage) bool { return v.Source == "probe/syscall" })
	return i >= 0 && c.Coverage[i].Missing == "" && c.Coverage[i].Partial == ""
}

// missing says of which containers cases are still missing: n deaths of each, one of those that die once.
func missing(list []workload, cases []*evidence.Case, n int) []string {
	seen, warned, children := map[string]int{}, map[string]bool{}, map[string]int{}
	for _, c := range cases {
		w := workloadOf(list, c.Subject.Pod)
		if w == nil {
			continue
		}
		k := key(w.name, c.Subject.Container)
		switch c.Kind {
		case evidence.CaseDeath:
			seen[k]++
		case evidence.CaseWarning:
			warned[k] = true
		case evidence.CaseChildDeath:
			children[k]++
		}
	}
	var out []string
	for _, w := range list {
		for _, d := range w.dies {
			k := key(w.name, d.container)
			switch {
			case d.kind == evidence.CaseChildDeath:
				if children[k] == 0 {
					out = append(out, k+": the child's death")
				}
			case seen[k] < n && !(d.once && seen[k] > 0):
				out = append(out, fmt.Sprintf("%s: %d of %d deaths", k, seen[k], n))
			}
			if d.warned != "" && !warned[k] {
				out = append(out, k+": the warning")
			}
		}
	}
	return out
}

// uncovered says which deaths that the API tells of have no case.
func uncovered(cases []*evidence.Case, truth []status) []string {
	have := deaths(cases)
	ids := map[string]bool{}
	counted := map[string]int{} // deaths that are counted on the case of another
	for _, c := range cases {
		ids[c.Subject.ContainerID] = true
		if c.More != nil && c.Kind == evidence.CaseDeath {
			counted[key(c.Subject.Pod, c.Subject.Container)] += int(c.More.Count)
		}
	}
	var out []string
	for _, s := range truth {
		cs := have[key(s.pod, s.container)]
		for id, exit := range s.exits {
			if exit != 0 && !ids[id] && counted[key(s.pod, s.container)] == 0 {
				out = append(out, fmt.Sprintf("%s: container %.12s ended with %d and has no case", key(s.pod, s.container), id, exit))
			}
		}
		if n := len(cs) + counted[key(s.pod, s.container)]; len(cs) > 0 && n < s.deaths {
			out = append(out, fmt.Sprintf("%s: %d deaths, %d in cases", key(s.pod, s.container), s.deaths, n))
		}
	}
	return out
}

// uncovered is likewise, of the cases as they are now: deaths are counted on those that are there.
func (a *agent) uncovered(truth []status) []string {
	left := uncovered(a.list(), truth)
	if left != nil {
		clear(a.read)
		left = uncovered(a.list(), truth)
	}
	return left
}

// restarts is how often the container was started again before.
func restarts(c *evidence.Case) int { return int(c.Subject.RestartCount) }
