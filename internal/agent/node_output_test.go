package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/probe"
)

// logLab is a node's logs, and what was told of them.
type logLab struct {
	*testing.T
	*logs
	cfg  logsConfig
	dir  string
	stop func()

	mu    sync.Mutex
	told  map[uint32][]*evidence.Observation
	signs map[uint32][]string
	said  []string
}

func newLogLab(t *testing.T, set func(*logsConfig)) *logLab {
	t.Helper()
	l := &logLab{T: t, dir: t.TempDir(), told: map[uint32][]*evidence.Observation{}, signs: map[uint32][]string{}}
	l.cfg = logsConfig{
		Tell: func(n uint32, o *evidence.Observation) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.told[n] = append(l.told[n], o)
		},
		Sign: func(n uint32, why string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.signs[n] = append(l.signs[n], why)
		},
		Say: func(format string, args ...any) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.said = append(l.said, fmt.Sprintf(format, args...))
		},
	}
	if set != nil {
		set(&l.cfg)
	}
	l.begin()
	return l
}

func (l *logLab) begin() {
	l.Helper()
	x, err := openLogs(l.cfg)
	if err != nil {
		l.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go x.run(ctx)
	l.logs = x
	l.stop = func() {
		cancel()
		<-x.done
	}
	l.Cleanup(l.stop)
}

// until waits for something.
func (l *logLab) until(what string, is func() bool) {
	l.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			l.Fatalf("it never came: %s; said %q", what, l.said)
		}
	}
}

// write appends lines of a stream, as containerd does, one for each line of text.
func (l *logLab) write(path, stream, text string) {
	l.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		l.Fatal(err)
	}
	defer f.Close()
	for line := range strings.Lines(text) {
		tag := "F"
		if !strings.HasSuffix(line, "\n") {
			tag, line = "P", line+"\n"
		}
		fmt.Fprintf(f, "%s %s %s %s", time.Now().UTC().Format(time.RFC3339Nano), stream, tag, line)
	}
}

func (l *logLab) garbled(n uint32) (all []*evidence.Garbled) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.told[n] {
		if d, ok := o.Detail.(*evidence.Garbled); ok {
			all = append(all, d)
		}
	}
	return all
}

func honestLines(from, n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "2026-11-22 07:%02d:16 INFO request %d took 17 ms\n", (from+i)%60, from+i)
	}
	return s.String()
}

func noText(n int, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		if b[i] = byte(r.Uint32()); b[i] == '\n' {
			b[i] = 1
		}
	}
	return string(b)
}

// Two containers: each one's garbage is its own, at its place in its stream, and the end of both streams is read again.
func TestLogsOfContainers(t *testing.T) {
	l := newLogLab(t, nil)
	a, b := filepath.Join(l.dir, "a.log"), filepath.Join(l.dir, "b.log")
	l.write(a, "stdout", honestLines(0, 100))
	l.follow(followedFor{subject: 1, path: a})
	l.follow(followedFor{subject: 2, path: b}) // which comes later
	l.write(b, "stderr", honestLines(0, 10))
	text := honestLines(0, 100)
	bad := noText(300, 1)
	l.write(a, "stderr", honestLines(0, 20))
	l.write(a, "stdout", bad+"\n")
	before := time.Now()
	l.write(a, "stdout", honestLines(100, 50))
	l.until("the garbage", func() bool { return len(l.garbled(1)) > 0 })
	d := l.garbled(1)[0]
	if d.Stream != "stdout" || d.Offset < int64(len(text)) || d.Offset+d.Length > int64(len(text)+len(bad)) || d.Length < 250 {
		t.Errorf("%+v, want some 300 bytes at %d", d, len(text))
	}
	o := l.told[1][0]
	if o.Subject != 1 || o.Source != evidence.SourceOutput || o.WallNanos > before.UnixNano() || before.UnixNano()-o.WallNanos > int64(time.Second) {
		t.Errorf("%+v: want the time that the runtime gave the line, of subject 1", o)
	}
	if len(l.garbled(2)) > 0 || !l.turned(1) || l.turned(2) {
		t.Error("garbage of another container")
	}
	l.settle(1, false)
	l.settle(2, false)
	last := l.last(1)
	if string(last.Stdout) != text+bad+"\n"+honestLines(100, 50) || string(last.Stderr) != honestLines(0, 20) || last.Truncated {
		t.Errorf("the end is read as %d and %d bytes", len(last.Stdout), len(last.Stderr))
	}
	if last.StdoutBytes != int64(len(last.Stdout)) || last.StderrBytes != int64(len(last.Stderr)) {
		t.Errorf("%d and %d bytes are counted", last.StdoutBytes, last.StderrBytes)
	}
	if g := last.FirstGarbage; len(g) != 1 || !strings.HasSuffix(text, string(g[0].Before)) || len(g[0].Before) != keepBefore || !strings.HasPrefix(bad+"\n", string(g[0].Begin)) {
		t.Errorf("%+v", g)
	}
	n := map[string]int64{}
	l.counters(1, n)
	if n[evidence.CountGarbled] != d.Length || n[evidence.CountLines] != 171 || n[evidence.CountOutput] != last.StdoutBytes+last.StderrBytes {
		t.Error(n)
	}
	if v := l.coverage(1, time.Now()); v.Missing != "" || v.Partial != "" || v.Lost != 0 || v.From.IsZero() {
		t.Errorf("%+v", v)
	}
	if v := l.coverage(9, time.Now()); v.Missing == "" {
		t.Errorf("of one that nobody named: %+v", v)
	}
	l.follow(followedFor{subject: 3, id: "0123"})
	if v := l.coverage(3, time.Now()); v.Missing == "" || l.last(3) != nil {
		t.Errorf("of one that has no log: %+v", v)
	}
	l.leave(1)
	if l.last(1) != nil || l.coverage(1, time.Now()).Missing == "" {
		t.Error("it is followed though it was left")
	}
}

