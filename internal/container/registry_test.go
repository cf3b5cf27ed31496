package container

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fake is a runtime whose containers a test changes.
type fake struct {
	mu      sync.Mutex
	all     map[string]Info
	listed  int
	asked   []string
	events  chan event
	broken  error         // what all questions get
	hangs   chan struct{} // until it is closed, questions wait
	absent  bool
	opened  int
	details bool // a list tells less than inspect
}

func newFake() *fake {
	return &fake{all: map[string]Info{}, events: make(chan event)}
}

func (f *fake) open(endpoint) (runtime, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.absent {
		return nil, ErrAbsent
	}
	if f.broken != nil {
		return nil, f.broken
	}
	f.opened++
	return f, nil
}

func (f *fake) about() (string, string) { return "fake", "v1" }
func (f *fake) close()                  {}

func (f *fake) wait(ctx context.Context) error {
	f.mu.Lock()
	hangs, broken := f.hangs, f.broken
	f.mu.Unlock()
	if hangs != nil {
		select {
		case <-hangs:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return broken
}

func (f *fake) list(ctx context.Context) ([]Info, bool, error) {
	if err := f.wait(ctx); err != nil {
		return nil, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listed++
	out := slices.Collect(maps.Values(f.all))
	if f.details {
		for i := range out {
			out[i].LogPath, out[i].PID = "", 0
		}
	}
	return out, !f.details, nil
}

func (f *fake) inspect(ctx context.Context, id string) (Info, error) {
	if err := f.wait(ctx); err != nil {
		return Info{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, id)
	if i, ok := f.all[id]; ok {
		return i, nil
	}
	return Info{}, errNone
}

func (f *fake) watch(ctx context.Context, tell func(event)) error {
	for {
		select {
		case e := <-f.events:
			tell(e)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *fake) put(i ...Info) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range i {
		f.all[i.ID] = i
	}
}

func (f *fake) drop(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, id)
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// lines are what a registry says.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) log(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprintf(format, args...))
}

func (l *lines) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// running starts a registry, which ends with the test.
func running(t *testing.T, o Options) *Registry {
	t.Helper()
	r := New(o)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	t.Cleanup(func() {
		stop()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Error("the registry does not end")
		}
	})
	return r
}

func faked(t *testing.T, f *fake) (*Registry, *lines) {
	t.Helper()
	l := &lines{}
	return running(t, Options{Endpoints: []string{"docker:///fake.sock"}, Log: l.log, open: f.open}), l
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("a minute has passed, and not yet: %s", what)
		}
	}
}

func nth(n int) string { return fmt.Sprintf("%064x", n) }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// life is the n-th second's container c of pod p.
func life(n int, p, c string, attempt uint32, state State) Info {
	i := Info{Ref: Ref{ID: nth(n), Runtime: "fake", PodUID: "uid-" + p}, Namespace: "shop", Pod: p, Container: c, Attempt: attempt, State: state,
		CreatedAt: noon.Add(time.Duration(n) * time.Second), StartedAt: noon.Add(time.Duration(n) * time.Second)}
	if state == StateExited {
		i.FinishedAt, i.ExitCode, i.Reason = i.StartedAt.Add(500*time.Millisecond), 3, "Error"
	}
	return i
}

func TestKnowsWhatRunsAndWhatDied(t *testing.T) {
	f := newFake()
	f.details = true
	one := life(1, "cart", "app", 0, StateRunning)
	one.PID, one.LogPath = 42, "/var/log/pods/x/app/0.log"
	f.put(one, life(2, "cart", "proxy", 0, StateExited))
	r, _ := faked(t, f)
	<-r.Synced()
	until(t, "the details", func() bool { i, _ := r.Get(nth(1)); return i.PID == 42 && i.LogPath != "" })
	if i, ok := r.Cgroup("/kubepods/burstable/pod" + uid + "/" + nth(1) + "/below"); !ok || i.Pod != "cart" || i.QoS != "burstable" {
		t.Errorf("by its cgroup: %+v, %v", i, ok)
	}
	if i, ok := r.Cgroup("/kubepods/pod" + uid + "/" + nth(99)); ok || i.ID != nth(99) || i.PodUID != uid {
		t.Errorf("one that no runtime knows: %+v, %v", i, ok)
	}
	if _, ok := r.Cgroup("/user.slice"); ok {
		t.Error("the host is a container")
	}
	if got := r.Pod("uid-cart"); len(got) != 2 || got[0].Container != "app" || got[1].Container != "proxy" {
		t.Errorf("the pod has %+v", got)
	}
	// It dies, and is removed: by an event each.
	dead := life(1, "cart", "app", 0, StateExited)
	f.put(dead)
	f.events <- event{id: nth(1)}
	until(t, "its death", func() bool { i, _ := r.Get(nth(1)); return i.State == StateExited })
	f.drop(nth(1))
	f.events <- event{id: nth(1), removed: true}
	until(t, "its removal", func() bool { i, _ := r.Get(nth(1)); return i.Removed })
	i, ok := r.Get(nth(1))
	if !ok || i.ExitCode != 3 || i.Pod != "cart" || i.LogPath == "" || i.State != StateExited {
		t.Errorf("the dead is not remembered: %+v", i)
	}
	r.Forget(nth(1))
	if _, ok := r.Get(nth(1)); ok {
		t.Error("it is not forgotten")
	}
	r.Forget(nth(2)) // which the runtime still has
	if _, ok := r.Get(nth(2)); !ok {
		t.Error("forgotten while its runtime knows it")
	}
	f.drop(nth(2))
	f.events <- event{id: nth(2), removed: true}
	until(t, "it to be forgotten", func() bool { _, ok := r.Get(nth(2)); return !ok })
}

func TestNeedAsksAtOnceAndAgain(t *testing.T) {
	f := newFake()
	r, _ := faked(t, f)
	<-r.Synced()
	ref := Ref{ID: nth(7), PodUID: uid, QoS: "besteffort"}
	got := make(chan Info)
	go func() {
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		i, _ := r.Wait(ctx, ref)
		got <- i
	}()
	until(t, "the first question", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.asked) > 0 })
	before := f.listed
	f.put(life(7, "late", "c", 0, StateRunning)) // the runtime knows it only now
	if i := <-got; i.Pod != "late" {
		t.Errorf("it is %+v", i)
	}
	if f.listed != before {
		t.Error("a list told of it: this shows nothing")
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, ok := r.Wait(ctx, Ref{ID: nth(8)}); ok {
		t.Error("one that nobody knows was found")
	}
	// What nobody knows is asked for some times, and no more.
	until(t, "all questions", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		n := 0
		for _, id := range f.asked {
			if id == nth(8) {
				n++
			}
		}
		return n >= 4
	})
}

