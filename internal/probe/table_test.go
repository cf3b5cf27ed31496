//go:build linux

package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// spent gives how long a program has run in the kernel, and how often.
func (w *watch) spent(name string) (time.Duration, uint64) {
	w.t.Helper()
	for _, l := range w.links {
		info, err := l.Info()
		if err != nil {
			continue
		}
		p, err := ebpf.NewProgramFromID(info.Program)
		if err != nil {
			continue
		}
		if i, err := p.Info(); err == nil && i.Name == name {
			st, err := p.Stats()
			p.Close()
			if err != nil {
				w.t.Fatal(err)
			}
			return st.Runtime, st.RunCount
		}
		p.Close()
	}
	w.t.Fatalf("no program %s", name)
	return 0, 0
}

func TestManyDescriptors(t *testing.T) {
	var lim unix.Rlimit
	must(unix.Getrlimit(unix.RLIMIT_NOFILE, &lim))
	n := min(int(lim.Max), 20000) - 100
	w := open(t, Config{})
	w.need("probe/exit")
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err == nil {
		defer stats.Close()
	}
	k := w.start("many", strconv.Itoa(n), t.TempDir())
	var open, highest int64
	if _, err := fmt.Sscan(k.line(), &open, &highest); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	table, err := w.Table(k.pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("table of the living: %v", time.Since(start))
	k.in.Close()
	k.end()
	w.flushed()
	_, e := w.exitOf(k.pid)
	if ns, times := w.spent("on_exit"); stats != nil {
		t.Logf("%d descriptors at death: %v in all %d threads", e.FDs.Open, ns, times)
	}
	for _, got := range []*evidence.FDTable{table, e.FDs} {
		if got.Open != open || got.Partial != "" || got.Highest < open-1 {
			t.Errorf("%d open, highest %d, partial %q; want %d", got.Open, got.Highest, got.Partial, open)
		}
		var one, own, sum int64
		for _, g := range got.Groups {
			sum += g.Count
			switch {
			case strings.HasSuffix(g.Path, "/one"):
				one += g.Count
			case strings.HasSuffix(g.Path, "/001/*"):
				own += g.Count
			}
		}
		// Beyond 512 groups, files are told apart by directory only.
		if sum != got.Open || one+own != int64(n) || one < 256 || own < int64(n/2) {
			t.Errorf("groups sum to %d of %d; %d are one file, %d others of its directory", sum, got.Open, one, own)
		}
		if len(got.Groups) > 30 {
			t.Errorf("%d groups, the first %+v", len(got.Groups), got.Groups[:3])
		}
	}
}

func TestLossesAreCounted(t *testing.T) {
	s, err := Open(Config{})
	if errors.Is(err, ErrNotSupported) {
		t.Skip("needs eBPF: ", err)
	}
	must(err)
	defer s.Close()
	w := &watch{Set: s, t: t} // nobody reads the ring
	const n = 4000
	k := w.start("forks", strconv.Itoa(n), "wide")
	k.line()
	k.end()
	lost := s.Lost()
	if lost["probe/exit"] == 0 {
		t.Fatalf("lost %v of %d ends, none of which was read", lost, n)
	}
	var whole int64
	done := make(chan error)
	go func() {
		done <- s.Run(func(o *evidence.Observation) {
			if o.Kind() == evidence.KindExit {
				whole++
			}
		})
	}()
	if !s.Flush(patience) {
		t.Fatal("the ring was not read in time")
	}
	if after := s.Lost()["probe/exit"]; after != lost["probe/exit"] {
		t.Errorf("lost %d, then %d", lost["probe/exit"], after)
	}
	must(s.Close())
	must(<-done)
	// Groups and paths are events too, so that more were lost than ends.
	if whole == 0 || whole > n || whole+lost["probe/exit"] < n {
		t.Errorf("%d ends read and %d events lost, of %d ends", whole, lost["probe/exit"], n)
	}
}

func TestJoin(t *testing.T) {
	group := func(path string, count int64) evidence.FDGroup {
		return evidence.FDGroup{Kind: evidence.FDFile, Path: path, Count: count}
	}
	for what, c := range map[string]struct {
		in   []evidence.FDGroup
		want string
	}{
		"a leak of one file":          {[]evidence.FDGroup{group("/d/a", 250), group("/d/b", 1), group("/d/c", 1)}, "/d/a 250 /d/b 1 /d/c 1"},
		"many files of one directory": {[]evidence.FDGroup{group("/d/a", 1), group("/d/b", 2), group("/d/c", 1), group("/d/d", 1), group("/e/a", 1)}, "/d/* 5 /e/a 1"},
		"both":                        {[]evidence.FDGroup{group("/d/a", 30), group("/d/b", 1), group("/d/c", 1), group("/d/d", 1), group("/d/e", 1)}, "/d/a 30 /d/* 4"},
		"the rest of a directory":     {[]evidence.FDGroup{group("/d/a", 1), group("/d/*", 300)}, "/d/* 301"},
		"deleted ones":                {[]evidence.FDGroup{group("/d/a (deleted)", 1), group("/d/b (deleted)", 1), group("/d/c (deleted)", 1), group("/d/d (deleted)", 1)}, "/d/* 4"},
		"not a path":                  {[]evidence.FDGroup{group("", 3)}, " 3"},
	} {
		var j joiner
		for i := range c.in {
			j.add(&fdGroup{}, c.in[i])
		}
		table := evidence.FDTable{Groups: j.join()}
		table.SortGroups()
		var got []string
		for _, g := range table.Groups {
			got = append(got, fmt.Sprintf("%s %d", g.Path, g.Count))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", what, s, c.want)
		}
	}
}

func TestReadPath(t *testing.T) {
	for in, want := range map[string]string{
		"\x00file\x00dir\x00usr\x00/\x00\x00": "/usr/dir/file",
		"\x01gone\x00tmp\x00\x00":             "/tmp/gone (deleted)",
		"\x02deep\x00er\x00\x00":              "…/er/deep",
		"\x00/\x00\x00":                       "/",
		"\x00\x00":                            "/",
		"\x01memfd:x\x00\x00":                 "memfd:x (deleted)",
		"\x04\x09/run/sock":                   "/run/sock",
		"\x04\x0a/run/sock":                   "",
		"\x04\x06\x00local":                   "@local",
		"":                                    "",
		"\x04":                                "",
		"\x00cut":                             "/cut",
	} {
		if got := readPath([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzEvents feeds the decoders with whatever an event could hold.
func FuzzEvents(f *testing.F) {
	head := func(typ uint32, size int) []byte {
		b := make([]byte, headerSize+size)
		binary.LittleEndian.PutUint32(b[8:], typ)
		return b
	}
	for _, typ := range []uint32{evFork, evExec, evExit, evFDGroups, evFDPaths, evSignalSent, evSignalFatal, evSignalCaught, evMappings, evOOM} {
		for _, size := range []int{0, 8, 16, 24, 200, 600, 5000} {
			f.Add(head(typ, size))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := &Set{comms: map[[16]byte]string{}, handle: func(o *evidence.Observation) {
			if _, err := o.AppendBinary(nil); err != nil {
				t.Error(err)
			}
		}}
		s.counters.init()
		for _, p := range []*Probe{forkProbe, execProbe, exitProbe, signalProbe, oomProbe} {
			for i := range p.Events {
				s.byType[p.Events[i].Type] = &p.Events[i]
			}
		}
		s.event(raw)
		s.event(raw) // what the first has left behind
	})
}

func BenchmarkSweep(b *testing.B) {
	s, err := Open(Config{})
	if errors.Is(err, ErrNotSupported) {
		b.Skip("needs eBPF: ", err)
	}
	must(err)
	defer s.Close()
	const n = 1000
	in, out, err := os.Pipe()
	must(err)
	defer out.Close()
	for range n {
		p, err := os.StartProcess("/proc/self/exe", []string{"x"}, &os.ProcAttr{
			Env: append(os.Environ(), childMode+"=sleep"), Files: []*os.File{in, nil, nil, in},
		})
		must(err)
		must(s.Track(p.Pid))
		defer func() { _, _ = p.Wait() }()
		defer func() { _ = p.Kill() }()
	}
	var seen int
	for b.Loop() {
		seen = 0
		must(s.Sweep(func(*evidence.Observation) { seen++ }))
	}
	if seen != n {
		b.Errorf("%d processes seen, want %d", seen, n)
	}
}
