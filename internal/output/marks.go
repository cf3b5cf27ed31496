package output

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Most lines of a log begin as usual, and nothing in them is like another's beginning. Where that is so
// is told from sets of bits, one bit a byte, that are made for a window of some blocks at a time.

const (
	markBlock  = 64             // bytes
	markBlocks = 96             // of a window
	markWords  = markBlocks + 4 // behind the last block there are none, for what looks beyond
)

// bitset is a set of the bytes of a window.
type bitset [markWords]uint64

// marks are sets of the bytes of a window.
type marks struct {
	newline    bitset
	letterless bitset // 0x20 to 0x3f; then where a look's piece of these may begin
	brace      bitset // {
	digit      bitset
	ends       bitset // where numbers end
	dates      bitset // where a look's signature may begin
	n          int    // blocks
	braces     bool   // brace is asked for
}

// set marks as many blocks of p as n says.
func (m *marks) set(p []byte, n int) {
	m.n = n
	for i := n; i < n+4; i++ {
		m.letterless[i], m.digit[i], m.ends[i] = 0, 0, 0
	}
	if n > 0 {
		m.setBlocks(p[:n*markBlock])
	}
}

// at are the 64 bits of a set from a byte on.
func (s *bitset) at(i int) uint64 {
	w, k := i/markBlock, i%markBlock
	return s[w]>>k | s[w+1]<<1<<(63-k)
}

// any says whether the set has a byte from one on and before another.
func (s *bitset) any(from, to int) bool {
	if from >= to {
		return false
	}
	a, b := from/markBlock, to/markBlock
	x := s[a] >> (from % markBlock) << (from % markBlock)
	for a < b {
		if x != 0 {
			return true
		}
		a++
		x = s[a]
	}
	return x<<1<<(63-to%markBlock) != 0
}

// first is the first byte of the set from one on and before another; to where there is none.
func (s *bitset) first(from, to int) int {
	if from >= to {
		return to
	}
	w := from / markBlock
	x := s[w] >> (from % markBlock) << (from % markBlock)
	for ; x == 0 && w < to/markBlock; x = s[w] {
		w++
	}
	if x == 0 {
		return to
	}
	return min(w*markBlock+bits.TrailingZeros64(x), to)
}

// plainWords is plainPrefix without assembly.
func plainWords(p []byte) (n int) {
	for ; len(p)-n >= 32; n += 32 {
		q := p[n : n+32]
		a, b := oddIn(binary.LittleEndian.Uint64(q)), oddIn(binary.LittleEndian.Uint64(q[8:]))
		c, d := oddIn(binary.LittleEndian.Uint64(q[16:])), oddIn(binary.LittleEndian.Uint64(q[24:]))
		if a|b|c|d != 0 {
			break
		}
	}
	return n
}

// turned takes bit k of byte b for bit b of byte k.
func turned(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}

// setWords is setBlocks without assembly.
func (m *marks) setWords(p []byte) {
	clear(m.newline[:m.n])
	for i := 0; ; i++ {
		n := bytes.IndexByte(p[i:], '\n')
		if n < 0 {
			break
		}
		i += n
		m.newline[i/markBlock] |= 1 << (i % markBlock)
	}
	for i := range m.n {
		var letterless, digit uint64 // first bit k of byte b is byte b of word k
		q := (*[markBlock]byte)(p[i*markBlock:])
		for k := range 8 {
			w := binary.LittleEndian.Uint64(q[8*k:])
			x := w ^ ones*0x20
			a := ^(x | x<<1 | x<<2) & highs
			ten := w&(ones*0x0f) + ones*0x06 // bit 4: the low half is 10 and above
			letterless |= a >> (7 - k)
			digit |= a & (w << 3) &^ (ten << 3) >> (7 - k)
		}
		m.letterless[i], m.digit[i] = turned(letterless), turned(digit)
	}
	if !m.braces {
		return
	}
	for i := range m.n {
		var brace uint64
		for k := range 8 {
			c := binary.LittleEndian.Uint64(p[i*markBlock+8*k:]) ^ ones*'{'
			brace |= ^(c | (c&^highs + ones*0x7f)) & highs >> (7 - k)
		}
		m.brace[i] = turned(brace)
	}
}

// runs turns letterless into where so many letterless bytes in a row begin, or 32 if it is more. None
// begin where run is 0. Those that the window's end cuts are left out.
func (m *marks) runs(run int) {
	if run < 8 {
		clear(m.letterless[:m.n])
		return
	}
	s := min(run-8, 8)
	if !assembly() {
		m.runsWords(uint(s), uint(min(run-8, 24)-s))
		return
	}
	for _, by := range [...]int{1, 2, 4, s, min(run-8, 24) - s} {
		if by > 0 {
			m.letterless.and(&m.letterless, by, false, m.n)
		}
	}
}

// runsWords is runs without assembly: of eight and s and t.
func (m *marks) runsWords(s, t uint) {
	var next, next2, next4, next8, nextS uint64
	for i := m.n - 1; i >= 0; i-- {
		x := m.letterless[i]
		x2 := x & (x>>1 | next<<63)
		x4 := x2 & (x2>>2 | next2<<62)
		x8 := x4 & (x4>>4 | next4<<60)
		y := x8 & (x8>>(s&63) | next8<<1<<((63-s)&63))
		m.letterless[i] = y & (y>>(t&63) | nextS<<1<<((63-t)&63))
		next, next2, next4, next8, nextS = x, x2, x4, x8, y
	}
}

// setDates sets where a signature may begin, as far as the ends of its numbers tell, and that it stands in a piece without
// letters. What the window's end cuts is left out.
func (m *marks) setDates(signs []signed) {
	if len(signs) == 0 {
		return
	}
	copy(m.ends[:m.n], m.digit[:m.n])
	m.ends.and(&m.digit, 1, true, m.n)
	m.setDate(&m.dates, &signs[0])
	for k := range signs[1:] {
		var more bitset
		m.setDate(&more, &signs[1+k])
		for i := range m.n {
			m.dates[i] |= more[i]
		}
	}
}

func (m *marks) setDate(set *bitset, g *signed) {
	if g.inPiece {
		copy(set[:m.n], m.letterless[:m.n])
	} else {
		for i := range m.n {
			set[i] = ^uint64(0)
		}
	}
	if !assembly() {
		for i, x := range set[:m.n] {
			if x != 0 {
				for _, e := range g.ends {
					x &= m.ends[i]>>(e&63) | m.ends[i+1]<<1<<((63-e)&63)
				}
				set[i] = x
			}
		}
		return
	}
	for i, e := range g.ends {
		if i == 0 || e != g.ends[0] {
			set.and(&m.ends, int(e), false, m.n)
		}
	}
}

// andWords is and without assembly.
func (s *bitset) andWords(x *bitset, by int, not bool, n int) {
	flip := uint64(0)
	if not {
		flip = ^flip
	}
	for i := range n { // x may be s: what is read was not written
		s[i] &= (x[i]>>(by&63) | x[i+1]<<1<<((63-by)&63)) ^ flip
	}
}