func TestRefresh(t *testing.T) {
	f := newFake()
	f.put(life(1, "a", "c", 0, StateRunning))
	r, _ := faked(t, f)
	<-r.Synced()
	f.put(life(1, "a", "c", 0, StateExited))
	r.Refresh(nth(1))
	until(t, "its exit code", func() bool { i, _ := r.Get(nth(1)); return i.ExitCode == 3 })
}

func TestChanges(t *testing.T) {
	f := newFake()
	f.put(life(1, "a", "c", 0, StateRunning))
	r, _ := faked(t, f)
	<-r.Changed()
	if got := r.Changes(); len(got) != 1 || got[0].ID != nth(1) {
		t.Fatalf("changes: %+v", got)
	}
	if got := r.Changes(); len(got) != 0 {
		t.Errorf("told twice: %+v", got)
	}
	f.events <- event{id: nth(1)} // and nothing is new
	f.put(life(2, "b", "c", 0, StateRunning))
	f.events <- event{id: nth(2)}
	<-r.Changed()
	if got := r.Changes(); len(got) != 1 || got[0].ID != nth(2) {
		t.Errorf("changes: %+v", got)
	}
}

func TestRuntimeGoesAndComesBack(t *testing.T) {
	f := newFake()
	f.put(life(1, "stays", "c", 0, StateRunning), life(2, "goes", "c", 0, StateRunning))
	r, said := faked(t, f)
	<-r.Synced()
	until(t, "both", func() bool { return r.Counts().Known == 2 })
	f.set(func() { f.broken = errors.New("connection refused") })
	r.Need(Ref{ID: nth(9)}) // it is noticed
	until(t, "it to be noticed", func() bool { return !r.Status()[0].Connected })
	if i, ok := r.Get(nth(1)); !ok || i.Removed {
		t.Errorf("what runs was forgotten with its runtime: %+v", i)
	}
	f.drop(nth(2))
	f.put(life(3, "new", "c", 0, StateRunning))
	f.set(func() { f.broken = nil })
	until(t, "what is new", func() bool { _, ok := r.Get(nth(3)); return ok })
	until(t, "what is gone", func() bool { i, _ := r.Get(nth(2)); return i.Removed })
	if i, _ := r.Get(nth(2)); i.State != StateUnknown {
		t.Errorf("nobody saw how it ended, and yet %+v", i)
	}
	until(t, "three lines", func() bool { return len(said.get()) == 3 })
	for n, want := range []string{"names come from fake v1", "connection refused", "names come from fake v1"} {
		if !strings.Contains(said.get()[n], want) {
			t.Errorf("line %d: %q, want %q", n, said.get()[n], want)
		}
	}
}

