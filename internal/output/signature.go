package output

import (
	"encoding/binary"
)

// Addresses and numbers are as long as a date without being one. What tells a date from most of them is where its
// numbers end: that is looked for in the set of a window's digits, for 64 places at a time.

const endsMost = 4

// signature is which bytes of a piece of a look's core are digits and which are none. It has the same length in all lines
// of the look.
type signature struct {
	n     int // bytes; 0: the look has no piece that tells it
	mask  uint64
	digit uint64
	ends  [endsMost]uint8 // where numbers end; the first again where there are fewer
	value [2]uint64       // of its first 16 bytes, what all lines have in common, as in look
	same  [2]uint64       // the mask for it
}

// signature is that of the longest piece that begins with a number and has one that ends in it, and where it begins in a line,
// at least and at most.
func (k *look) signature() (best signature, off [2]int) {
	var at [2]int
	var s signature
	ends, first, start := 0, 0, at
	for i := range k.core {
		t := &k.all[i]
		if s.n == 0 {
			first, start = i, at
		}
		fixed := t.min == t.max
		if n := min(int(t.min), 64-s.n); t.letterless() && n > 0 && (s.n > 0 || t.class == digits) {
			if t.class == digits {
				s.digit |= (1<<n - 1) << s.n
			} else if ends < endsMost && s.n > 0 && s.digit>>(s.n-1)&1 != 0 {
				s.ends[ends] = uint8(s.n - 1)
				ends++
			}
			s.n += n
			fixed = fixed && n == int(t.min)
		} else {
			fixed = false
		}
		if ends > 0 && s.n > best.n {
			best, off = s, start
			_, best.value, best.same = k.classes(first)
			best.mask = 1<<s.n - 1
			for e := ends; e < endsMost; e++ {
				best.ends[e] = best.ends[0]
			}
		}
		if !fixed {
			s, ends = signature{}, 0
		}
		at[0], at[1] = at[0]+int(t.min), at[1]+int(t.max)
	}
	return best, off
}

// signed is a signature and the looks that have it.
type signed struct {
	signature
	looks   [looksMost]bool
	inPiece bool // it begins where the look's longest piece without letters does
}

// addSign adds a look to those that are told by their signatures.
func (s *search) addSign(x int, k *look) {
	if k.sign.n == 0 {
		return
	}
	for i := range s.signs {
		g := &s.signs[i]
		if i == s.nsigns {
			g.signature, g.inPiece = k.sign, true
			s.nsigns++
		}
		if g.signature == k.sign {
			g.looks[x] = true
			g.inPiece = g.inPiece && k.signAt == k.off
			return
		}
	}
}

// dated says of a line that begins with a look whether another may begin in it that has a signature.
func (l *Lines) dated(q []byte, from, to int, m *marks) bool {
	for i := m.dates.first(from, to); i < to; i = m.dates.first(i+1, to) {
		for x := range l.search.nsigns {
			s := &l.search.signs[x]
			// All of the core stands before to, so what is compared does, or it is not there.
			if i+16 <= len(q) && (binary.LittleEndian.Uint64(q[i:])&s.same[0] != s.value[0] || binary.LittleEndian.Uint64(q[i+8:])&s.same[1] != s.value[1]) {
				continue
			}
			if i+s.n > to || m.digit.at(i)&s.mask != s.digit {
				continue
			}
			if l.signedAt(q, s, from, i, to) {
				return true
			}
		}
	}
	return false
}

// signedAt says whether a look begins in q, from one byte on and before another, that has its signature at i.
func (l *Lines) signedAt(q []byte, s *signed, from, i, to int) bool {
	for x := range l.looks {
		k := &l.looks[x]
		if !s.looks[x] {
			continue
		}
		for at := max(i-k.signAt[1], from); at <= min(i-k.signAt[0], to-k.least); at++ { // all of the core stands in the line
			if k.match(q[at:to]) > 0 {
				return true
			}
		}
	}
	return false
}

// headsAlike is a start of a line that fits the look of most lines, and what others have to have in common with it to fit, too.
type headsAlike struct {
	n     int // bytes; 0: none is known
	digit uint64
	value [8]uint64
	mask  [8]uint64
}

// fits is fitting for the look of most lines, and a line of a window.
func (l *Lines) fits(q []byte, from, to int, m *marks) bool {
	h := &l.search.fit
	digit := m.digit.at(from)
	if h.n > 0 && from+h.n <= to && from+markBlock <= len(q) && (digit^h.digit)<<(64-h.n) == 0 {
		var odd uint64
		p := q[from : from+markBlock]
		for i := 0; i < h.n; i += 8 {
			odd |= binary.LittleEndian.Uint64(p[i:])&h.mask[i/8] ^ h.value[i/8]
		}
		if odd == 0 {
			return true
		}
	}
	n := l.looks[l.search.hot].fitting(q[from:min(to, from+headMost)])
	if n == 0 {
		return false
	}
	if n <= markBlock && from+markBlock <= len(q) {
		var same [markBlock]byte
		for i := range n {
			if tokenOf[q[from+i]] != digits {
				same[i] = 0xff
			}
		}
		*h = headsAlike{n: n, digit: digit}
		for i := range h.mask {
			h.mask[i] = binary.LittleEndian.Uint64(same[i*8:])
			h.value[i] = binary.LittleEndian.Uint64(q[from+i*8:]) & h.mask[i]
		}
	}
	return true
}
