package agent

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/descry-dev/descry/internal/probe"
)

// ledger is what the kernel would have of writes that ended in the order in which they stand here.
func ledger(writes ...string) (runs []probe.Written) {
	at := int64(0)
	for i, s := range writes {
		runs = append(runs, probe.Written{
			Offset: at, LastOffset: at, Length: int64(len(s)), Writes: 1, TID: int32(100 + i), First: []byte(s[:min(len(s), 16)]),
		})
		at += int64(len(s))
	}
	return runs
}

func say(pieces []piece) (out []string) {
	for _, p := range pieces {
		s := fmt.Sprintf("%d %d-%d", p.run.TID, p.from, p.to)
		if !p.exact {
			s += " ?"
		}
		out = append(out, s)
	}
	return out
}

func TestPlace(t *testing.T) {
	const a, b, c = "the first line\n", "a second line, longer\n", "and the third one\n"
	for _, test := range []struct {
		name     string
		runs     []probe.Written
		data     string
		from     int64 // of data in the stream
		a, b     int64
		ahead    int64
		terminal bool
		want     []string
	}{
		{name: "as it went", runs: ledger(a, b, c), data: a + b + c, a: 10, b: 40, want: []string{"100 10-15", "101 15-37", "102 37-40"}},
		{name: "two changed places in the pipe", runs: ledger(a, c, b), data: a + b + c, a: 0, b: 55, want: []string{"100 0-15", "102 15-37", "101 37-55"}},
		{name: "one was not seen", runs: append(ledger(a, b), probe.Written{Offset: 37, LastOffset: 37, Length: 18, Writes: 1, TID: 109, First: []byte(c[:16])}),
			data: "by io_uring, unseen\n" + a + b + c, a: 20, b: 75, want: []string{"100 20-35", "101 35-57", "109 57-75"}},
		{name: "the beginning is unseen", runs: ledger(a, b), data: "by io_uring, unseen\n" + a + b, a: 0, b: 30, want: []string{"100 20-30"}},
		{name: "known to be ahead", runs: ledger(a, b), data: a + b, from: 1000, ahead: 1000, a: 1000, b: 1016, want: []string{"100 1000-1015", "101 1015-1016"}},
		{name: "gone from the ring", runs: ledger(a, b, c), data: c, from: 37, a: 15, b: 50, want: []string{"101 15-37 ?", "102 37-50"}},
		{name: "all of it gone from the ring", runs: ledger(a, b, c), data: c, from: 37, a: 15, b: 30, want: []string{"101 15-30 ?"}},
		{name: "moved from a file", runs: append(ledger(a), probe.Written{Offset: 15, LastOffset: 15, Length: 22, Writes: 1, TID: 101}),
			data: a + b, a: 15, b: 37, want: []string{"101 15-37 ?"}},
		{name: "a run with another in it", runs: []probe.Written{
			{Offset: 0, Length: 33, Writes: 2, LastOffset: 15, TID: 1, First: []byte(a), Last: []byte(c[:16])},
			{Offset: 33, Length: 22, Writes: 1, LastOffset: 33, TID: 2, First: []byte(b[:16])},
		}, data: a + b + c, a: 0, b: 55, want: []string{"1 0-15 ?", "2 15-37", "1 37-33 ?"}[:2]},
		{name: "a terminal", runs: ledger(a, b, c), data: "the first line\r\na second line, longer\r\nand the third one\r\n", terminal: true,
			a: 16, b: 39, want: []string{"101 16-39"}},
		{name: "nothing", data: a, a: 0, b: 15},
	} {
		w := window{data: []byte(test.data), from: test.from}
		if test.terminal {
			w = terminalWindow(w)
		}
		ahead := test.ahead
		if got := say(place(test.runs, w, test.a, test.b, &ahead)); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// Writers that race: whatever order the calls' ends have, each byte that is said to be sure is right.
func TestPlaceRaces(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	right, sure := 0, 0
	for round := range 300 {
		var data []byte
		var runs []probe.Written
		var by []int32
		for i := range 60 {
			s := fmt.Sprintf("%02d thread %d line %d of it\n", round%100, i%4, i)
			if r.IntN(3) == 0 {
				s = string(bytes.Repeat([]byte{byte(r.IntN(256)), byte(r.IntN(256))}, 5+r.IntN(40)))
			}
			runs = append(runs, probe.Written{Length: int64(len(s)), Writes: 1, TID: int32(i), First: []byte(s[:min(16, len(s))])})
			data = append(data, s...)
			by = append(by, slices.Repeat([]int32{int32(i)}, len(s))...)
		}
		for i := 0; i+1 < len(runs); i++ { // neighbours end in another order
			if r.IntN(4) == 0 {
				runs[i], runs[i+1] = runs[i+1], runs[i]
			}
		}
		at := int64(0)
		for i := range runs {
			runs[i].Offset, runs[i].LastOffset = at, at
			at += runs[i].Length
		}
		var ahead int64
		for _, p := range place(runs, window{data: data}, 0, int64(len(data)), &ahead) {
			for k := p.from; k < p.to && p.exact; k++ {
				sure++
				if by[k] == p.run.TID {
					right++
				}
			}
		}
	}
	if float64(right) < 0.999*float64(sure) || sure < 150*1000 {
		t.Errorf("%d of %d sure bytes are right", right, sure)
	}
}

func FuzzPlace(f *testing.F) {
	f.Add([]byte("some text\r\nand more\n"), int64(3), int64(9), int64(0), int64(10), int64(5), true)
	f.Add([]byte{0, 1, 2}, int64(-1), int64(1<<40), int64(1<<62), int64(-5), int64(-1<<63), false)
	f.Fuzz(func(t *testing.T, data []byte, a, b, offset, length, ahead int64, terminal bool) {
		if len(data) > 1<<12 {
			return
		}
		w := window{data: data, from: max(0, offset%1000)}
		if terminal {
			w = terminalWindow(w)
		}
		runs := []probe.Written{
			{Offset: offset, LastOffset: offset, Length: length, Writes: 1, First: data[:min(16, len(data))]},
			{Offset: offset / 2, LastOffset: length, Length: 7, Writes: 3, First: data[:min(3, len(data))], Last: data[:min(1, len(data))]},
		}
		last := int64(-1 << 63)
		for _, p := range place(runs, w, a, b, &ahead) {
			if p.from >= p.to || p.from < last {
				t.Fatalf("%d to %d behind %d", p.from, p.to, last)
			}
			last = p.to
		}
	})
}
