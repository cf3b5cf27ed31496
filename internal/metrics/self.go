package metrics

import (
	"bytes"
	"cmp"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// self is what /proc says of the agent's own process. The names are those that every exporter uses.
type self struct {
	cpu          time.Duration
	resident     int64
	open, limit  int64
	goroutines   int64
	heap         int64
	startSeconds float64
}

// readSelf reads what there is; what cannot be read stays 0.
func readSelf() self {
	var s self
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) == nil {
		s.cpu = time.Duration(use.Utime.Nano() + use.Stime.Nano())
	}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := bytes.Fields(b); len(f) > 1 {
			pages, _ := strconv.ParseInt(string(f[1]), 10, 64)
			s.resident = pages * int64(os.Getpagesize())
		}
	}
	if dir, err := os.ReadDir("/proc/self/fd"); err == nil {
		s.open = int64(len(dir))
	}
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil {
		s.limit = int64(lim.Cur)
	}
	s.goroutines = int64(runtime.NumGoroutine())
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	if metrics.Read(heap); heap[0].Value.Kind() == metrics.KindUint64 {
		s.heap = int64(heap[0].Value.Uint64())
	}
	s.startSeconds = started()
	return s
}

// started is when the process began, Unix time.
var started = sync.OnceValue(func() float64 {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 20 {
		return 0
	}
	ticks, _ := strconv.ParseFloat(string(f[19]), 64)
	var boot unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return 0
	}
	return float64(time.Now().UnixMilli())/1e3 - (float64(boot.Nano())/1e9 - ticks/100)
})

func goVersion() string { return runtime.Version() }

// selfFamilies are written by self.write, in this order.
var selfFamilies = []struct {
	Family
	get func(s *self) float64
}{
	{Family{Name: "process_cpu_seconds_total", Type: Counter, Unit: "seconds", Help: "Processor time of the agent."}, func(s *self) float64 { return s.cpu.Seconds() }},
	{Family{Name: "process_resident_memory_bytes", Type: Gauge, Unit: "bytes", Help: "Resident memory of the agent."}, func(s *self) float64 { return float64(s.resident) }},
	{Family{Name: "process_open_fds", Type: Gauge, Help: "Open file descriptors of the agent."}, func(s *self) float64 { return float64(s.open) }},
	{Family{Name: "process_max_fds", Type: Gauge, Help: "Soft limit of the agent's file descriptors."}, func(s *self) float64 { return float64(s.limit) }},
	{Family{Name: "process_start_time_seconds", Type: Gauge, Unit: "seconds", Help: "Unix time at which the agent was started."}, func(s *self) float64 { return s.startSeconds }},
	{Family{Name: "go_goroutines", Type: Gauge, Help: "Goroutines of the agent."}, func(s *self) float64 { return float64(s.goroutines) }},
	{Family{Name: "go_memstats_heap_alloc_bytes", Type: Gauge, Unit: "bytes", Help: "Objects on the heap, the dead that were not collected yet among them."}, func(s *self) float64 { return float64(s.heap) }},
}

func (s *self) write(p *page) {
	for i := range selfFamilies {
		f := &selfFamilies[i]
		p.family(&f.Family)
		p.put(f.get(s))
	}
}

// hidden counts the series that have no room.
func (m *Metrics) hidden() int { return len(m.series) - m.admitted }

func (m *Metrics) sortedDeaths() []deathKey {
	out := make([]deathKey, 0, len(m.deaths))
	for k := range m.deaths {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b deathKey) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.cause, b.cause), cmp.Compare(a.kind, b.kind))
	})
	return out
}
