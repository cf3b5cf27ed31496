package output

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// textPrefix agrees with a plain reading, byte for byte, at every place.
func TestTextPrefix(t *testing.T) {
	for name, s := range texts {
		b := []byte(s)[:min(len(s), 2000)]
		for from := range b {
			want := from
			for want < len(b) {
				r, n := utf8.DecodeRune(b[want:])
				if r == utf8.RuneError && n <= 1 || n == 1 && class[b[want]] != plain {
					break
				}
				want += n
			}
			if got := from + textPrefix(b[from:]); got != want {
				t.Fatalf("%s from %d: %d, want %d", name, from, got, want)
			}
		}
	}
	for b := range 256 { // each byte at each place of a word
		for at := range 40 {
			p := []byte(strings.Repeat("a", 40))
			p[at] = byte(b)
			want := 40
			if class[b] != plain {
				want = at
			}
			if got := textPrefix(p); got != want {
				t.Fatalf("%#x at %d: %d", b, at, got)
			}
		}
	}
}
