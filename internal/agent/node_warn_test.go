package agent

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/forecast"
)

// What grows towards another limit than that of descriptors is a case too, of what will come of it.
func TestNodeWarningOfMappings(t *testing.T) {
	n := newTestNode(t)
	n.start()
	b := n.box("", 1, "maps:8000").watched()
	b.die()
	n.until("a case of a warning", func() bool { return len(n.cases()) > 0 })
	c := n.of(b)[0]
	if c.Kind != evidence.CaseWarning || c.Limit != forecast.LimitMappings || len(c.Findings) == 0 || c.Findings[0].Cause != "mapping-limit" || c.Findings[0].Confidence != evidence.Likely {
		t.Fatalf("%s of %q: %+v", c.Kind, c.Limit, c.Findings)
	}
	var h *evidence.Headroom
	for _, o := range c.Timeline {
		if d, ok := o.Detail.(*evidence.Headroom); ok {
			h = d
		}
	}
	if h == nil || len(h.Most) != 1 || h.Most[0].PID != c.Subject.PID || h.Most[0].Value*10 < h.Max*7 {
		t.Errorf("%+v", h)
	}
	st, err := AskNode(n.cfg.State)
	if err != nil || len(st.Subjects) != 1 || !st.Subjects[0].Warned || st.Subjects[0].Limit != forecast.LimitMappings {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestWhoHoldsMost(t *testing.T) {
	s := &subject{procs: map[int32]*member{}}
	add := func(pid int32, comm string, threads, rss int64) {
		s.procs[pid] = &member{comm: comm, last: evidence.Process{Threads: threads, RSSBytes: rss, Mappings: 10 * rss}}
	}
	add(1, "sh", 1, 10)
	add(2, "java", 30, 500)
	for pid := int32(10); pid < 50; pid++ {
		add(pid, "sleep", 1, int64(pid))
	}
	want := map[string][]evidence.Share{
		forecast.LimitPids:     {{Name: "sleep", Processes: 40, Value: 40}, {Name: "java", PID: 2, Processes: 1, Value: 30}, {Name: "sh", PID: 1, Processes: 1, Value: 1}},
		forecast.LimitMemory:   {{Name: "java", PID: 2, Processes: 1, Value: 500}, {Name: "sleep", PID: 49, Processes: 1, Value: 49}, {Name: "sleep", PID: 48, Processes: 1, Value: 48}},
		forecast.LimitMappings: {{Name: "java", PID: 2, Processes: 1, Value: 5000}},
		forecast.LimitNoFile:   nil,
	}
	for limit, w := range want {
		if d := cmp.Diff(w, s.most(limit, 2)); d != "" {
			t.Error(limit, d)
		}
	}
}

// The machine's open files are nobody's: it is told who holds most, and who holds half of them has a case.
func TestWhoHoldsTheMachinesFiles(t *testing.T) {
	n := &node{subjects: map[uint32]*subject{}}
	for id, open := range []int64{100, 400, 200} {
		s := &subject{cgroup: fmt.Sprint("/", id), main: int32(id + 1), procs: map[int32]*member{}}
		s.procs[s.main] = &member{last: evidence.Process{Open: open / 2}}
		s.procs[s.main+100] = &member{last: evidence.Process{Open: open / 2}}
		n.subjects[uint32(id)] = s
	}
	h := &evidence.Headroom{Limit: forecast.LimitFileMax, Open: 1000, Max: 1100}
	if s := n.holdsFiles(h); s != nil {
		t.Errorf("%s has less than half", s.name())
	}
	want := []evidence.Share{{Name: "/1", Processes: 2, Value: 400}, {Name: "/2", Processes: 2, Value: 200}, {Name: "/0", Processes: 2, Value: 100}}
	if d := cmp.Diff(want, h.Most); d != "" {
		t.Error(d)
	}
	h.Open = 700
	if s := n.holdsFiles(h); s != n.subjects[1] {
		t.Errorf("%v", s)
	}
	n.subjects[1].main = 0 // nobody knows what it is
	if s := n.holdsFiles(h); s != nil {
		t.Errorf("%s", s.name())
	}
}

// A warning is taken back when the process that it is of ends while its subject lives on, or the subject ends as it should; not
// when the subject dies, which is what was warned of.
func TestWarningsEndWithWhatTheyAreOf(t *testing.T) {
	n := &node{jobs: make(chan *job, 8), pids: map[int32]*subject{}}
	s := &subject{main: 1, procs: map[int32]*member{}, warned: map[string]string{forecast.LimitMemory: "C", forecast.LimitPids: ""}}
	s.procs[1] = &member{warned: map[string]string{forecast.LimitNoFile: "A"}}
	s.procs[2] = &member{warned: map[string]string{forecast.LimitMappings: "B"}}
	n.exited(s, &evidence.Observation{PID: 2}, &evidence.Exit{})
	if len(n.jobs) != 1 || s.procs[2] != nil || len(s.procs[1].warned) != 1 {
		t.Errorf("%d cases are taken back, %v", len(n.jobs), s.procs)
	}
	n.letGoAll(s)
	if len(n.jobs) != 3 || len(s.warned) != 0 || len(s.procs[1].warned) != 0 { // one was only counted, and has no case
		t.Errorf("%d cases are taken back, %v", len(n.jobs), s.warned)
	}
}
