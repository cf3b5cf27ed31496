package recorder

import (
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

// A recording whose bound becomes less lets go of the oldest, counts them, and takes less memory; what comes later is recorded.
func TestBound(t *testing.T) {
	r := mustNew(t, Options{Memory: MinMemory})
	const n = 5000
	for i := 1; i <= n; i++ {
		r.Record(numbered(evidence.KindFork, i))
	}
	if size := r.Size(); size < MinMemory/4 {
		t.Fatalf("it takes %d bytes", size)
	}
	before := len(pids(r.Observations(), evidence.KindFork))
	const less = MinMemory / 8
	r.Bound(less)
	check := func(last int) []int {
		t.Helper()
		got := pids(r.Observations(), evidence.KindFork)
		if int64(len(got))+r.Dropped()[evidence.KindFork] != int64(last) {
			t.Errorf("%d kept and %d dropped are not %d", len(got), r.Dropped()[evidence.KindFork], last)
		}
		if size := r.Size(); size > less+2048 { // and the buffer that observations are encoded in
			t.Errorf("it takes %d bytes", size)
		}
		return got
	}
	got := check(n)
	if len(got) == 0 || len(got) >= before || got[len(got)-1] != n {
		t.Fatalf("%d of %d are left, the last is %v", len(got), before, got[max(0, len(got)-1):])
	}
	for i := n + 1; i <= 2*n; i++ {
		r.Record(numbered(evidence.KindFork, i))
	}
	if got := check(2 * n); got[len(got)-1] != 2*n {
		t.Errorf("the last is %d", got[len(got)-1])
	}
	r.Bound(MinMemory)
	for i := 2*n + 1; i <= 3*n; i++ {
		r.Record(numbered(evidence.KindFork, i))
	}
	if got := len(pids(r.Observations(), evidence.KindFork)); got < before/2 {
		t.Errorf("%d are kept where there were %d", got, before)
	}
	r.Bound(0)
	r.Record(numbered(evidence.KindFork, 3*n+1))
	if got := r.Observations(); len(got) != 0 {
		t.Errorf("%d are kept without any room", len(got))
	}
	if d := r.Dropped()[evidence.KindFork]; d != 3*n+1 {
		t.Errorf("%d dropped", d)
	}
}
