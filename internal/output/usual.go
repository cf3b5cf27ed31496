package output

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

const lettersOff = 0xe0e0e0e0e0e0e0e0 // of each byte, the bits that tell 0x20 to 0x3f from letters

// usual says that a whole line begins as most do and holds nothing more to look at. It counts it then.
func (l *Lines) usual(p []byte) bool {
	s := &l.search
	if !s.any || !s.quick || l.pend.on || l.compare() {
		return false
	}
	k := &l.looks[s.hot]
	if !k.quick(p) || l.cut(k, p[:min(len(p), headMost)]) || l.runs(p, s.rest, len(p)) {
		return false
	}
	if k.json && p[len(p)-1] != '}' {
		return false
	}
	if s.objects > 0 {
		for i := k.least; ; i++ {
			n := bytes.IndexByte(p[i:], '{')
			if n < 0 {
				break
			}
			if i += n; i+1 < len(p) && p[i+1] == '"' && (!k.json || s.objects > 1 || k.quick(p[i:])) {
				return false
			}
		}
	}
	l.lines++
	l.headed++
	return true
}

// cut says that the start of a line that tells the look is not all of it.
func (l *Lines) cut(k *look, p []byte) bool {
	return l.runs(p, l.search.own, l.search.rest) && k.fitting(p) == 0
}

// runs says whether there is a piece without letters in p, as long as the shortest look's, that begins from one
// offset on and before another.
func (l *Lines) runs(p []byte, from, to int) bool {
	run := min(l.search.run, 32)
	if run == 0 {
		return false
	}
	for from < to && from+run <= len(p) {
		k := run - 1 // the last byte that has a letter
		for k >= 0 && p[from+k]&0xe0 == 0x20 {
			k--
		}
		if k < 0 {
			return true
		}
		from += k + 1
	}
	return false
}

// letterlessPiece is the whole piece without letters around the byte at i.
func letterlessPiece(p []byte, i int) (a, b int) {
	for a, b = i, i; ; b += 8 {
		if b+8 > len(p) {
			for b < len(p) && p[b]&0xe0 == 0x20 {
				b++
			}
			break
		}
		if x := binary.LittleEndian.Uint64(p[b:])&lettersOff ^ lettersOff&(ones*0x20); x != 0 {
			b += bits.TrailingZeros64(x) / 8
			break
		}
	}
	for ; ; a -= 8 {
		if a < 8 {
			for a > 0 && p[a-1]&0xe0 == 0x20 {
				a--
			}
			break
		}
		if x := binary.LittleEndian.Uint64(p[a-8:])&lettersOff ^ lettersOff&(ones*0x20); x != 0 {
			a -= bits.LeadingZeros64(x) / 8
			break
		}
	}
	return a, b
}

// study says that lines that begin as none does are learned from: all at first, then some now and then.
func (l *Lines) study() bool {
	return l.lines < 192 || l.lines&2047 < 32 || l.lines < 2048 && l.lines&255 < 32
}

// passed says that a line is not worth a look, since no known look begins with its first byte. It counts it then.
func (l *Lines) passed(p []byte) bool {
	if l.pend.on || len(p) < 2 || l.study() || l.mayBegin(p[0]) {
		return false
	}
	l.lines++
	l.orphans++
	return true
}

func (l *Lines) mayBegin(b byte) bool { return l.search.first[b/64]>>(b%64)&1 != 0 }

// fitting says whether p may begin with a look that is known.
func (l *Lines) fitting(p []byte) bool {
	if !l.mayBegin(p[0]) {
		return false
	}
	for x := range l.looks {
		k := &l.looks[x]
		if k.lines >= learned && k.core > 0 && k.fitting(p) > 0 {
			return true
		}
	}
	return false
}

// compare says that the line is one of those that are compared in full, so that what is known stays right.
func (l *Lines) compare() bool {
	if l.lines < 4096 {
		return l.lines&63 == 63
	}
	return l.lines&255 == 255
}

const windowLeast = 4 * markBlock // shorter pieces are not worth the marks

