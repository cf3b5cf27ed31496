package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wide are the ranges of runes that take two cells in a terminal (Unicode's East_Asian_Width W and
// F, in blocks; emoji included).
var wide = [...][2]rune{
	{0x1100, 0x115f}, {0x231a, 0x231b}, {0x2329, 0x232a}, {0x23e9, 0x23ec}, {0x23f0, 0x23f0}, {0x23f3, 0x23f3},
	{0x25fd, 0x25fe}, {0x2614, 0x2615}, {0x2648, 0x2653}, {0x267f, 0x267f}, {0x2693, 0x2693}, {0x26a1, 0x26a1},
	{0x26aa, 0x26ab}, {0x26bd, 0x26be}, {0x26c4, 0x26c5}, {0x26ce, 0x26ce}, {0x26d4, 0x26d4}, {0x26ea, 0x26ea},
	{0x26f2, 0x26f3}, {0x26f5, 0x26f5}, {0x26fa, 0x26fa}, {0x26fd, 0x26fd}, {0x2705, 0x2705}, {0x270a, 0x270b},
	{0x2728, 0x2728}, {0x274c, 0x274c}, {0x274e, 0x274e}, {0x2753, 0x2755}, {0x2757, 0x2757}, {0x2795, 0x2797},
	{0x27b0, 0x27b0}, {0x27bf, 0x27bf}, {0x2b1b, 0x2b1c}, {0x2b50, 0x2b50}, {0x2b55, 0x2b55}, {0x2e80, 0x303e},
	{0x3041, 0x33ff}, {0x3400, 0x4dbf}, {0x4e00, 0x9fff}, {0xa000, 0xa4cf}, {0xa960, 0xa97f}, {0xac00, 0xd7a3},
	{0xf900, 0xfaff}, {0xfe10, 0xfe19}, {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x16fe0, 0x18cff},
	{0x1aff0, 0x1b2ff}, {0x1f004, 0x1f004}, {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f18e}, {0x1f191, 0x1f19a}, {0x1f1e6, 0x1f320},
	{0x1f32d, 0x1f335}, {0x1f337, 0x1f37c}, {0x1f37e, 0x1f393}, {0x1f3a0, 0x1f3ca}, {0x1f3cf, 0x1f3d3}, {0x1f3e0, 0x1f3f0},
	{0x1f3f4, 0x1f3f4}, {0x1f3f8, 0x1f43e}, {0x1f440, 0x1f440}, {0x1f442, 0x1f4fc}, {0x1f4ff, 0x1f53d}, {0x1f54b, 0x1f54e},
	{0x1f550, 0x1f567}, {0x1f57a, 0x1f57a}, {0x1f595, 0x1f596}, {0x1f5a4, 0x1f5a4}, {0x1f5fb, 0x1f64f}, {0x1f680, 0x1f6c5},
	{0x1f6cc, 0x1f6cc}, {0x1f6d0, 0x1f6d2}, {0x1f6d5, 0x1f6d7}, {0x1f6dc, 0x1f6df}, {0x1f6eb, 0x1f6ec}, {0x1f6f4, 0x1f6fc},
	{0x1f7e0, 0x1f7eb}, {0x1f7f0, 0x1f7f0}, {0x1f90c, 0x1f93a}, {0x1f93c, 0x1f945}, {0x1f947, 0x1f9ff}, {0x1fa70, 0x1faff},
	{0x20000, 0x3fffd},
}

// runeCells is how many cells of a terminal a rune takes.
func runeCells(r rune) int {
	if r < 0x300 {
		return 1
	}
	lo, hi := 0, len(wide)
	for lo < hi {
		m := (lo + hi) / 2
		switch {
		case r > wide[m][1]:
			lo = m + 1
		case r < wide[m][0]:
			hi = m
		default:
			if r >= 0x302a && r <= 0x309a && unicode.Is(unicode.Mn, r) {
				return 0
			}
			return 2
		}
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	return 1
}

// cells is the width of a clean string.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += runeCells(r)
	}
	return n
}

// harmless says whether a terminal and a reader take a rune for what it is: no control character,
// nothing that changes the direction of text or cannot be seen.
func harmless(r rune) bool {
	return r == ' ' || unicode.IsPrint(r) && r != utf8.RuneError && !unicode.Is(unicode.Cf, r)
}

// clean makes foreign text safe on one line: what is not harmless is escaped, white space is a
// blank, and marks that pile up on one character are cut off.
func clean(s string) string {
	ok := true
	for _, r := range s {
		if !harmless(r) || r >= 0x300 {
			ok = false
			break
		}
	}
	if ok {
		return s
	}
	var b strings.Builder
	marks := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case r < 0x80 && !harmless(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case !harmless(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		case runeCells(r) == 0:
			if marks++; marks <= 3 {
				b.WriteRune(r)
			}
			i += n
			continue
		default:
			b.WriteRune(r)
		}
		marks = 0
		i += n
	}
	return b.String()
}

// cut shortens a clean string to at most w cells, with "…" in place of its end.
func cut(s string, w int) string {
	if cells(s) <= w {
		return s
	}
	n := 0
	for i, r := range s {
		k := runeCells(r)
		if n+k > w-1 {
			return s[:i] + "…"
		}
		n += k
	}
	return s
}

// middle shortens a clean string to at most w cells with "…" in its middle: the ends of paths and
// commands tell the most.
func middle(s string, w int) string {
	total := cells(s)
	if total <= w {
		return s
	}
	if w < 8 {
		return cut(s, w)
	}
	head := w / 3
	tail := w - head - 1
	n, i := 0, 0
	for k, r := range s {
		if n+runeCells(r) > head {
			i = k
			break
		}
		n += runeCells(r)
	}
	n = cells(s[i:])
	for k, r := range s[i:] {
		if n <= tail && runeCells(r) > 0 { // no mark without its character
			return s[:i] + "…" + s[i+k:]
		}
		n -= runeCells(r)
	}
	return cut(s, w)
}

// wrap breaks a clean string into lines of at most w cells, at blanks where it can.
func wrap(s string, w int) []string {
	w = max(w, 2) // a wide rune must fit
	var out []string
	line, n := "", 0
	flush := func() {
		out = append(out, line)
		line, n = "", 0
	}
	for _, word := range strings.Fields(s) {
		k := cells(word)
		if n > 0 && n+1+k > w && (k <= w || n > w/2) {
			flush()
		}
		if n > 0 && n+1 < w {
			line += " "
			n++
		} else if n > 0 {
			flush()
		}
		for n+k > w { // longer than a line
			i, m := 0, 0
			for j, r := range word {
				if m+runeCells(r) > w-n {
					i = j
					break
				}
				m += runeCells(r)
			}
			if i == 0 && n == 0 { // cannot be: w is 2 at least
				return append(out, cut(word, w))
			}
			line += word[:i]
			flush()
			word = word[i:]
			k = cells(word)
		}
		line += word
		n += k
	}
	if line != "" {
		flush()
	}
	return out
}

// pad fills a clean string up to w cells.
func pad(s string, w int) string {
	if n := w - cells(s); n > 0 {
		return s + strings.Repeat(" ", n)
	}
	return s
}
