package output

import "encoding/binary"

// Long garbage is not worth much work: most of its blocks are only glanced at. A glance gathers a block
// unjudged, and takes it for more of the same if there are controls all over it that no text has. Otherwise
// its bytes are gone through one by one, as if there had been no glance; so it makes no difference how
// the stream was cut.

const glanceWindow = 64

// glance takes bytes of p, at the start of a block or behind those it took before, and says how many.
func (j *Judge) glance(p []byte) int {
	n := copy(j.buf[j.glanced:], p)
	if j.glanced += n; j.glanced < block || !allOver(&j.buf) {
		return n
	}
	for j.gap = 0; class[j.buf[block-1-j.gap]] == plain; { // a window has a control
		j.gap++
	}
	j.glanced = 0
	j.pos += block
	j.prev.add(j.buf[:])
	j.n, j.odd = block, block-j.gap
	return n
}

// unglanced goes through what was gathered.
func (j *Judge) unglanced(dst []Span) []Span {
	if j.glanced == 0 {
		return dst
	}
	p := j.buf
	n := j.glanced
	j.glanced, j.skip = 0, 0
	for _, b := range p[:n] {
		dst = j.step(dst, b)
	}
	return dst
}

// allOver says whether each window of a block holds a control that no text has.
func allOver(p *[block]byte) bool {
	for i := 0; i < block; i += glanceWindow {
		w := p[i : i+glanceWindow]
		var any uint64
		for k := 0; k < glanceWindow; k += 8 {
			x := binary.LittleEndian.Uint64(w[k:])
			bel, esc := x^ones*0x07, x^ones*0x1b // which are none: top bit where the byte is another
			any |= oddIn(x) &^ x & (bel&^highs + ones*0x7f) & (esc&^highs + ones*0x7f) & highs
		}
		if any == 0 {
			return false
		}
	}
	return true
}
