package casebook

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/google/go-cmp/cmp"
)

// real is a case as large as one of a busy program.
func real(n int) *evidence.Case {
	c := numbered(n)
	c.Subject.Namespace, c.Subject.Pod, c.Subject.Container = "shop", fmt.Sprintf("cart-%d", n%50), "app"
	c.Findings[0].Summary = strings.Repeat("It overflowed its set. ", 10)
	for i := range 20 {
		c.RuledOut = append(c.RuledOut, evidence.RuledOut{Cause: fmt.Sprint("cause-", i), Because: strings.Repeat("0 of 1204 ", 6)})
	}
	for i := range 150 {
		c.Timeline = append(c.Timeline, evidence.Observation{Source: evidence.SourceKernel, PID: int32(i), Detail: &evidence.Fork{Child: int32(i)}})
	}
	c.LastOutput = &evidence.LastOutput{Stdout: make([]byte, 16<<10), Stderr: make([]byte, 8<<10)}
	if n%10 == 0 {
		c.Core = &evidence.Core{Fingerprint: fmt.Sprint("f", n), Backtrace: []string{strings.Repeat("frame ", 100)}}
	}
	return c
}

// Many deaths at once: p99 of Put at 50 a second is reported; in docs/performance.md stands what it was.
func BenchmarkPutAt50(b *testing.B) {
	book := New(b.TempDir(), Bounds{Cases: 1000})
	var (
		mu   sync.Mutex
		took []time.Duration
		wg   sync.WaitGroup
	)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	n := 0
	for b.Loop() {
		<-tick.C
		n++
		c := real(n)
		from := time.Now()
		wg.Go(func() {
			if _, err := book.Put(c); err != nil {
				b.Error(err)
			}
			mu.Lock()
			took = append(took, time.Since(from))
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
}

func BenchmarkList5000(b *testing.B) {
	dir := b.TempDir()
	book := New(dir, Bounds{Cases: 5000, Bytes: 4 << 30})
	var wg sync.WaitGroup
	for g := range 50 {
		wg.Go(func() {
			for i := range 100 {
				if _, err := book.Put(real(g*100 + i)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportAllocs()
	for b.Loop() {
		entries, problems, err := book.List()
		if len(entries) != 5000 || len(problems) != 0 || err != nil {
			b.Fatal(len(entries), problems, err)
		}
	}
}

// What the quick way reads is what all of the case says.
func TestQuickEntryIsTheWholeOne(t *testing.T) {
	b := New(t.TempDir(), Bounds{})
	cases := []*evidence.Case{numbered(1), real(2), real(10)}
	little := numbered(3)
	little.Death, little.Findings, little.Timeline = nil, nil, nil
	big := real(20)
	big.LastOutput = nil
	big.Core.Backtrace = slices.Repeat(big.Core.Backtrace, 100)
	huge := real(30)
	huge.Core.Backtrace = slices.Repeat(huge.Core.Backtrace, 10_000) // longer than the ends that are read
	output := real(31)
	output.LastOutput.Stdout = []byte(strings.Repeat("\n  \"core\": {\"fingerprint\": \"no\"}", 10_000))
	output.Findings[0].Summary = "\n  \"core\": {}\n}\n" + strings.Repeat("x", 2*headBytes)
	warning, counted := real(40), real(41)
	warning.Kind, warning.Death, warning.Limit, warning.WithdrawnAt = evidence.CaseWarning, nil, "memory.max", time.Now().UTC()
	counted.More, counted.Core = &evidence.More{Count: 3, LastAt: time.Now().UTC()}, nil
	q := newQuickReader()
	for _, c := range append(cases, little, big, huge, output, warning, counted) {
		put(t, b, c)
		whole, err := b.read(fileName(c.ID))
		if err != nil {
			t.Fatal(err)
		}
		quick, err := b.entryOf(fileName(c.ID), q)
		if d := cmp.Diff(entry(whole), quick); d != "" || err != nil {
			t.Error(err, d)
		}
		if _, err := b.quick(fileName(c.ID), q); (err == nil) == (c == huge) { // which takes the long way
			t.Errorf("%s: the quick way says %v", c.ID, err)
		}
	}
	// A damaged file is not taken for a case, wherever it was cut.
	text, err := os.ReadFile(filepath.Join(b.Dir(), fileName(big.ID)))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(text); n += 1997 {
		if err := os.WriteFile(filepath.Join(b.Dir(), fileName(big.ID)), text[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := b.entryOf(fileName(big.ID), q); err == nil {
			t.Fatalf("%d of %d bytes are a case", n, len(text))
		}
	}
}

func TestBooksMemoryOfItsFolder(t *testing.T) {
	dir := t.TempDir()
	b, other := New(dir, Bounds{Cases: 20}), New(dir, Bounds{Cases: 20})
	for i := range 15 {
		put(t, b, numbered(i))
	}
	for i := range 15 {
		put(t, other, numbered(100+i)) // of which b knows nothing yet
	}
	b.mu.Lock()
	b.shelf.read = time.Now().Add(-shelfLife)
	b.mu.Unlock()
	put(t, b, numbered(200))
	got := ids(t, b)
	if len(got) != 20 {
		t.Errorf("%d cases", len(got))
	}
	for i := range 100 { // others remove what this one wants to
		if i%3 == 0 {
			names, _, _ := b.names()
			_ = os.Remove(filepath.Join(dir, names[len(names)-1]))
		}
		put(t, b, numbered(300+i))
	}
	if got := ids(t, b); len(got) > 20 || len(got) < 19 {
		t.Errorf("%d cases", len(got))
	}
	for range 3 { // one that is put again is one
		put(t, b, numbered(1000))
	}
}

func TestGroup(t *testing.T) {
	var (
		g     group
		mu    sync.Mutex
		begun int
		wg    sync.WaitGroup
	)
	gate := make(chan struct{})
	f := func() error {
		mu.Lock()
		begun++
		mu.Unlock()
		<-gate
		return nil
	}
	wg.Go(func() { _ = g.do(f) })
	for {
		mu.Lock()
		n := begun
		mu.Unlock()
		if n == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	for range 10 {
		wg.Go(func() { _ = g.do(f) })
	}
	for { // they wait for another one: this one may have been too early
		g.mu.Lock()
		waiting := g.next != nil
		g.mu.Unlock()
		if waiting {
			break
		}
		time.Sleep(time.Millisecond)
	}
	close(gate)
	wg.Wait()
	if begun < 2 || begun > 11 {
		t.Errorf("%d", begun)
	}
}
