package recorder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

// numbered makes observation n of a kind; its pid tells it from others.
func numbered(kind evidence.Kind, n int) *evidence.Observation {
	o := &evidence.Observation{BootNanos: int64(n) * 1000, WallNanos: 1763800000000000000 + int64(n)*1000,
		Source: evidence.SourceKernel, PID: int32(n), TID: int32(n), Comm: "cart", Detail: evidence.NewDetail(kind)}
	switch d := o.Detail.(type) {
	case *evidence.WriteRefused:
		*d = evidence.WriteRefused{FD: 1, FDKind: evidence.FDPipe, Errno: evidence.EAGAIN, Asked: 120, Count: int64(n)}
	case *evidence.FDRefused:
		*d = evidence.FDRefused{Call: "accept4", Errno: evidence.EMFILE, Count: int64(n), Open: 1024, SoftLimit: 1024}
	case *evidence.Fork:
		d.Child = int32(n)
	}
	return o
}

func withStack(n int) *evidence.Observation {
	o := numbered(evidence.KindFDGrown, n)
	o.Detail = &evidence.FDGrown{Call: "socket", FD: int32(n), Context: &evidence.Context{
		Arch: "amd64", Regs: make([]uint64, 21), Stack: make([]byte, 32<<10)}}
	return o
}

func pids(obs []*evidence.Observation, kind evidence.Kind) (out []int) {
	for _, o := range obs {
		if o.Kind() == kind {
			out = append(out, int(o.PID))
		}
	}
	return out
}

func mustNew(t testing.TB, opt Options) *Recorder {
	t.Helper()
	r, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestOldestGoFirstAndAreCounted(t *testing.T) {
	r := mustNew(t, Options{Memory: MinMemory})
	const n = 20000
	for i := 1; i <= n; i++ {
		r.Record(numbered(evidence.KindWriteRefused, i))
	}
	got := pids(r.Observations(), evidence.KindWriteRefused)
	dropped := r.Dropped()[evidence.KindWriteRefused]
	if int64(len(got))+dropped != n {
		t.Errorf("%d kept and %d dropped are not %d", len(got), dropped, n)
	}
	for i := range firstCount {
		if got[i] != i+1 {
			t.Fatalf("observation %d is %d: the first of a kind were pushed out", i, got[i])
		}
	}
	rest := got[firstCount:]
	for i := range rest {
		if want := n - len(rest) + 1 + i; rest[i] != want {
			t.Fatalf("observation %d of the rest is %d, want %d", i, rest[i], want)
		}
	}
	if len(rest) < 500 {
		t.Errorf("only %d of the newest were kept", len(rest))
	}
}

func TestDecisiveOutlastsCommonAndLarge(t *testing.T) {
	r := mustNew(t, Options{Memory: 1 << 20})
	for i := 1; i <= firstCount+20; i++ {
		r.Record(numbered(evidence.KindFDRefused, i))
	}
	for i := 1; i <= 50000; i++ {
		r.Record(numbered(evidence.KindFork, 1000+i))
	}
	for i := 1; i <= 200; i++ {
		r.Record(withStack(100000 + i))
	}
	obs := r.Observations()
	if got := len(pids(obs, evidence.KindFDRefused)); got != firstCount+20 {
		t.Errorf("%d of %d refusals were kept", got, firstCount+20)
	}
	grown := pids(obs, evidence.KindFDGrown)
	if len(grown) < 2 || grown[0] != 100001 || grown[len(grown)-1] != 100200 {
		t.Errorf("of 200 with a stack these were kept: %v; want the first, and the newest", grown)
	}
	for i := 1; i < len(obs); i++ {
		if obs[i].BootNanos < obs[i-1].BootNanos {
			t.Fatalf("observation %d is older than the one before it", i)
		}
	}
	if d := r.Dropped(); d[evidence.KindFDRefused] != 0 || d[evidence.KindFork] == 0 || d[evidence.KindFDGrown] == 0 {
		t.Errorf("dropped: %v", d)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	r := mustNew(t, Options{Memory: MinMemory})
	for i := range 3000 {
		r.Record(numbered(evidence.KindFork, i))
		r.Record(numbered(evidence.KindFDRefused, i))
		r.Record(withStack(i))
	}
	sum := 0
	for i := range r.rings {
		sum += len(r.rings[i].buf)
	}
	if sum > MinMemory {
		t.Errorf("rings hold %d bytes, the bound is %d", sum, MinMemory)
	}
	huge := numbered(evidence.KindExec, 1)
	huge.Detail = &evidence.Exec{Path: strings.Repeat("x", MaxRecord+1)}
	r.Record(huge)
	if r.Dropped()[evidence.KindExec] != 1 {
		t.Error("an observation beyond MaxRecord was not counted as dropped")
	}
}

func TestEqualTimesKeepTheirOrder(t *testing.T) {
	r := mustNew(t, Options{})
	for i := 1; i <= 100; i++ {
		kind := evidence.KindFork
		if i%3 == 0 {
			kind = evidence.KindFDRefused
		}
		o := numbered(kind, i)
		o.BootNanos = 7
		r.Record(o)
	}
	for i, o := range r.Observations() {
		if int(o.PID) != i+1 {
			t.Fatalf("observation %d is %d", i, o.PID)
		}
	}
}

func TestForeignKindsAreBounded(t *testing.T) {
	r := mustNew(t, Options{})
	for i := range 3 * maxKinds {
		r.Record(&evidence.Observation{BootNanos: 1, Detail: &evidence.Raw{Of: evidence.Kind(fmt.Sprintf("new.%d", i)), Value: []byte("{}")}})
	}
	if len(r.byIndex) > maxKinds+1 {
		t.Errorf("%d kinds are counted apart", len(r.byIndex))
	}
	if got := len(r.Observations()); got != 3*maxKinds {
		t.Errorf("%d of %d were kept", got, 3*maxKinds)
	}
}

func TestManyGoroutines(t *testing.T) {
	r := mustNew(t, Options{Dir: t.TempDir(), Memory: MinMemory})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				r.Record(numbered(evidence.KindFDRefused, g*1000+i))
				if i%100 == 0 {
					r.Observations()
					r.Dropped()
				}
			}
		})
	}
	wg.Wait()
	if int64(len(r.Observations()))+r.Dropped()[evidence.KindFDRefused] != 4000 {
		t.Errorf("kept %d, dropped %v of 4000", len(r.Observations()), r.Dropped())
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("needs a build without -race: there sync.Pool forgets on purpose")
	}
	for _, dir := range []string{"", t.TempDir()} {
		r := mustNew(t, Options{Memory: MinMemory, Dir: dir})
		o, s := numbered(evidence.KindWriteRefused, 1), withStack(2)
		for range 20000 {
			r.Record(o)
		}
		for range 100 {
			r.Record(s)
		}
		if n := testing.AllocsPerRun(2000, func() { r.Record(o); r.Record(s) }); n != 0 {
			t.Errorf("with directory %q: %v allocations", dir, n)
		}
	}
}

func TestDirectoryThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), "/proc/nowhere"} {
		if _, err := New(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v does not name it", dir, err)
		}
	}
}

func TestTwoRecordersInOneDirectory(t *testing.T) {
	dir := t.TempDir()
	first := mustNew(t, Options{Dir: dir})
	first.Record(numbered(evidence.KindFDRefused, 1))
	if _, err := New(Options{Dir: dir}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("second recorder: %v", err)
	}
	if got, err := Open(dir); err != nil || len(got.Observations) != 1 {
		t.Fatalf("the second recorder disturbed the first: %v, %v", got, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := mustNew(t, Options{Dir: dir})
	second.Record(numbered(evidence.KindFDRefused, 2))
	for path, pid := range map[string]int32{dir: 2, filepath.Join(dir, previousDir): 1} {
		got, err := Open(path)
		if err != nil || len(got.Observations) != 1 || got.Observations[0].PID != pid {
			t.Errorf("%s: %+v, %v; want one observation of pid %d", path, got, err, pid)
		}
	}
}

func benchmark(b *testing.B, opt Options, o *evidence.Observation) {
	r := mustNew(b, opt)
	for range 60000 {
		r.Record(o)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		o.BootNanos++
		r.Record(o)
	}
}

// BenchmarkRecord is an ordinary observation with the directory kept and synced each second.
func BenchmarkRecord(b *testing.B) {
	benchmark(b, Options{Dir: b.TempDir()}, numbered(evidence.KindFDRefused, 1))
}

func BenchmarkRecordMemory(b *testing.B) {
	benchmark(b, Options{}, numbered(evidence.KindFDRefused, 1))
}

// BenchmarkRecordStack is the largest ordinary observation: 32 KiB of stack.
func BenchmarkRecordStack(b *testing.B) { benchmark(b, Options{Dir: b.TempDir()}, withStack(1)) }
