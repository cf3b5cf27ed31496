package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/casebook"
	"github.com/descry-dev/descry/internal/container"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/forecast"
)

// copyAs is the test binary under another name.
func copyAs(t *testing.T, name string) string {
	t.Helper()
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(t.TempDir(), name)
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	to.Close()
	return path
}

// end ends a container as its runtime does.
func (b *box) endBy(runtime string, sig unix.Signal) {
	b.n.t.Helper()
	cmd := exec.Command(runtime)
	cmd.Env = []string{fmt.Sprintf("DESCRY_TEST_PROGRAM=kill:%d,%d", b.cmd.Process.Pid, sig)}
	cmd.Stdin = strings.NewReader("\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.n.t.Fatalf("%v: %s", err, out)
	}
	b.wait()
}

// A container that its runtime ends has no case where its pod ends with it, and one where it is started again in the
// same pod.
func TestNodeEndedOnPurpose(t *testing.T) {
	n := newTestNode(t)
	n.start()
	runc, pause := copyAs(t, "runc"), copyAs(t, "pause")
	other := "99999999-2222-3333-4444-555555555555"
	gone, goneSandbox := n.box(testPod, 1, "wait"), n.box(testPod, 2, "wait", pause)
	ill := n.box(other, 3, "wait")
	crashed := n.box(other, 4, "exit:7")
	n.box(other, 5, "wait", pause).watchedAs("pause")
	gone.watched()
	goneSandbox.watchedAs("pause")
	ill.watched()
	crashed.watched()

	gone.endBy(runc, unix.SIGTERM)
	goneSandbox.endBy(runc, unix.SIGKILL)
	ill.endBy(runc, unix.SIGKILL)
	crashed.die() // by itself, meanwhile
	n.until("the case of the one that died by itself", func() bool { return len(n.of(crashed)) == 1 })
	if got := len(n.cases()); got != 1 {
		t.Errorf("%d cases, want that of the one that died by itself", got)
	}
	again := n.box(other, 6, "wait").watched()
	n.until("the case of the one that was started again", func() bool { return len(n.of(ill)) == 1 })
	if c := n.of(ill)[0]; !c.Death.Restarted || c.Death.Signal != evidence.SIGKILL || c.Death.SentBy == nil || c.Death.SentBy.Comm != "runc" {
		t.Errorf("%+v, sent by %+v", c.Death, c.Death.SentBy)
	} else if f := c.Findings; len(f) == 0 || f[0].Cause != "killed" || !strings.Contains(f[0].Summary, "started again") {
		t.Errorf("%+v", f)
	}
	again.endBy(runc, unix.SIGKILL)
	n.stop()
	if got := len(n.cases()); got != 2 {
		t.Errorf("%d cases, want 2", got)
	}
}

// watchedAs waits until the agent has seen a process of that name lead a container, by its log.
func (b *box) watchedAs(name string) {
	b.n.t.Helper()
	b.n.until("the agent sees "+name, func() bool {
		log, err := os.ReadFile(b.n.log)
		return err == nil && strings.Contains(string(log), fmt.Sprintf("pid=%d ", b.cmd.Process.Pid))
	})
}

// Of a workload that dies again and again the first few deaths have cases; the others are counted on them.
func TestLoops(t *testing.T) {
	var l loops
	at := time.Unix(1_000_000, 0)
	death := func(cause string) *evidence.Case {
		c := &evidence.Case{ID: ulid.Make().String(), Kind: evidence.CaseDeath}
		if cause != "" {
			c.Findings = []evidence.Finding{{Cause: cause}}
		}
		return c
	}
	kept, counted := 0, int64(0)
	var first string
	for i := range 1000 {
		if l.full("shop/cart", evidence.CaseDeath, at) {
			continue
		}
		c := death("fd-limit")
		if i == 500 {
			c = death("memory-limit")
		}
		if l.admit("shop/cart", c, at) {
			if kept++; kept == 1 {
				first = c.ID
			}
		}
		at = at.Add(time.Second)
	}
	for id, m := range l.take() {
		counted += m.Count
		if id == "" || id == first && m.Count == 0 || m.LastAt.IsZero() {
			t.Errorf("%s: %+v", id, m)
		}
	}
	if kept != loopAnyhow+1 || counted != int64(1000-kept) {
		t.Errorf("%d kept, %d counted of 1000", kept, counted)
	}
	for i := range 100 {
		if i == 0 && !l.admit("shop/web", death("a"), at) {
			t.Error("another workload has no case")
		}
	}
	if !l.admit("shop/cart", death("fd-limit"), at.Add(2*loopWindow)) {
		t.Error("it has none two hours later")
	}
	for i := range 3 * loopKnown {
		l.admit(fmt.Sprint(i), death("a"), at)
	}
	if len(l.of) > loopKnown {
		t.Errorf("%d workloads are remembered", len(l.of))
	}
}