func TestRuntimeThatIsNotThere(t *testing.T) {
	f := newFake()
	f.absent = true
	r, said := faked(t, f)
	until(t, "a word, since it was named", func() bool { return len(said.get()) == 1 })
	r.Need(Ref{ID: nth(1)})
	if _, ok := r.Get(nth(1)); ok {
		t.Error("found")
	}
	quiet := &lines{}
	auto := running(t, Options{HostRoot: t.TempDir(), Log: quiet.log})
	until(t, "all to be looked for", func() bool {
		for _, s := range auto.sources {
			s.mu.Lock()
			absent := errors.Is(s.status.Err, ErrAbsent)
			s.mu.Unlock()
			if !absent {
				return false
			}
		}
		return len(auto.sources) > 3 && len(auto.Status()) == 0
	})
	if len(quiet.get()) != 0 {
		t.Errorf("said %q of runtimes that nobody named", quiet.get())
	}
}

func TestRuntimeThatHangs(t *testing.T) {
	f := newFake()
	f.put(life(1, "a", "c", 0, StateRunning))
	r, said := faked(t, f)
	<-r.Synced()
	hung := make(chan struct{})
	f.set(func() { f.hangs = hung })
	for n := range manyHangs {
		r.Need(Ref{ID: nth(50 + n)})
	}
	until(t, "it to be noticed", func() bool { return !r.Status()[0].Connected })
	if i, ok := r.Get(nth(1)); !ok || i.Pod != "a" {
		t.Errorf("what is known: %+v, %v", i, ok)
	}
	if s := said.get(); !strings.Contains(s[len(s)-1], "deadline") {
		t.Errorf("said %q", s)
	}
	f.put(life(50, "b", "c", 0, StateRunning))
	close(hung)
	until(t, "the new one", func() bool { _, ok := r.Get(nth(50)); return ok })
}

func TestTheDeadAreBounded(t *testing.T) {
	r := New(Options{Endpoints: []string{"/x"}, open: newFake().open})
	s := r.sources[0]
	for n := range maxDead + 100 {
		r.put(s, life(n, "p", fmt.Sprint(n), 0, StateExited), true)
		if n < 10 {
			r.Get(nth(n))
		}
		r.remove(s, nth(n))
	}
	if c := r.Counts(); c.Known != maxDead || c.Dead != maxDead || c.Evicted != 0 {
		t.Errorf("%+v", c)
	}
	if _, ok := r.Get(nth(3)); !ok {
		t.Error("one that was asked for had to go before others")
	}
	if _, ok := r.Get(nth(50)); ok {
		t.Error("nobody asked for it, and it stayed")
	}
	for n := range 2 * maxKnown {
		r.put(s, life(10_000+n, "q", fmt.Sprint(n), 0, StateRunning), true)
	}
	if c := r.Counts(); c.Known != maxKnown || c.Dead != 0 || c.Refused != maxKnown || c.Evicted == 0 {
		t.Errorf("%+v", c)
	}
	if got := len(r.Changes()); got != maxKnown {
		t.Errorf("%d changes", got)
	}
}

