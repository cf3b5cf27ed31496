package container

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// Bounds of the registry.
const (
	maxKnown = 4096 // containers and sandboxes, with the dead
	maxDead  = 512  // of these, whom their runtime has forgotten
	maxAsked = 1024 // ids that a runtime is still to be asked for
)

// Options say where a Registry looks.
type Options struct {
	Endpoints []string // sockets of runtimes; none: those that are usually there
	HostRoot  string   // where the node's root is seen, such as /host; "": /
	Log       func(format string, args ...any)

	open func(endpoint) (runtime, error) // tests put their own in here
}

// Registry knows the containers of a node: what runs, and what has died, which it remembers until it is told
// to forget it, or has too many. Its methods may be called from anywhere, and never wait for a runtime (but for
// Wait).
type Registry struct {
	opt     Options
	sources []*source

	mu      sync.Mutex
	known   map[string]*entry
	gone    []string            // of known, whom their runtime has forgotten, in that order
	dirty   map[string]struct{} // of known, since the last Changes
	bell    chan struct{}       // closed, and made anew, at each change
	changed chan struct{}       // holds one while dirty is not empty
	synced  chan struct{}
	once    sync.Once
	refused int64
	evicted int64
}

type entry struct {
	info     Info
	source   *source
	detailed bool // it was inspected in this state
	held     bool // somebody has asked for it
	done     bool // Forget was called
}

// New makes a registry that knows nothing until it runs.
func New(o Options) *Registry {
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	if o.open == nil {
		o.open = openRuntime
	}
	r := &Registry{opt: o, known: map[string]*entry{}, dirty: map[string]struct{}{},
		bell: make(chan struct{}), changed: make(chan struct{}, 1), synced: make(chan struct{})}
	for _, e := range endpoints(o.Endpoints, o.HostRoot) {
		r.sources = append(r.sources, newSource(r, e))
	}
	return r
}

// Run asks the runtimes until ctx ends.
func (r *Registry) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range r.sources {
		wg.Go(func() { s.run(ctx) })
	}
	wg.Wait()
}

// Synced is closed once a runtime has told of all its containers.
func (r *Registry) Synced() <-chan struct{} { return r.synced }

// Get gives what is known of a container, by its whole id.
func (r *Registry) Get(id string) (Info, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.known[id]
	if e == nil {
		return Info{}, false
	}
	e.held = true
	return e.info, true
}

// Cgroup gives the container whose cgroup path is, or is above of. Where none is known yet ok is false; what the
// path itself tells stands in the answer nevertheless.
func (r *Registry) Cgroup(path string) (info Info, ok bool) {
	ref, is := Parse(path)
	if !is {
		return Info{}, false
	}
	if info, ok = r.Get(ref.ID); !ok {
		return Info{Ref: ref}, false
	}
	if info.QoS == "" {
		info.QoS = ref.QoS
	}
	return info, true
}

// Pod gives the containers of a pod, and its sandbox, with the dead that are remembered, oldest first.
func (r *Registry) Pod(uid string) []Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Info
	for _, e := range r.known {
		if uid != "" && e.info.PodUID == uid {
			out = append(out, e.info)
		}
	}
	slices.SortFunc(out, func(a, b Info) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// All gives everything that is known, in no order.
func (r *Registry) All() []Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Info, 0, len(r.known))
	for _, e := range r.known {
		out = append(out, e.info)
	}
	return out
}

// Need says that a container was seen: where it is not known the runtimes are asked for it at once, and some
// times again.
func (r *Registry) Need(ref Ref) {
	r.mu.Lock()
	e := r.known[ref.ID]
	if e != nil {
		e.held = true
		if e.info.QoS == "" {
			e.info.QoS = ref.QoS
		}
	}
	r.mu.Unlock()
	if e == nil && isID(ref.ID) {
		for _, s := range r.sources {
			s.need(ref, false)
		}
	}
}

// Refresh asks again for a container that is known, as after its death: for its exit code, and the reason.
func (r *Registry) Refresh(id string) {
	r.mu.Lock()
	e := r.known[id]
	var s *source
	if e != nil && !e.info.Removed {
		s = e.source
	}
	r.mu.Unlock()
	if s != nil {
		s.need(Ref{ID: id}, true)
	}
}

// Wait waits until a container is known, and asks for it. ok is false when ctx ended first.
func (r *Registry) Wait(ctx context.Context, ref Ref) (Info, bool) {
	for asked := false; ; {
		r.mu.Lock()
		bell := r.bell
		r.mu.Unlock()
		if info, ok := r.Get(ref.ID); ok {
			return info, true
		}
		if !asked {
			asked = true
			r.Need(ref)
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return r.Get(ref.ID)
		}
	}
}