// Garbage that is told while it grows, and grows no more, is one observation when it has ended.
func TestLogsGrowing(t *testing.T) {
	l := newLogLab(t, nil)
	a := filepath.Join(l.dir, "a.log")
	l.follow(followedFor{subject: 1, path: a})
	l.write(a, "stdout", honestLines(0, 50)+noText(300, 7)+"\n")
	l.until("the sign", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.signs[1]) == 1
	})
	l.write(a, "stdout", honestLines(50, 50))
	l.until("the garbage", func() bool { return len(l.garbled(1)) == 1 })
	l.write(a, "stdout", honestLines(100, 50)+noText(300, 8)+"\n")
	l.settle(1, false)
	n := map[string]int64{}
	if l.counters(1, n); len(l.garbled(1)) != 2 || n[evidence.CountGarbled] < 550 {
		t.Errorf("%d pieces, %d bytes", len(l.garbled(1)), n[evidence.CountGarbled])
	}
}

// A busy runtime hands on late what a program wrote: one that is known to have written something is waited for.
func TestLogsLate(t *testing.T) {
	for _, wrote := range []bool{true, false} {
		l := newLogLab(t, nil)
		a := filepath.Join(l.dir, "a.log")
		l.write(a, "stdout", "")
		l.follow(followedFor{subject: 1, path: a})
		settled := make(chan struct{})
		go func() { l.settle(1, wrote); close(settled) }()
		if !wrote {
			<-settled
			continue // nothing will come: it is not waited for
		}
		select {
		case <-settled:
			t.Error("what it wrote is not waited for")
		case <-time.After(2 * settleMost):
		}
		l.write(a, "stdout", "the words\n")
		<-settled
		if o := l.last(1); o == nil || string(o.Stdout) != "the words\n" {
			t.Errorf("%+v", o)
		}
	}
}

// Garbage that begins in the first line was meant: an archive on stdout.
func TestLogsOfBinary(t *testing.T) {
	l := newLogLab(t, nil)
	a := filepath.Join(l.dir, "a.log")
	l.follow(followedFor{subject: 1, path: a})
	l.write(a, "stdout", noText(30_000, 2))
	l.settle(1, false)
	if len(l.garbled(1)) == 0 || l.turned(1) {
		t.Errorf("%d pieces, turned %v", len(l.garbled(1)), l.turned(1))
	}
}

// Over a restart nothing is told twice, and nothing passed over; what ran long before the first start is not judged, and said.
func TestLogsRestart(t *testing.T) {
	l := newLogLab(t, func(c *logsConfig) { c.Position = filepath.Join(t.TempDir(), "logs") })
	a, old := filepath.Join(l.dir, "a.log"), filepath.Join(l.dir, "old.log")
	l.write(old, "stdout", honestLines(0, 10)+noText(100, 3)+"\n"+honestLines(10, 20))
	l.follow(followedFor{subject: 1, path: a})
	l.follow(followedFor{subject: 2, path: old, found: true})
	l.write(a, "stdout", honestLines(0, 50)+noText(100, 4)+"\n"+honestLines(50, 50))
	l.until("the garbage", func() bool { return len(l.garbled(1)) == 1 })
	if v := l.coverage(2, time.Now()); v.Partial == "" || v.Missing != "" {
		t.Errorf("of what ran before: %+v", v)
	}
	l.stop()
	l.write(a, "stdout", noText(100, 5)+"\n"+honestLines(100, 50))
	l.begin()
	l.follow(followedFor{subject: 7, path: a, found: true})
	l.follow(followedFor{subject: 8, path: old, found: true})
	l.until("the garbage of the gap", func() bool { return len(l.garbled(7)) == 1 })
	l.settle(7, false)
	l.settle(8, false)
	if v := l.coverage(7, time.Now()); v.Partial != "" {
		t.Errorf("of what was followed throughout: %+v", v)
	}
	if len(l.garbled(7)) != 1 || len(l.garbled(8)) != 0 || len(l.garbled(2)) != 0 {
		t.Errorf("told %d, %d, %d times", len(l.garbled(7)), len(l.garbled(8)), len(l.garbled(2)))
	}
	if x, y := l.garbled(1)[0], l.garbled(7)[0]; y.Offset <= x.Offset+x.Length {
		t.Errorf("the second stands at %d, the first at %d", y.Offset, x.Offset)
	}
}

