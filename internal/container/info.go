package container

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// State is where a container is in its life, as its runtime says.
type State string

// The states of a container.
const (
	StateCreated State = "created" // and not started yet
	StateRunning State = "running"
	StateExited  State = "exited"
	StateUnknown State = "unknown" // the runtime does not know either
)

// Info is what a runtime tells of one container. All strings are bounded, and valid UTF-8; the maps are
// shared between copies and not to be written to.
type Info struct {
	Ref

	Namespace   string            // of Kubernetes; "" outside
	Pod         string            // "" outside of Kubernetes
	Container   string            // its name; "" of a sandbox
	Image       string            // as its user wrote it, where the runtime still knows that
	Labels      map[string]string // the pod's; outside of Kubernetes the container's
	Annotations map[string]string // the pod's; nil outside of Kubernetes
	Attempt     uint32            // how often it was restarted before this life
	Sandbox     bool              // it holds a pod's namespaces, and runs nothing of the user's
	Init        bool              // it is an init container; false also where that cannot be known
	LogPath     string            // on the node; "" where its output goes elsewhere
	LogDriver   string            // where Docker and Podman send its output; "" where that is not known
	PID         int32             // of its main process, as the runtime's pid namespace has it; 0: unknown, or not running
	CreatedAt   time.Time         // this and the next two: zero where it has not come to that, or is not known
	StartedAt   time.Time
	FinishedAt  time.Time
	ExitCode    int32  // once it is exited; 128+n for a signal
	Reason      string // "OOMKilled", "Error", "Completed", …
	State       State
	Removed     bool   // its runtime has forgotten it
	SandboxID   string // of its pod's sandbox
	Cgroup      string // path in its hierarchy, as /proc/PID/cgroup has it, also once it is gone; "" where the runtime does not tell
}

// Bounds of what is kept of one container.
const (
	maxName   = 256     // bytes of a name, a reason
	maxText   = 1 << 10 // bytes of an image, a path, a label's value
	maxPairs  = 48      // labels; annotations likewise
	maxInPair = 6 << 10 // bytes of all labels; annotations likewise
)

// bounded cuts what a runtime says.
func (i *Info) bounded() {
	for _, s := range []*string{&i.PodUID, &i.Runtime, &i.Namespace, &i.Pod, &i.Container, &i.Reason, &i.SandboxID, &i.Cgroup, &i.LogDriver} {
		*s = cut(*s, maxName)
	}
	i.Image, i.LogPath = cut(i.Image, maxText), cut(i.LogPath, maxText)
	if i.Attempt > 1<<24 {
		i.Attempt = 1 << 24
	}
}

// cut gives the first n bytes of s as valid UTF-8, in memory of its own where that is less.
func cut(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = strings.Clone(s[:n])
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// ours are the keys that are kept first.
const ours = "descry.dev/"

// internalKeys are what Kubernetes itself needs, and what would fill all room.
var internalKeys = []string{"io.kubernetes.", "annotation.io.kubernetes.", "kubectl.kubernetes.io/last-applied-configuration", "kubernetes.io/config."}

// pairs bounds labels or annotations: descry's own come first, the rest in the order of their keys; a value
// that is too long is cut, what has no more room is left out. nil where nothing is left.
func pairs(in map[string]string) map[string]string {
	keys := slices.SortedFunc(maps.Keys(in), func(a, b string) int {
		if x, y := strings.HasPrefix(a, ours), strings.HasPrefix(b, ours); x != y {
			if x {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	var out map[string]string
	room := maxInPair
	for _, k := range keys {
		if k == "" || len(k) > maxName || slices.ContainsFunc(internalKeys, func(p string) bool { return strings.HasPrefix(k, p) }) {
			continue
		}
		v := cut(in[k], maxText)
		if room -= len(k) + len(v); room < 0 || len(out) == maxPairs {
			break
		}
		if out == nil {
			out = map[string]string{}
		}
		out[cut(k, maxName)] = v
	}
	return out
}

// The labels that the kubelet gives to containers and sandboxes.
const (
	labelContainer = "io.kubernetes.container.name"
	labelPod       = "io.kubernetes.pod.name"
	labelNamespace = "io.kubernetes.pod.namespace"
	labelUID       = "io.kubernetes.pod.uid"
	noteRestarts   = "io.kubernetes.container.restartCount"
	noteApplied    = "kubectl.kubernetes.io/last-applied-configuration"
)

// older says whether a is what was true before b, of the same container.
func older(a, b *Info) bool {
	switch {
	case laterLife(a, b):
		return false
	case laterLife(b, a):
		return true
	}
	return rank(a.State) < rank(b.State)
}

// laterLife says whether a is of a later life than b: Docker starts a container again under the same id.
func laterLife(a, b *Info) bool {
	if a.StartedAt.IsZero() {
		return false
	}
	return !b.StartedAt.IsZero() && a.StartedAt.After(b.StartedAt) || !b.FinishedAt.IsZero() && a.StartedAt.After(b.FinishedAt)
}

func rank(s State) int {
	switch s {
	case StateCreated:
		return 1
	case StateRunning:
		return 2
	case StateExited:
		return 3
	}
	return 0
}

// merge gives what is known after news of a container of which known was known.
func merge(known, news Info) Info {
	if older(&news, &known) {
		known, news = news, known
		news.Removed = known.Removed && news.Removed
	}
	keep := func(into *string, from string) {
		if *into == "" {
			*into = from
		}
	}
	keep(&news.Runtime, known.Runtime)
	keep(&news.PodUID, known.PodUID)
	keep(&news.QoS, known.QoS)
	keep(&news.Namespace, known.Namespace)
	keep(&news.Pod, known.Pod)
	keep(&news.Container, known.Container)
	keep(&news.Image, known.Image)
	keep(&news.LogPath, known.LogPath)
	keep(&news.LogDriver, known.LogDriver)
	keep(&news.SandboxID, known.SandboxID)
	if news.Labels == nil {
		news.Labels = known.Labels
	}
	if news.Annotations == nil {
		news.Annotations = known.Annotations
	}
	if news.CreatedAt.IsZero() {
		news.CreatedAt = known.CreatedAt
	}
	if !laterLife(&news, &known) { // whose count begins anew where somebody started it by hand
		news.Attempt = max(news.Attempt, known.Attempt)
	}
	news.Sandbox, news.Init = news.Sandbox || known.Sandbox, news.Init || known.Init
	if laterLife(&news, &known) {
		return news
	}
	if news.StartedAt.IsZero() {
		news.StartedAt = known.StartedAt
	}
	if news.PID == 0 {
		news.PID = known.PID
	}
	if news.State == StateExited && known.State == StateExited {
		keep(&news.Reason, known.Reason)
		if news.FinishedAt.IsZero() {
			news.FinishedAt, news.ExitCode = known.FinishedAt, known.ExitCode
		}
	}
	return news
}
