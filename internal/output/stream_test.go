package output

import (
	"bytes"
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// all is what a stream gives to its end.
type all struct {
	spans   []Span
	torn    []Torn
	foreign Foreign
	tally   tally
}

// streamed writes p in pieces of at most so many bytes, 0: as a whole.
func streamed(p []byte, most int, seed int64) (a all) {
	r := rand.New(rand.NewSource(seed))
	var s Stream
	for len(p) > 0 {
		n := len(p)
		if most > 0 {
			n = min(n, 1+r.Intn(most))
		}
		spans, torn := s.Write(p[:n])
		a.spans, a.torn = append(a.spans, spans...), append(a.torn, torn...)
		p = p[n:]
	}
	spans, torn := s.Flush()
	a.spans, a.torn = append(a.spans, spans...), append(a.torn, torn...)
	a.foreign, _ = s.Foreign()
	a.tally = s.lines.tally
	return a
}

// busy is a long log with all that there is to find in it.
func busy(seed int64) []byte {
	r := rand.New(rand.NewSource(seed))
	names := slices.Sorted(func(yield func(string) bool) {
		for k := range forms {
			if !yield(k) {
				return
			}
		}
	})
	var b []byte
	name := names[r.Intn(len(names))]
	for i := range 1500 + r.Intn(3000) {
		line := forms[name](i)
		switch x := r.Intn(300); {
		case x == 0:
			b = append(b, line[:r.Intn(len(line))]...)
		case x == 1:
			b = append(append(append(append(b, line[:len(line)/2]...), forms[name](i+1)...), '\n'), line[len(line)/2:]...)
		case x == 2:
			b = append(b, random(1+r.Intn(900), int64(i))...)
		case x == 3:
			b = append(b, make([]byte, r.Intn(2000))...)
		case x == 4:
			line = "für Jürgen: заказ принят ✓ \xe4\xf6\xfc"
		case x == 5:
			line = strings.Repeat(line+" ", 1+r.Intn(60))
		case x == 6 && r.Intn(8) == 0:
			name = names[r.Intn(len(names))]
		case x < 30:
			line = "\tat org.example.Shop.place(Shop.java:12)"
		}
		b = append(append(b, line...), '\n')
	}
	return b
}

func TestStreamChunks(t *testing.T) {
	spans, torn := 0, 0
	for seed := range int64(24) {
		b := busy(seed)
		want := streamed(b, 0, 0)
		spans, torn = spans+len(want.spans), torn+len(want.torn)
		for i, most := range []int{40, 700, 5000, 100000} {
			if got := streamed(b, most, seed+int64(i)); !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, pieces up to %d: %+v, whole %+v", seed, most, got, want)
			}
		}
	}
	if spans < 50 || torn < 50 {
		t.Errorf("%d spans and %d torn lines found", spans, torn)
	}
}

// FuzzStream: any bytes in any chunking give the same as one chunk.
func FuzzStream(f *testing.F) {
	for seed := range int64(6) {
		f.Add(busy(seed)[:20000], seed)
	}
	f.Fuzz(func(t *testing.T, b []byte, seed int64) {
		want := streamed(b, 0, 0)
		for _, most := range []int{30, 900} {
			if got := streamed(b, most, seed); !reflect.DeepEqual(got, want) {
				t.Fatalf("in pieces %+v, whole %+v", got, want)
			}
		}
	})
}

// Whole lines end a piece of garbage, and what comes after it is a second one.
func TestWholeLinesEndSpan(t *testing.T) {
	honest := strings.Repeat("2026-11-22 07:24:16 INFO checkout 8812 ok\n", 300)
	first := string(random(300, 1))
	b := []byte(honest + first + "ok line\n2026 new file ok\ngarbage in new " + strings.Repeat("\x00", 14) + "\n" + honest)
	got := streamed(b, 0, 0).spans
	if len(got) != 2 || got[0].Offset+got[0].Length > int64(len(honest)+len(first)+1) || got[1].Length != 14 {
		t.Errorf("%+v", got)
	}
	// Structures with pieces of text in them stay one.
	b = []byte(honest + strings.Repeat(string(random(100, 2))+"name of something", 20) + "\n" + honest)
	if got := streamed(b, 0, 0).spans; len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

// followed gives a log to a Watch in parts, as two files if there is a second one.
func watched(files ...[]byte) (spans []string, torn []FoundTorn) {
	w := NewWatch(func(f Found, growing bool) {
		spans = append(spans, fmt.Sprint(f.Offset, " ", f.Length, " ", f.Line, " ", growing))
	}, func(f FoundTorn) { torn = append(torn, f) })
	at := int64(0)
	r := rand.New(rand.NewSource(1))
	for _, b := range files {
		line, off := int64(1), int64(0)
		for len(b) > 0 {
			n := min(len(b), 1+r.Intn(900))
			w.Take(&Part{Form: Raw, At: at, Offset: off, Line: line, Text: b[:n]})
			w.Look()
			line += int64(bytes.Count(b[:n], []byte("\n")))
			at, off, b = at+int64(n), off+int64(n), b[n:]
		}
	}
	w.End()
	return spans, torn
}

// A followed log's torn lines are those of the log that is read as a whole, also behind a rotation.
func TestWatchTorn(t *testing.T) {
	for seed := range int64(6) {
		b := []byte(strings.Join(logOf("ISO", 300), "\n") + "\n")
		b = append(b, damaged(seed)...)
		var want []FoundTorn
		if _, err := CheckLines(bytes.NewReader(b), func(Found) error { return nil }, func(f FoundTorn) error { f.Start = f.Offset; want = append(want, f); return nil }); err != nil {
			t.Fatal(err)
		}
		if _, got := watched(b); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %+v, want %+v", seed, got, want)
		}
		whole := []byte(strings.Join(logOf("ISO", 100), "\n") + "\nand one that goes on ")
		_, got := watched(whole, b)
		if _, want := watched(append(slices.Clone(whole), b...)); len(got) != len(want) {
			t.Fatalf("seed %d: %d behind a rotation, want %d", seed, len(got), len(want))
		}
		for i, g := range got {
			if n := int64(1 + bytes.Count(b[:g.Offset], []byte("\n"))); g.Line != n {
				t.Errorf("seed %d, %d: line %d, stands in %d", seed, i, g.Line, n)
			}
		}
	}
}

// What was told while it grew is told again when it ends as something longer.
func TestWatchGrown(t *testing.T) {
	honest := []byte(strings.Repeat("2026-11-22 07:24:16 INFO checkout 8812 ok\n", 300))
	b := append(append(slices.Clone(honest), random(5000, 1)...), "\n"...)
	b = append(b, honest...)
	spans, _ := watched(b)
	if len(spans) != 2 || !strings.HasSuffix(spans[0], " true") || !strings.HasSuffix(spans[1], " false") {
		t.Errorf("%q", spans)
	}
}
