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
		var want []marks
		for i := range p {
			if i%markBlock == 0 {
				want = append(want, marks{})
			}
			m, bit := &want[len(want)-1], uint64(1)<<(i%markBlock)
			if p[i] == '\n' {
				m.newline |= bit
			}
			if p[i] == '{' {
				m.brace |= bit
			}
			if p[i] >= '0' && p[i] <= '9' {
				m.digit |= bit
			}
			n := 0
			for i+n < len(p) && p[i+n]&0xe0 == 0x20 {
				n++
			}
			if run >= 8 && n >= min(run, 32) {
				m.letterless |= bit
			}
		}
		for name, set := range map[string]func([]byte, []marks){"setMarks": setMarks, "markWords": markWords} {
			got := make([]marks, len(want))
			set(p, got)
			if runs(got, run); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s, run %d: %q: %x, want %x", name, run, p, got, want)
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
