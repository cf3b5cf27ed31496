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
