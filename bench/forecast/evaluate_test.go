package main

import (
	"bytes"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/descry-dev/descry/bench/forecast/trace"
)

var kept = sync.OnceValues(func() ([]*result, error) { return results("testdata") })

// What docs/forecast.md promises: each leak that takes ten minutes is warned of at least a minute before its end, and no
// honest program is warned of, those that were held out included. Known are the exceptions that the text names.
func TestPromises(t *testing.T) {
	rs, err := kept()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"made-leak-feeding": true, "made-leak-doubling-fast": true}
	leaks, honest := 0, 0
	for _, r := range rs {
		failed := false
		switch {
		case r.Kind == trace.Honest:
			honest++
			if failed = r.descry.alarms > 0; failed && !known[r.Name] {
				t.Errorf("%s: %d false alarms: %v", r.Name, r.descry.alarms, r.notes)
			}
		case r.slow():
			leaks++
			if failed = r.descry.lead < asked; failed && !known[r.Name] {
				t.Errorf("%s: ended at %ds, and was warned of %ds before", r.Name, r.end, r.descry.lead)
			}
		}
		if known[r.Name] && !failed {
			t.Errorf("%s is no exception any more", r.Name)
		}
	}
	if leaks < 20 || honest < 20 {
		t.Errorf("%d leaks and %d honest programs: traces are missing", leaks, honest)
	}
}

// The page is made of the traces: go run ./bench/forecast table >docs/forecast.md
func TestPage(t *testing.T) {
	was, err := os.ReadFile("../../docs/forecast.md")
	if err != nil {
		t.Fatal(err)
	}
	rs, err := kept()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := table(&b, slices.Clone(rs)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(was, b.Bytes()) {
		t.Error("docs/forecast.md is not of these traces: go run ./bench/forecast table >docs/forecast.md")
	}
}

// asNode leaves of what a cgroup holds, and the machine, the samples that the agent of a node takes: few as long as no limit is near.
func asNode(s *trace.Series) *trace.Series {
	const every, near, machine = 30, 2, 10 // seconds
	out := *s
	out.Values = slices.Clone(s.Values)
	last, close := -every, false
	for i, v := range s.Values {
		second := s.From + i*s.Step
		wait := every
		switch {
		case s.Quantity == trace.FileNr:
			wait = machine
		case close || s.Quantity == trace.Pids && v*2 >= s.Max:
			wait = near
		}
		if v < 0 || second-last < wait {
			out.Values[i] = -1
			continue
		}
		last, close = second, v*4 >= s.Max*3
	}
	return &out
}

// On a node cgroups are looked at less often: that raises no false alarm either, and tells in time.
func TestPromisesOfANode(t *testing.T) {
	rs, err := kept()
	if err != nil {
		t.Fatal(err)
	}
	leaks, honest := 0, 0
	for _, r := range rs {
		for _, s := range r.Series {
			if s.Max <= 0 || s.Quantity != trace.Pids && s.Quantity != trace.Memory && s.Quantity != trace.FileNr {
				continue
			}
			said := play(asNode(s), r.end, nil)
			switch {
			case r.Kind == trace.Honest:
				honest++
				if len(said) > 0 {
					t.Errorf("%s, %s: false alarm at %d s, %.0f%% of %d, in %.0f s", r.Name, s.Quantity, said[0].from, said[0].usage*100, s.Max, said[0].seconds)
				}
			case r.truth == s && r.slow():
				leaks++
				if len(said) == 0 || r.end-said[0].from < asked {
					t.Errorf("%s, %s: ended at %d s, %+v", r.Name, s.Quantity, r.end, said)
				}
			}
		}
	}
	if leaks < 4 || honest < 15 {
		t.Errorf("%d leaks and %d honest series", leaks, honest)
	}
}