// window takes whole lines that p begins with, as long as marks tell something about them, and
// says how many bytes that are.
func (l *Lines) window(dst []Torn, p []byte) (_ []Torn, n int) {
	m := new(marks)
	for l.search.quick && len(p)-n >= windowLeast {
		q := p[n:]
		m.braces = l.search.objects > 0
		m.set(q, min(len(q)/markBlock, markBlocks))
		made := l.made
		m.runs(l.search.run)
		if !l.search.unsigned {
			m.setDates(l.search.signs[:l.search.nsigns])
		}
		from := 0
		for i := range m.n {
			for nl := m.newline[i]; nl != 0; nl &= nl - 1 {
				to := i*markBlock + bits.TrailingZeros64(nl)
				if l.usualMarked(q, from, to, m) {
					l.lines++
					l.headed++
				} else if !l.passed(q[from:to]) {
					dst = l.whole(dst, q[from:to])
				}
				l.pos += int64(to + 1 - from)
				from = to + 1
				if l.made != made { // what is looked for has changed
					goto anew
				}
			}
		}
		if from == 0 {
			break // a line of its own
		}
	anew:
		n += from
	}
	return dst, n
}

// usualMarked is usual for a line of a window.
func (l *Lines) usualMarked(q []byte, from, to int, m *marks) bool {
	s := &l.search
	if !s.quick || l.pend.on || l.compare() {
		return false
	}
	k := &l.looks[s.hot]
	hot := true
	i := from + k.at[0]
	if i+16 > to || binary.LittleEndian.Uint64(q[i:])&k.mask[0] != k.value[0] || binary.LittleEndian.Uint64(q[i+8:])&k.mask[1] != k.value[1] {
		if k.at[0] == k.at[1] || !k.quick(q[from:to]) {
			if k = l.second(q[from:to]); k == nil {
				return false
			}
			hot = false
		}
	}
	own := from + s.own // what of that is behind the line does no harm
	if hot && (m.letterless.at(own)&s.ownBits != 0 || s.rest-s.own > 64 && m.letterless.any(own+64, min(from+s.rest, to))) && !l.fits(q, from, to, m) {
		return false // it was cut in its own
	}
	if s.unsigned {
		if i := m.letterless.first(from+k.least+s.off[0], to); i < to && l.unusual(q, k, from, i, to, m) {
			return false
		}
	} else if s.nsigns > 0 && m.dates.any(from+k.least, to) && l.dated(q, from+k.least, to, m) {
		return false
	}
	if k.json && q[to-1] != '}' {
		return false
	}
	return s.objects == 0 || !l.objects(q, k, from, to, m)
}

// second is the look of a line that does not begin as most do, nil where that takes more to tell.
func (l *Lines) second(p []byte) *look {
	if l.search.known < 2 || len(p) == 0 || !l.mayBegin(p[0]) {
		return nil
	}
	p = p[:min(len(p), headMost)]
	for x := range l.looks {
		k := &l.looks[x]
		if k.lines < learned || k.fresh < learned || k.core == 0 || k.fixed < quickly || !k.quick(p) {
			continue
		}
		if k.json || k.fitting(p) == 0 {
			return nil
		}
		return k
	}
	return nil
}

// unusual says of a line that begins with a look whether another may begin in it. Its first piece without letters to think
// of is at i.
func (l *Lines) unusual(q []byte, own *look, from, i, to int, m *marks) bool {
	for x := range l.looks {
		k := &l.looks[x]
		if k.lines < learned || k.core == 0 || k.run < 8 || k.json {
			continue
		}
		for i := i; i < to; i++ {
			if i = m.letterless.first(i, to); i < to && k.begins(q, i, from+own.least, to) {
				return true
			}
		}
	}
	return false
}

// begins says whether a line may begin in q, from one byte on and before another, which has its piece without letters at i.
func (k *look) begins(q []byte, i, from, to int) bool {
	if k.fixed < quickly {
		return true
	}
	for at := max(i-k.off[1], from); at <= min(i-k.off[0], to-k.least); at++ { // all of the core stands in the line
		if tokenOf[q[at]] == k.all[0].class && (at+k.at[1]+16 > to || k.quick(q[at:to])) {
			return true
		}
	}
	return false
}

// objects says whether there is something in a line that might be another look's beginning.
func (l *Lines) objects(q []byte, k *look, from, to int, m *marks) bool {
	for i := from + k.least; i < to; {
		x := m.brace[i/markBlock] >> (i % markBlock)
		if x == 0 {
			i = (i/markBlock + 1) * markBlock
			continue
		}
		if i += bits.TrailingZeros64(x); i < to && q[i+1] == '"' && (!k.json || l.search.objects > 1 || k.quick(q[i:to])) {
			return true
		}
		i++
	}
	return false
}