// Docker starts a container again with the same log: each life has its own.
func TestLogsSecondLife(t *testing.T) {
	l := newLogLab(t, nil)
	a := filepath.Join(l.dir, "a.log")
	l.follow(followedFor{subject: 1, path: a})
	l.write(a, "stdout", honestLines(0, 50)+noText(100, 4)+"\n"+honestLines(50, 50))
	l.settle(1, false)
	l.follow(followedFor{subject: 2, path: a})
	l.write(a, "stdout", honestLines(100, 50)+noText(100, 5)+"\n"+honestLines(150, 50))
	l.until("the second's", func() bool { return len(l.garbled(2)) == 1 })
	l.leave(1)
	l.write(a, "stdout", honestLines(200, 50)+noText(100, 6)+"\n"+honestLines(250, 50))
	l.until("what comes after the first was left", func() bool { return len(l.garbled(2)) == 2 })
	if len(l.garbled(1)) != 1 {
		t.Errorf("%d of the first", len(l.garbled(1)))
	}
	n := map[string]int64{}
	l.settle(2, false)
	if l.counters(2, n); n[evidence.CountOutput] != int64(len(honestLines(100, 200))+202) {
		t.Error(n)
	}
}

// fakeLedger is what the kernel saw of some writes, from the one on at which it began.
type fakeLedger struct {
	mu   sync.Mutex
	on   bool
	runs []probe.Written
	sum  int64
}

func (f *fakeLedger) WatchOutput(probe.Output) error        { f.on, f.sum = true, 0; return nil }
func (f *fakeLedger) UnwatchOutput(probe.Output)            { f.on = false }
func (f *fakeLedger) Closer(probe.Output, int, int64) error { return nil }
func (f *fakeLedger) Outputs(int32) (out [2]probe.Output, ok bool) {
	return out, false
}
func (f *fakeLedger) Writes(dst []probe.Written, _ uint64) ([]probe.Written, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append(dst, f.runs...), nil
}

func (f *fakeLedger) wrote(tid int32, text string, odd bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := bootNanos()
	f.runs = append(f.runs, probe.Written{
		Offset: f.sum, LastOffset: f.sum, Length: int64(len(text)), PID: 40, TID: tid, Call: "write", FD: 1, Writes: 1,
		First: []byte(text[:min(16, len(text))]), Odd: odd, BootNanos: at, Until: at,
	})
	f.sum += int64(len(text))
}

// The ledger begins somewhere in the stream: the bytes tell who wrote them, or else the time, and never a bystander.
func TestLogsBlame(t *testing.T) {
	for _, x := range []struct {
		name   string
		race   int   // threads that write garbage
		seen   bool  // the garbage's own write is in the ledger
		lines  bool  // and lines around it
		want   int32 // who is blamed
		exact  bool
		unseen string // a word of why nobody is
	}{
		{"its bytes tell", 1, true, true, 41, true, ""},
		{"one write alone", 1, true, false, 41, true, ""},
		{"what wrote it was not seen", 1, false, true, 0, false, "before descry looked"},
		{"nothing was seen", 1, false, false, 0, false, "before descry looked"},
	} {
		t.Run(x.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			f := new(fakeLedger)
			l := newLogLab(t, func(c *logsConfig) { c.Ledger = f })
			a := filepath.Join(l.dir, "a.log")
			l.follow(followedFor{subject: 1, path: a, pid: int32(os.Getpid())})
			l.get(1).out[0] = probe.Output{Inode: 1} // stdout of a test is what it is
			l.write(a, "stdout", honestLines(0, 200))
			l.settle(1, false)
			l.closer(1, true)
			if !f.on {
				t.Fatal("the ledger is not begun")
			}
			bad := noText(200, 9) + "\n"
			for i := range 40 {
				line := honestLines(200+i, 1)
				if i == 20 {
					if x.seen {
						f.wrote(41, bad, true)
					} else {
						f.sum += int64(len(bad))
					}
					l.write(a, "stdout", bad)
				}
				if x.lines {
					f.wrote(42, line, false)
				}
				l.write(a, "stdout", line)
			}
			l.until("the garbage", func() bool { return len(l.garbled(1)) == 1 })
			d := l.garbled(1)[0]
			switch {
			case x.want == 0 && (d.Writer != nil || !strings.Contains(d.Unseen, x.unseen)):
				t.Errorf("%+v, %q", d.Writer, d.Unseen)
			case x.want != 0 && (d.Writer == nil || d.Writer.TID != x.want || d.Writer.Exact != x.exact):
				t.Errorf("%+v, %q", d.Writer, d.Unseen)
			}
			l.closer(1, false)
			if f.on {
				t.Error("the ledger goes on")
			}
		})
	}
}