// Forget lets a container go whose last observation was read. One that its runtime still has stays known for
// as long as that.
func (r *Registry) Forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.known[id]; e != nil {
		if e.done = true; e.info.Removed {
			r.drop(id)
		}
	}
}

// Changed gets a value when there are Changes to be taken.
func (r *Registry) Changed() <-chan struct{} { return r.changed }

// Changes gives, for one reader, every container that is new or of which something is new since it was called
// last; each once, as it is now.
func (r *Registry) Changes() []Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Info, 0, len(r.dirty))
	for id := range r.dirty {
		out = append(out, r.known[id].info)
	}
	clear(r.dirty)
	return out
}

// Counts are figures of a registry.
type Counts struct {
	Known   int   // containers and sandboxes, with the dead
	Dead    int   // of these, whom their runtime has forgotten
	Refused int64 // containers that there was no room for
	Evicted int64 // dead that had to go before anybody said Forget, though somebody had asked for them
}

// Counts gives figures of r.
func (r *Registry) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Counts{len(r.known), len(r.gone), r.refused, r.evicted}
}

// put takes news of a container. detailed: all that the runtime has to tell.
func (r *Registry) put(s *source, news Info, detailed bool) {
	if !isID(news.ID) {
		return // no container that a cgroup could name
	}
	news.bounded()
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.known[news.ID]
	if e == nil {
		if len(r.known) >= maxKnown && !r.evict() {
			r.refused++
			return
		}
		e = &entry{source: s, info: news, detailed: detailed}
		r.known[news.ID] = e
		r.ring(news.ID)
		return
	}
	if e.source != s && (e.source.rank() < s.rank() || e.source.rank() == s.rank() && !e.info.Removed) {
		return // two sockets of one runtime: the first one has the word
	}
	next := merge(e.info, news)
	e.detailed = detailed || e.detailed && news.State == e.info.State
	e.source = s
	back := e.info.Removed && !next.Removed
	if back {
		r.gone = slices.DeleteFunc(r.gone, func(id string) bool { return id == news.ID })
	}
	if same(&e.info, &next) {
		return
	}
	e.info = next
	r.ring(news.ID)
}

func same(a, b *Info) bool {
	return a.Ref == b.Ref && a.State == b.State && a.Removed == b.Removed && a.PID == b.PID && a.Namespace == b.Namespace && a.Pod == b.Pod &&
		a.Container == b.Container && a.Image == b.Image && a.Attempt == b.Attempt && a.LogPath == b.LogPath && a.LogDriver == b.LogDriver && a.Init == b.Init &&
		a.StartedAt.Equal(b.StartedAt) && a.FinishedAt.Equal(b.FinishedAt) && a.ExitCode == b.ExitCode && a.Reason == b.Reason &&
		len(a.Labels) == len(b.Labels) && len(a.Annotations) == len(b.Annotations)
}

// remove says that s has forgotten a container.
func (r *Registry) remove(s *source, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.known[id]
	if e == nil || e.source != s || e.info.Removed {
		return
	}
	e.info.Removed = true
	if e.info.State == StateRunning || e.info.State == StateCreated {
		e.info.State = StateUnknown // how it ended nobody can say any more
	}
	r.gone = append(r.gone, id)
	r.ring(id)
	if e.done {
		r.drop(id)
	}
	for len(r.gone) > maxDead && r.evict() {
	}
}

// only says that s has these and no others.
func (r *Registry) only(s *source, listed map[string]bool) {
	r.mu.Lock()
	var left []string
	for id, e := range r.known {
		if e.source == s && !e.info.Removed && !listed[id] {
			left = append(left, id)
		}
	}
	r.mu.Unlock()
	slices.Sort(left)
	for _, id := range left {
		r.remove(s, id)
	}
}

func (r *Registry) whole() {
	r.once.Do(func() { close(r.synced) })
}

// vague says whether there is more to be asked about a container.
func (r *Registry) vague(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.known[id]
	return e != nil && !e.detailed
}

func (r *Registry) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[id] != nil
}

// evict lets one of the dead go: the first that nobody has asked for, else the first.
func (r *Registry) evict() bool {
	if len(r.gone) == 0 {
		return false
	}
	at := slices.IndexFunc(r.gone, func(id string) bool { return !r.known[id].held })
	if at < 0 {
		at = 0
		r.evicted++
	}
	r.drop(r.gone[at])
	return true
}

func (r *Registry) drop(id string) {
	delete(r.known, id)
	delete(r.dirty, id)
	r.gone = slices.DeleteFunc(r.gone, func(g string) bool { return g == id })
}

func (r *Registry) ring(id string) {
	r.dirty[id] = struct{}{}
	close(r.bell)
	r.bell = make(chan struct{})
	select {
	case r.changed <- struct{}{}:
	default:
	}
}
