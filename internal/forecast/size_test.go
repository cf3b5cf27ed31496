package forecast

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// heapOf is the heap that n of something take, bytes each.
func heapOf[T any](n int, make1 func(i int) T) float64 {
	all := make([]T, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range all {
		all[i] = make1(i)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(all)
	return float64(after.HeapAlloc)/float64(n) - float64(before.HeapAlloc)/float64(n)
}

type process struct {
	t Tracker
	w Warner
}

// A node has ten thousand processes, most of which hold a few descriptors or always the same.
func TestSize(t *testing.T) {
	for name, c := range map[string]struct {
		open func(second int64) int64
		most float64 // bytes
	}{
		"never changed":        {func(int64) int64 { return 700 }, 200},
		"far below everything": {func(at int64) int64 { return 10 + at%40 }, 200},
		"changing":             {func(at int64) int64 { return 400 + at%7 }, 3200},
	} {
		got := heapOf(1000, func(int) *process {
			p := new(process)
			for at := range int64(3000) {
				p.t.Add(1+at*second, c.open(at), -1, 1024, at)
				p.w.Check(&p.t)
			}
			return p
		})
		// The slot that points to it is not counted by heapOf, which made all of them before.
		if got > c.most {
			t.Errorf("%s: %.0f bytes a process, want at most %.0f", name, got, c.most)
		}
		t.Logf("%s: %.0f bytes", name, got)
	}
}

// What never changed is known when it changes: a leak after a long rest is judged as such.
func TestRestIsRemembered(t *testing.T) {
	var tr Tracker
	at := int64(0)
	for ; at < 7200; at++ {
		tr.Add(1+at*second, 500, -1, 1024, 0)
	}
	if tr.open.h != nil {
		t.Fatal("it keeps what tells nothing")
	}
	tr.Add(1+at*second, 501, -1, 1024, 0)
	h := tr.open.h
	if h == nil {
		t.Fatal("there is no history")
	}
	for i, n := range []int{24, 24, 24, 24, 24, 7, 1} {
		s := &h.scales[i]
		if int(s.n) != n || s.at(0).min != 500 {
			t.Errorf("scale %d has %d points, want %d", i, s.n, n)
		}
	}
}

// What came down again is let go after an hour.
func TestForgets(t *testing.T) {
	g := NewGauge(LimitPids)
	for at := range int64(8000) {
		v := int64(5)
		if at > 100 && at < 200 {
			v = 300 + at
		}
		g.Add(1+at*second, v, 1000)
		if at == 300 && g.h == nil {
			t.Error("forgot at once")
		}
	}
	if g.h != nil {
		t.Error("still remembers")
	}
}

func BenchmarkStill(b *testing.B) { benchmark(b, 1000, 1024, func(int64) int64 { return 700 }) }

func BenchmarkFarBelow(b *testing.B) {
	benchmark(b, 1000, 1024, func(at int64) int64 { return 10 + at%40 })
}

func BenchmarkChanging(b *testing.B) {
	benchmark(b, 1000, 1024, func(at int64) int64 { return 400 + at%7 })
}

func BenchmarkGrowing(b *testing.B) {
	benchmark(b, 1000, 20000, func(at int64) int64 { return 2000 + at%10000 })
}

// benchmark takes a sample of each of n processes in turn; what is told is the time of one.
func benchmark(b *testing.B, n int, limit int64, open func(second int64) int64) {
	all := make([]process, n)
	add := func(at int64) {
		for i := range all {
			p := &all[i]
			p.t.Add(1+at*second, open(at), -1, limit, 0)
			p.w.Check(&p.t)
		}
	}
	at := int64(0)
	for ; at < 600; at++ {
		add(at)
	}
	b.ReportAllocs()
	from := processor(b)
	for b.Loop() {
		add(at)
		at++
	}
	b.ReportMetric(float64(processor(b)-from)/float64(b.N)/float64(n), "cpu-ns/process")
}

// processor is the processor time so far, which the load of others does not make longer, nanoseconds.
func processor(b *testing.B) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return ts.Nano()
}