// What was dealt with is known to the next agent, also where the last line is torn.
func TestState(t *testing.T) {
	dir := t.TempDir()
	s, before, err := openState(dir)
	if err != nil || len(before) != 0 || !s.seen.IsZero() {
		t.Fatal(before, err)
	}
	at := time.Now()
	s.decided(record{Container: "a", At: at, Case: "01", Workload: "w", Kind: evidence.CaseDeath, Cause: "fd-limit"})
	s.decided(record{Container: "b", At: at})
	s.close()
	f, err := os.OpenFile(filepath.Join(dir, "deaths"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"container":"c","at":"20`)
	f.Close()
	s, before, err = openState(dir)
	if err != nil || len(before) != 2 || before[0].Cause != "fd-limit" || s.seen.IsZero() {
		t.Fatal(before, err)
	}
	if !s.has("a", at.Add(time.Second)) || !s.has("b", at) || s.has("c", at) || s.has("a", at.Add(time.Minute)) {
		t.Error("what was dealt with is not what is known")
	}
	for i := range 3 * maxDeaths {
		s.decided(record{Container: fmt.Sprint("d", i), At: at})
	}
	if len(s.known) > maxDeaths || !s.has(fmt.Sprint("d", 3*maxDeaths-1), at) || s.has("d0", at) {
		t.Errorf("%d containers are remembered", len(s.known))
	}
	s.close()
	if b, err := os.ReadFile(filepath.Join(dir, "deaths")); err != nil || strings.Count(string(b), "\n") > maxDeaths {
		t.Errorf("%d lines, %v", strings.Count(string(b), "\n"), err)
	}
}

// fakeNames is a runtime's word.
type fakeNames struct {
	registry
	died []container.Info
}

func (f *fakeNames) Synced() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func (f *fakeNames) DiedSince(time.Time) ([]container.Info, []container.Forgotten) {
	return f.died, nil
}

// Deaths that no agent saw are cases by the runtime's word: each once, and none that was dealt with.
func TestFill(t *testing.T) {
	dir := t.TempDir()
	st, _, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	st.close()
	at := time.Now().Add(-time.Minute)
	info := func(i int, code int32, reason string) container.Info {
		return container.Info{
			Ref: container.Ref{ID: testID(i), PodUID: testPod}, Namespace: "shop", Pod: "cart", Container: fmt.Sprint("c", i),
			State: container.StateExited, ExitCode: code, Reason: reason, StartedAt: at.Add(-time.Minute), FinishedAt: at,
		}
	}
	died := []container.Info{info(1, 3, "Error"), info(2, 137, "OOMKilled"), info(3, 0, "Completed"), info(4, 143, "Error"), info(5, 5, "Error"), info(6, 6, "Error"), info(7, 7, "Error"), info(8, 8, "Error")}
	died[0].Cgroup, died[6].Cgroup, died[7].Cgroup = "/kubepods/pod1/"+testID(1), "/other/pod7/"+testID(7), "/kubepodsmore/"+testID(8) // the last two are another agent's
	for round := range 2 {
		st, _, err := openState(dir)
		if err != nil {
			t.Fatal(err)
		}
		n := &node{
			cfg: NodeConfig{Cases: filepath.Join(dir, "cases"), Scope: "/kubepods"}, log: slog.New(slog.DiscardHandler), names: &fakeNames{died: died}, state: st,
			in: make(chan message), done: make(chan struct{}), jobs: make(chan *job, 16), started: time.Now(), places: map[string]*subject{},
		}
		n.figures.kept = map[string]int64{}
		n.book = casebook.New(n.cfg.Cases, casebook.Bounds{})
		if round == 0 { // one was dealt with; of another only the case is there, and a kill came before it was noted
			st.decided(record{Container: testID(5), At: at})
			c := &evidence.Case{ID: ulid.Make().String(), Kind: evidence.CaseDeath, OpenedAt: at, Death: &evidence.Death{At: at}, Subject: evidence.Subject{ContainerID: testID(6)}, Timeline: []evidence.Observation{}}
			if _, err := n.book.Put(c); err != nil {
				t.Fatal(err)
			}
		}
		n.work.Go(n.judge)
		owner := make(chan struct{})
		go func() {
			for {
				select {
				case m := <-n.in:
					m.do()
				case <-owner:
					return
				}
			}
		}()
		n.fill(context.Background())
		close(n.jobs)
		n.work.Wait()
		close(owner)
		st.close()
	}
	entries, _, err := casebook.New(filepath.Join(dir, "cases"), casebook.Bounds{}).List()
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d cases, want 3: %+v %v", len(entries), entries, err)
	}
	for _, e := range entries {
		if e.ContainerID == testID(2) && e.Cause != "memory-limit" {
			t.Errorf("the one that the OOM killer ended: %+v", e)
		}
	}
}

// A warning is a case; when it no longer holds that is said in it.
func TestNodeWarning(t *testing.T) {
	n := newTestNode(t)
	n.start()
	b := n.box("", 1, "leak:200").watched()
	b.die()
	n.until("a case of a warning", func() bool { return len(n.cases()) > 0 })
	c := n.of(b)[0]
	if c.Kind != evidence.CaseWarning || c.Death != nil || len(c.Findings) == 0 || c.Findings[0].Cause != "fd-leak" {
		t.Fatalf("%s: %+v", c.Kind, c.Findings)
	}
	if c.FDTable == nil || c.FDTable.Dominant() == nil || c.FDTable.Dominant().Path != "/dev/null" {
		t.Errorf("%+v", c.FDTable)
	}
	var h *evidence.Headroom
	steps := 0
	for _, o := range c.Timeline {
		switch d := o.Detail.(type) {
		case *evidence.Headroom:
			h = d
		case *evidence.Step:
			steps++
		}
	}
	if h == nil || h.Limit != forecast.LimitNoFile || h.Max != 1024 {
		t.Errorf("%+v", h)
	}
	if steps == 0 {
		t.Error("its growth asked for no closer look")
	}
	n.stop()
	m := &node{book: casebook.New(n.cfg.Cases, casebook.Bounds{}), log: slog.New(slog.DiscardHandler)}
	m.withdraw(c.ID, time.Now())
	if c := n.of(b)[0]; c.WithdrawnAt.IsZero() {
		t.Error("the warning is not withdrawn")
	}
}

// A container that died is looked at closer in its next life, and its case then knows the failed call; why it was
// looked at stands in it.
func TestNodeLadder(t *testing.T) {
	n := newTestNode(t)
	n.start()
	first := n.box(testPod, 1, "fds:64").watched()
	first.die()
	first.wait()
	n.until("the first case", func() bool { return len(n.of(first)) == 1 })
	if c := n.of(first)[0]; c.Covered(callSource) {
		t.Errorf("system calls were watched: %+v", c.Coverage)
	}
	second := n.box(testPod, 2, "fds:64").watched()
	n.until("it is looked at closer", func() bool {
		st, err := AskNode(n.cfg.State)
		return err == nil && len(st.Subjects) == 1 && st.Subjects[0].Step == 1
	})
	second.die()
	second.wait()
	n.until("the second case", func() bool { return len(n.of(second)) == 1 })
	n.stop()
	c := n.of(second)[0]
	if len(c.Findings) == 0 || c.Findings[0].Cause != "fd-limit" {
		t.Errorf("%+v", c.Findings)
	}
	var step *evidence.Step
	for _, o := range c.Timeline {
		if d, ok := o.Detail.(*evidence.Step); ok && step == nil {
			step = d
		}
	}
	if step == nil || step.Step != 1 || step.Error != "" || step.Why == "" {
		t.Errorf("%+v", step)
	}
	if c.Counters[evidence.CountFDRefused] == 0 {
		t.Errorf("%v", c.Counters)
	}
	for _, r := range c.RuledOut {
		if !c.Covered(callSource) && (r.Cause == "system-fd-limit" || r.Cause == "disk-full") { // it had run before it was looked at
			t.Errorf("ruled out what was not watched throughout: %+v", r)
		}
	}
}

// What dies while no agent runs is read from the pinned probes by the next one, whole.
func TestNodePins(t *testing.T) {
	n := newTestNode(t)
	bpf := t.TempDir()
	if err := unix.Mount("bpf", bpf, "bpf", 0, ""); err != nil {
		t.Skipf("no bpffs can be mounted here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(bpf, unix.MNT_DETACH) })
	n.cfg.Pins = filepath.Join(bpf, "descry")
	n.start()
	b := n.box(testPod, 1, "signal:11").watched()
	n.kill()
	b.die()
	b.wait()
	n.start()
	n.until("the case of the one that died meanwhile", func() bool { return len(n.of(b)) == 1 })
	c := n.of(b)[0]
	if c.Death.Signal != evidence.SIGSEGV || c.Death.Unseen || c.Death.PID != int32(b.cmd.Process.Pid) || c.Subject.PodUID != testPod || len(c.RuledOut) > 0 {
		t.Errorf("%+v %+v %+v", c.Death, c.Subject, c.RuledOut)
	}
	// An agent that is killed over a death, which it has read and nobody will tell again, leaves it to the next.
	n.kill()
	for _, dir := range []string{filepath.Join(n.cfg.State, "deaths"), n.cfg.Cases} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	n.start()
	n.until("the case of the one over which the agent was killed", func() bool { return len(n.of(b)) == 1 })
	if again := n.of(b)[0]; again.Death.Signal != evidence.SIGSEGV || !again.Death.At.Equal(c.Death.At) || again.Subject.PodUID != testPod || len(again.RuledOut) > 0 {
		t.Errorf("%+v %+v %+v", again.Death, again.Subject, again.RuledOut)
	}
	n.kill()
	n.start()
	if time.Sleep(3 * fillAfter / 2); len(n.of(b)) != 1 { // there is nothing to wait for
		t.Errorf("%d cases", len(n.of(b)))
	}
	n.stop()
	if said, err := UninstallNode(n.cfg.State, n.cfg.Pins, n.cfg.Cases, ""); err != nil || len(said) < 3 {
		t.Errorf("%q, %v", said, err)
	}
	if left, err := os.ReadDir(n.cfg.Pins); err == nil && len(left) > 0 {
		t.Errorf("%d pins are left", len(left))
	}
}
