package output

import (
	"bytes"
	"math/bits"
	"unicode/utf8"
)

// place weighs a place where a line begins inside another.
func (l *Lines) place(p []byte, s, x int) bool {
	k := &l.looks[x]
	at := l.line.at + int64(s)
	head := p
	if l.line.at > 0 {
		head = l.line.head[:l.line.n]
	}
	cost := 0
	if own := l.line.look; own >= 0 {
		if at < int64(l.looks[own].least) {
			return false
		}
		cost = l.context(p, s, k)
		switch {
		case k.json:
		case own != x:
			cost -= 4
		case k.stamp(head, p[s:]) < 3:
			return false
		}
	} else {
		// Only what is the start of a look itself is a line that was cut: else it may be a prompt.
		if at > headMost || at > int64(len(head)) {
			return false
		}
		begun, _ := k.begun(head[:at])
		if !begun || !bytes.Equal(head[:min(at, 8)], p[s:min(s+int(min(at, 8)), len(p))]) {
			return false
		}
		cost = gluedBits
	}
	if cr := bytes.IndexByte(p[:s], '\r') >= 0; cr || l.line.cr {
		return false // a progress bar
	}
	t := &l.pend
	*t = tear{on: true, kind: Glued, offset: l.pos, at: at, line: l.lines + 1, bits: max(cost, 0), weak: cost < sentenceBits, broken: k.json || l.line.look < 0}
	before := min(s, 24)
	t.n = copy(t.raw[:], p[s-before:min(len(p), s+headMost)])
	t.cut = before
	if at <= int64(min(len(head), headMost)) {
		var all [tokensMost]token
		t.tokens = tokens(head[:at], true, &all) % tokensMost
	}
	return true
}

// context is how unlikely a writer begins a line at s of p, in bits.
func (l *Lines) context(p []byte, s int, k *look) int {
	b := p[s-1]
	near := p[max(0, s-6):s]
	// Escaped newlines and control sequences end with a letter or digit.
	if bytes.ContainsAny(near, "\\#%^&\x1b") || bytes.IndexByte(p[max(0, s-24):s], 0x1b) >= 0 {
		return 0
	}
	for _, c := range p[max(0, s-16):s] {
		if class[c] != plain {
			return 0 // garbage, or a script that has no spaces
		}
	}
	switch c := tokenOf[b]; {
	case c == digits || c == word:
		first := &k.all[0]
		if first.class == c {
			if first.min != first.max || c == word && !first.same {
				// It may begin before.
				e := s - 1
				for e > 0 && e > s-8 && tokenOf[p[e-1]] == c && !(first.upper && p[e-1] >= 'a') {
					e--
				}
				if !first.upper || b < 'a' {
					if e == 0 || e == s-8 || p[e-1] != '.' && tokenOf[p[e-1]] > word {
						return 0
					}
					return sentenceBits
				}
			} else if c == digits {
				head := p
				if l.line.at > 0 {
					head = l.line.head[:l.line.n]
				}
				if n := int(first.min); len(head) < n || len(p)-s < n || !bytes.Equal(head[:n], p[s:s+n]) {
					return 0
				}
			}
		}
		return gluedBits
	case b == '}' && k.json:
		return gluedBits - 2
	case b == '.' && s >= 2 && p[s-2] == '.':
		return 0
	case b == '.' || b == '!' || b == '?':
		return sentenceBits
	}
	return 0
}

func log2(n int64) int { return bits.Len64(uint64(max(n, 1))) - 1 }

// What follows a torn line.
const (
	atUsual = iota
	atOrphan
	atEmpty
	atEnd
)

// resolve decides about the place that awaits what follows it; p is the start of a line that begins as none does.
func (l *Lines) resolve(dst []Torn, next int, p []byte) []Torn {
	t := &l.pend
	if !t.on {
		return dst
	}
	t.on = false
	usual := &l.quotes[0]
	if t.weak {
		usual = &l.quotes[1]
	}
	if t.kind == CutShort {
		usual = &l.open
	}
	cost := t.bits + min(8, log2((l.headed+2)/(*usual+1)))
	need := tornBits
	if !t.weak {
		cost = t.bits + min(12, log2((l.headed+2)/(*usual+1)))
		if l.sure >= 3 {
			need = max(8, log2(l.headed/l.sure)+2)
		}
	}
	switch next {
	case atOrphan:
		cost += min(8, log2((l.headed+2)/(l.orphans+1))) + t.joined(p)
	case atEmpty:
		cost += min(8, log2((l.headed+2)/(l.empty+1)))
	}
	if (next == atOrphan || next == atEmpty) && t.kind == Glued {
		t.kind = Interleaved
	}
	if seam := hashOf(t.raw[:t.cut]); t.kind != Glued || t.broken {
		l.habit = 0
	} else if seam == l.seam {
		l.habit++
	} else {
		l.seam, l.habit = seam, 0
	}
	if cost < need || l.habit >= 3 {
		*usual++
		return dst
	}
	l.torn++
	if !t.weak {
		l.sure++
	}
	return append(dst, Torn{t.kind, t.offset, t.length, t.at, t.line, around(t.raw[:min(t.n, t.cut+48)], t.cut)})
}

// joined is how well a line that begins as none does fits behind the part before the break: as it goes
// on in the line that begins there. In bits.
func (t *tear) joined(rest []byte) int {
	if t.tokens == 0 {
		return 0
	}
	var a, b [tokensMost]token
	whole := t.raw[t.cut:t.n]
	n, m := tokens(whole, len(whole) < headMost, &a), tokens(rest, len(rest) < headMost, &b)
	sum := 0
	for i := t.tokens; i < n && i-t.tokens < m; i++ {
		x, y := &a[i], &b[i-t.tokens]
		if !x.fits(y) || x.class == word && (x.text != y.text || x.min != y.min) {
			break
		}
		switch x.class {
		case word:
			sum += 6
		case blanks:
			sum++
		default:
			sum += 3
		}
	}
	if sum < 12 {
		return 0
	}
	return 12
}

// hashOf tells apart texts before a break, with all digits alike.
func hashOf(p []byte) uint32 {
	h := uint32(2166136261)
	for _, b := range p[max(0, len(p)-8):] {
		if tokenOf[b] == digits {
			b = '0'
		}
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}

// around is what stands around a break, on one line.
func around(p []byte, cut int) string {
	out := make([]byte, 0, len(p)+len("┆"))
	for i := 0; i < len(p); {
		if i == cut {
			out = append(out, "┆"...)
		}
		r, n := utf8.DecodeRune(p[i:])
		switch {
		case r == utf8.RuneError && n == 1 && (i < 3 || i > len(p)-4): // a character that was cut
		case r == utf8.RuneError && n == 1, r < 0x20, r >= 0x7f && r < 0xa0:
			out = append(out, '.')
		case i < cut && i+n > cut:
			n = cut - i
		case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff: // that turn or hide text
			out = append(out, '.')
		default:
			out = append(out, p[i:i+n]...)
		}
		i += n
	}
	if cut == len(p) {
		out = append(out, "┆"...)
	}
	return string(out)
}