// By the time alone: one thread is likely, two are nobody.
func TestAloneAt(t *testing.T) {
	at := bootNanos()
	run := func(tid int32, when int64, odd bool) probe.Written {
		return probe.Written{PID: 40, TID: tid, Call: "write", FD: 1, Length: 10, Writes: 1, BootNanos: when, Until: when, Odd: odd}
	}
	now := time.Now()
	if w := aloneAt([]probe.Written{run(1, at, true), run(2, at, false), run(3, at-int64(time.Minute), true)}, now); w == nil || w.TID != 1 || w.Exact {
		t.Errorf("%+v", w)
	}
	if w := aloneAt([]probe.Written{run(1, at, true), run(2, at, true)}, now); w != nil {
		t.Errorf("two wrote such bytes, and %d is blamed", w.TID)
	}
	if w := aloneAt([]probe.Written{run(1, at, true)}, time.Time{}); w != nil {
		t.Error("without a time nobody can be blamed")
	}
}

// What a thousand containers take.
func TestLogsMemory(t *testing.T) {
	l := newLogLab(t, func(c *logsConfig) { c.Position = filepath.Join(t.TempDir(), "logs") })
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const n = 1000
	for i := range n {
		path := filepath.Join(l.dir, fmt.Sprint(i, ".log"))
		l.write(path, "stdout", honestLines(0, 20))
		l.write(path, "stderr", honestLines(0, 20))
		l.follow(followedFor{subject: uint32(i + 1), path: path})
	}
	l.until("all logs", func() bool {
		for i := range uint32(n) {
			if l.get(i+1).taken() == 0 {
				return false
			}
		}
		return true
	})
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := (after.HeapAlloc - before.HeapAlloc) / n
	t.Logf("%d bytes for each container with two streams", per)
	if per > 20_000 {
		t.Errorf("%d bytes for each container", per)
	}
}

// A path of the node is found below its root as it is seen from a pod, also over links that lead to its root.
func TestInRoot(t *testing.T) {
	root := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(root, "var/lib/docker/containers/0a"), 0o700))
	must(os.MkdirAll(filepath.Join(root, "var/log/pods/x/c"), 0o700))
	must(os.MkdirAll(filepath.Join(root, "var/log/containers"), 0o700))
	log := filepath.Join(root, "var/lib/docker/containers/0a/0a-json.log")
	must(os.WriteFile(log, nil, 0o600))
	must(os.Symlink("/var/lib/docker/containers/0a/0a-json.log", filepath.Join(root, "var/log/pods/x/c/0.log")))
	must(os.Symlink("/var/log/pods/x/c/0.log", filepath.Join(root, "var/log/containers/x_ns_c-0a.log")))
	for path, want := range map[string]string{
		"/var/log/pods/x/c/0.log":           log,
		"/var/log/containers/x_ns_c-0a.log": log,
		"/var/log/pods/x/c/1.log":           filepath.Join(root, "var/log/pods/x/c/1.log"),
		"/var/log/pods/later/c/0.log":       filepath.Join(root, "var/log/pods/later/c/0.log"),
		"/../../var/log/pods/x/c/0.log":     log,
	} {
		if got, why := inRoot(root, path); got != want || why != "" {
			t.Errorf("%s is %s (%s), want %s", path, got, why, want)
		}
	}
	for _, path := range []string{"", "relative", "/dev/null"} {
		if got, why := inRoot(root, path); got != "" || why == "" {
			t.Errorf("%q is %q", path, got)
		}
	}
	if got := findLog(root, "0a"); got != "/var/log/containers/x_ns_c-0a.log" {
		t.Errorf("found %q", got)
	}
	must(os.Remove(filepath.Join(root, "var/log/containers/x_ns_c-0a.log")))
	if got := findLog(root, "0a"); got != "/var/lib/docker/containers/0a/0a-json.log" {
		t.Errorf("found %q", got)
	}
	if got := findLog(root, "*"); got != "" {
		t.Errorf("found %q", got)
	}
}
