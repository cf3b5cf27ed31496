package coredump

import (
	"os"
	"slices"
	"testing"
)

// The fingerprint of the first summary outlives the binary; the environment's values are shown when asked for.
func TestEntryRemembers(t *testing.T) {
	prog := build(t, selectorsC, "selectors.c", "gcc", "-w", "-g", "-O1", "-s", "-rdynamic", "-o", "OUT", "SRC")
	s := storeFor(t, Bounds{}, Policy{Keep: Full})
	e := take(t, s, waiting(t, []string{"DESCRY_TEST_WORD=plain"}, prog, "null", "10"))
	res := NewResolver(nil)
	defer res.Close()
	first, err := s.Summary(e, SummaryOptions{Resolver: res})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(first.Environment, "DESCRY_TEST_WORD") || slices.Contains(first.Environment, "DESCRY_TEST_WORD=plain") {
		t.Errorf("environment %q", first.Environment)
	}
	if err := os.Remove(prog); err != nil {
		t.Fatal(err)
	}
	if e, err = s.Get(e.ID); err != nil || e.Fingerprint != first.Fingerprint || e.Fingerprint == "" {
		t.Fatalf("the entry has fingerprint %q, not %q: %v", e.Fingerprint, first.Fingerprint, err)
	}
	again := NewResolver(nil)
	defer again.Close()
	second, err := s.Summary(e, SummaryOptions{Resolver: again, Unmasked: true})
	if err != nil || second.Fingerprint != first.Fingerprint || !slices.Equal(second.AlikeBy, first.AlikeBy) {
		t.Errorf("%s %q, not %s %q: %v", second.Fingerprint, second.AlikeBy, first.Fingerprint, first.AlikeBy, err)
	}
	if !slices.Contains(second.Environment, "DESCRY_TEST_WORD=plain") {
		t.Errorf("environment %q", second.Environment)
	}
}
