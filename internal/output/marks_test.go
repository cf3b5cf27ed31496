package output

import (
	"math/rand"
	"reflect"
	"testing"
)

// The marks are those of a plain reading, with assembly and without.
func TestMarks(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for round := range 300 {
		p := make([]byte, markBlock*(1+r.Intn(5)))
		for i := range p {
			if p[i] = byte(r.Intn(256)); r.Intn(3) > 0 {
				p[i] = "0123456789 :-{\n\x7f\x1f\x40\xa0"[r.Intn(4+round%15)]
			}
		}
		run := r.Intn(40)
		want := marks{n: len(p) / markBlock, braces: true}
		isDigit := func(i int) bool { return i < len(p) && p[i] >= '0' && p[i] <= '9' }
		g := signed{inPiece: r.Intn(2) == 0}
		for k := range g.ends {
			g.ends[k] = uint8(r.Intn(20))
		}
		for i := range p {
			w, bit := i/markBlock, uint64(1)<<(i%markBlock)
			if p[i] == '\n' {
				want.newline[w] |= bit
			}
			if p[i] == '{' {
				want.brace[w] |= bit
			}
			if isDigit(i) {
				want.digit[w] |= bit
				if !isDigit(i + 1) {
					want.ends[w] |= bit
				}
			}
			n := 0
			for i+n < len(p) && p[i+n]&0xe0 == 0x20 {
				n++
			}
			if run >= 8 && n >= min(run, 32) {
				want.letterless[w] |= bit
			}
		}
		for i := range p {
			all := !g.inPiece || want.letterless[i/markBlock]>>(i%markBlock)&1 != 0
			for _, e := range g.ends {
				at := i + int(e)
				all = all && at < len(p) && want.ends[at/markBlock]>>(at%markBlock)&1 != 0
			}
			if all {
				want.dates[i/markBlock] |= 1 << (i % markBlock)
			}
		}
		for _, assembly := range assemblies() {
			got := marks{braces: true}
			hadAVX2(assembly, func() {
				got.set(p, want.n)
				got.runs(run)
				got.setDates([]signed{g})
			})
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("assembly %v, run %d, %+v: %q: %v, want %v", assembly, run, g, p, got, want)
			}
		}
	}
}

// What is plain is told the same with assembly and without, for each byte at each place.
func TestPlainPrefix(t *testing.T) {
	for b := range 256 {
		for at := range 2 * markBlock {
			p := make([]byte, 2*markBlock)
			for i := range p {
				p[i] = '~'
			}
			p[at] = byte(b)
			for name, f := range map[string]func([]byte) int{"plainPrefix": plainPrefix, "plainWords": plainWords} {
				n := f(p)
				if n > at && class[b] != plain || n < at&^31 {
					t.Fatalf("%s: %d with %#x at %d", name, n, b, at)
				}
				if name == "plainPrefix" && n > at && n != len(p) {
					t.Fatalf("%s: %d with %#x at %d", name, n, b, at)
				}
			}
		}
	}
}