func TestDiedSince(t *testing.T) {
	f := newFake()
	sandbox := life(90, "a", "", 0, StateExited)
	sandbox.Sandbox = true
	f.put(
		life(10, "a", "c", 0, StateExited), // at 10.5 s
		life(50, "a", "c", 3, StateExited), // two lives between are gone
		life(60, "a", "c", 4, StateRunning),
		life(40, "b", "c", 1, StateExited),
		life(5, "c", "c", 2, StateRunning), // what was before it was before
		sandbox,
	)
	r, _ := faked(t, f)
	<-r.Synced()
	died, forgotten := r.DiedSince(noon.Add(20 * time.Second))
	var ids []string
	for _, i := range died {
		ids = append(ids, i.ID)
	}
	if d := cmp.Diff([]string{nth(40), nth(50)}, ids); d != "" {
		t.Error(d)
	}
	at := func(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }
	want := []Forgotten{
		{Namespace: "shop", Pod: "b", PodUID: "uid-b", Container: "c", From: 0, To: 0, Before: at(40)},
		{Namespace: "shop", Pod: "a", PodUID: "uid-a", Container: "c", From: 1, To: 2, After: at(10.5), Before: at(50)},
	}
	if d := cmp.Diff(want, forgotten); d != "" {
		t.Error(d)
	}
}

func TestMerge(t *testing.T) {
	run, dead := life(1, "a", "c", 0, StateRunning), life(1, "a", "c", 0, StateExited)
	if got := merge(dead, run); got.State != StateExited || got.ExitCode != 3 {
		t.Errorf("old news made the dead run: %+v", got)
	}
	if got := merge(run, dead); got.State != StateExited || got.FinishedAt.IsZero() {
		t.Errorf("it is not dead: %+v", got)
	}
	again := life(30, "a", "c", 1, StateRunning)
	again.ID, again.CreatedAt = dead.ID, dead.CreatedAt
	if got := merge(dead, again); got.State != StateRunning || got.ExitCode != 0 || !got.FinishedAt.IsZero() {
		t.Errorf("started again: %+v", got)
	}
	if got := merge(again, dead); got.State != StateRunning || got.Attempt != 1 {
		t.Errorf("old news of the life before: %+v", got)
	}
	little := Info{Ref: Ref{ID: run.ID}, State: StateExited}
	if got := merge(run, little); got.Pod != "a" || got.State != StateExited || got.StartedAt.IsZero() {
		t.Errorf("what was known got lost: %+v", got)
	}
}

func TestPairsAreBounded(t *testing.T) {
	in := map[string]string{"io.kubernetes.pod.name": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}", "descry.dev/nofile": "1000", "": "x",
		"aa": strings.Repeat("é", maxText), "bad": "\xff", strings.Repeat("k", maxName+1): "v"}
	for n := range 1000 {
		in[fmt.Sprintf("b%03d", n)] = "v"
	}
	got := pairs(in)
	size := 0
	for k, v := range got {
		size += len(k) + len(v)
	}
	if len(got) != maxPairs || size > maxInPair || got["descry.dev/nofile"] != "1000" || len(got["aa"]) > maxText || got["b000"] != "v" {
		t.Errorf("%d pairs of %d bytes: %v", len(got), size, got)
	}
	if pairs(map[string]string{"io.kubernetes.x": "y"}) != nil || pairs(nil) != nil {
		t.Error("something of nothing")
	}
}

func TestEndpoints(t *testing.T) {
	got := endpoints([]string{"unix:///run/x.sock", "/run/docker.sock", "docker:///run/y.sock", "/run/cri-dockerd.sock"}, "/host")
	want := []endpoint{{"/run/x.sock", false, true}, {"/run/docker.sock", true, true}, {"/run/y.sock", true, true}, {"/run/cri-dockerd.sock", false, true}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	for _, e := range endpoints(nil, "/host") {
		if !strings.HasPrefix(e.path, "/host/") || e.given {
			t.Errorf("%+v", e)
		}
	}
}
