package output

import "encoding/binary"

// Most lines of a log begin as usual, and nothing in them is like another's beginning. Where that is so
// is told from sets of bits, one bit a byte, that are made for a window of some blocks at a time.

const (
	markBlock  = 64 // bytes
	markBlocks = 48 // of a window
)

// marks are sets of the bytes of one block.
type marks struct {
	newline    uint64
	letterless uint64 // 0x20 to 0x3f; then where a look's piece of these may begin
	brace      uint64 // {
	digit      uint64
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

// gather puts the top bits of eight bytes together.
func gather(w uint64) uint64 { return (w & highs >> 7) * 0x0102040810204080 >> 56 }

// markWords is setMarks without assembly.
func markWords(p []byte, out []marks) {
	for i := range out {
		var m marks
		for k := 0; k < markBlock; k += 8 {
			w := binary.LittleEndian.Uint64(p[i*markBlock+k:])
			a, b, c, d := w^ones*'\n', w&letterless^ones*0x20, w^ones*'{', w^ones*'0'
			m.newline |= gather(^(a | (a&^highs + ones*0x7f))) << k
			m.letterless |= gather(^(b | (b&^highs + ones*0x7f))) << k
			m.brace |= gather(^(c | (c&^highs + ones*0x7f))) << k
			m.digit |= gather(^(d | (d&^highs + ones*(0x80-10)))) << k
		}
		out[i] = m
	}
}

// runs turns letterless into where so many letterless bytes in a row begin, or 32 if it is more. None
// begin where run is 0. Those that the window's end cuts are left out.
func runs(m []marks, run int) {
	if run < 8 {
		for i := range m {
			m[i].letterless = 0
		}
		return
	}
	s := uint(min(run-8, 8))
	t := uint(min(run-8, 24)) - s
	var next, next2, next4, next8, nextS uint64
	for i := len(m) - 1; i >= 0; i-- {
		x := m[i].letterless
		x2 := x & (x>>1 | next<<63)
		x4 := x2 & (x2>>2 | next2<<62)
		x8 := x4 & (x4>>4 | next4<<60)
		y := x8 & (x8>>(s&63) | next8<<1<<((63-s)&63))
		m[i].letterless = y & (y>>(t&63) | nextS<<1<<((63-t)&63))
		next, next2, next4, next8, nextS = x, x2, x4, x8, y
	}
}
