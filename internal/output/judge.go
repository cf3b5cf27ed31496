// Package output judges whether what a program writes is text.
//
// A Judge is streaming and pure. It errs on the side of text: honest text of any language, in any
// encoding that is in use, with colours, progress bars and box drawings, is never called garbled. What
// tells garbage is control characters that no text has, of several values or in runs, close together;
// broken UTF-8 alone is not enough, since text in Latin-1, Windows-1251, Shift-JIS, GBK or EUC-KR is
// that too, and it holds no such controls.
package output

import (
	"encoding/binary"
	"math/bits"
)

// Span is a piece of a stream that is no text in any plausible encoding.
type Span struct {
	Offset    int64  // bytes from the stream's start
	Length    int64  // bytes
	LooksLike string // "NUL bytes", "UTF-16", "ELF", "gzip", "zstd", "PNG", "zip", "TLS records", "HTTP/2 frames", "random bytes", "binary memory", "binary data"
	Preview   string // hex of the first 16 bytes
}

const (
	textGap   = 16  // so many bytes of text end a span that is not yet sure
	sureGap   = 64  // and one that is: structures hold pieces of text
	hardGap   = 128 // so many bytes without a control end it too
	altLeast  = 16  // so many bytes of letters and NULs in turn are UTF-16
	headBytes = 64  // of a span, kept to tell what it looks like
)

// Judge looks at one stream. Its zero value is ready. It takes about 300 bytes and allocates only
// for the spans that it gives.
type Judge struct {
	pos   int64 // bytes judged; those in pend are not yet
	pend  [4]byte
	npend int // start of a UTF-8 sequence
	need  int // length of it
	prev  byte

	// A region is a stretch of bytes that are not plain text, with gaps of at most textGap.
	region  bool
	start   int64 // of the region
	before  byte  // the byte before it
	gap     int   // bytes of text since the last odd byte
	hist    [headBytes]byte
	histLen int // bytes of hist: the first of the region

	// Within it, from the first control character on, evidence is collected.
	ev evidenceOfGarbage
}

type evidenceOfGarbage struct {
	on       bool
	sure     bool
	start    int64
	end      int64 // behind the last odd byte
	lastHard int64
	controls int64  // that no text has, without NUL
	nuls     int64  //
	high     int64  // bytes that are no UTF-8
	seen     uint32 // controls by value, DEL as bit 31
	nulRun   int64  // up to now
	longest  int64  // run of NULs
	alt      int64  // bytes up to now of which every second one is NUL and the others are printable
	alts     int64  // bytes in such stretches of 16 and more: UTF-16
	last     byte
	head     [headBytes]byte
	nhead    int
	before   byte // the byte before start
}

// The classes of bytes.
const (
	plain = iota // part of text: printable, white space, BEL, BS, ESC, SO and SI
	hard         // a control that no text has
	high         // 0x80 and above, not the start of a UTF-8 sequence
	lead2
	lead3
	lead4
)

var class = func() (c [256]uint8) {
	for b := range c {
		switch {
		case b >= 0xc2 && b <= 0xdf:
			c[b] = lead2
		case b >= 0xe0 && b <= 0xef:
			c[b] = lead3
		case b >= 0xf0 && b <= 0xf4:
			c[b] = lead4
		case b >= 0x80:
			c[b] = high
		case b >= 0x20 && b < 0x7f, b >= 0x07 && b <= 0x0f, b == 0x1b:
			c[b] = plain
		default:
			c[b] = hard
		}
	}
	return c
}()

// Write judges the next bytes and appends to dst the spans that have ended. How the stream is cut
// into calls makes no difference.
func (j *Judge) Write(dst []Span, p []byte) []Span {
	for i := 0; i < len(p); i++ {
		if !j.region && j.npend == 0 {
			if n := plainPrefix(p[i:]); n > 0 {
				j.pos += int64(n)
				j.prev = p[i+n-1]
				if i += n; i == len(p) {
					break
				}
			}
		}
		dst = j.step(dst, p[i])
	}
	return dst
}

// Flush ends the stream, or a piece of it behind which nothing is to be expected.
func (j *Judge) Flush(dst []Span) []Span {
	dst = j.unfinished(dst)
	return j.endRegion(dst)
}

// Current is the span that has not ended yet, if it is certain already.
func (j *Judge) Current() (Span, bool) {
	if !j.region || !j.ev.sure {
		return Span{}, false
	}
	return j.ev.span(), true
}

// plainPrefix is the number of plain bytes that p starts with.
func plainPrefix(p []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	n := 0
	for len(p)-n >= 8 {
		w := binary.LittleEndian.Uint64(p[n:])
		// A byte below 0x20 borrows, DEL carries, 0x80 and above shows itself.
		if (w-ones*0x20|w+ones|w)&highs == 0 {
			n += 8
			continue
		}
		k := n
		for ; n < k+8; n++ {
			if class[p[n]] != plain {
				return n
			}
		}
	}
	for n < len(p) && class[p[n]] == plain {
		n++
	}
	return n
}

func (j *Judge) step(dst []Span, b byte) []Span {
	if j.npend > 0 {
		lo, hi := byte(0x80), byte(0xbf)
		if j.npend == 1 { // no overlong forms, no surrogates, nothing beyond U+10FFFF
			switch j.pend[0] {
			case 0xe0:
				lo = 0xa0
			case 0xed:
				hi = 0x9f
			case 0xf0:
				lo = 0x90
			case 0xf4:
				hi = 0x8f
			}
		}
		if lo <= b && b <= hi {
			j.pend[j.npend] = b
			if j.npend++; j.npend < j.need {
				return dst
			}
			n := j.npend
			j.npend = 0
			for _, c := range j.pend[:n] {
				dst = j.text(dst, c)
			}
			return dst
		}
		dst = j.unfinished(dst)
	}
	switch c := class[b]; c {
	case plain:
		return j.text(dst, b)
	case hard, high:
		return j.odd(dst, b, c == hard)
	default:
		j.pend[0], j.npend, j.need = b, 1, int(c)-lead2+2
	}
	return dst
}

// unfinished takes the start of a UTF-8 sequence for what it is without its end.
func (j *Judge) unfinished(dst []Span) []Span {
	n := j.npend
	j.npend = 0
	for _, c := range j.pend[:n] {
		dst = j.odd(dst, c, false)
	}
	return dst
}

func (j *Judge) text(dst []Span, b byte) []Span {
	if j.region {
		j.gap++
		if limit := textGap; j.gap > limit && (!j.ev.sure || j.gap > sureGap) {
			dst = j.endRegion(dst)
		} else {
			j.keep(b)
		}
	}
	j.pos++
	j.prev = b
	return dst
}

func (j *Judge) odd(dst []Span, b byte, isHard bool) []Span {
	if !j.region {
		j.region, j.start, j.histLen, j.before = true, j.pos, 0, j.prev
	}
	j.gap = 0
	if j.ev.on && j.pos-j.ev.lastHard > hardGap {
		dst = j.endEvidence(dst)
	}
	if isHard && !j.ev.on {
		j.startEvidence()
	}
	j.keep(b)
	if j.ev.on {
		j.ev.add(b, j.pos, isHard)
	}
	j.pos++
	j.prev = b
	return dst
}

// keep remembers a byte of a region.
func (j *Judge) keep(b byte) {
	if j.histLen < headBytes {
		j.hist[j.histLen] = b
		j.histLen++
	}
	if e := &j.ev; e.on {
		if e.nhead < headBytes {
			e.head[e.nhead] = b
			e.nhead++
		}
		e.shape(b)
	}
}

// startEvidence begins at the region's start. Where that is far it is an old encoding's text, and
// evidence begins here.
func (j *Judge) startEvidence() {
	j.ev = evidenceOfGarbage{on: true, start: j.pos, lastHard: j.pos}
	if j.histLen > headBytes-16 {
		return
	}
	j.ev.start, j.ev.before = j.start, j.before
	j.ev.nhead = copy(j.ev.head[:], j.hist[:j.histLen])
	for _, b := range j.ev.head[:j.ev.nhead] {
		if b >= 0x80 {
			j.ev.high++
		}
	}
}

func (j *Judge) endEvidence(dst []Span) []Span {
	if j.ev.on && j.ev.sure {
		dst = append(dst, j.ev.span())
	}
	j.ev = evidenceOfGarbage{}
	return dst
}

func (j *Judge) endRegion(dst []Span) []Span {
	dst = j.endEvidence(dst)
	j.region, j.gap = false, 0
	return dst
}

// shape counts what shows UTF-16: text with every second byte NUL.
func (e *evidenceOfGarbage) shape(b byte) {
	printable := b >= 0x20 && b < 0x7f || b == '\n' || b == '\r' || b == '\t'
	switch {
	case b == 0 && e.last == 0, b != 0 && e.last != 0, b != 0 && !printable:
		e.alt = 0
	default:
		if e.alt++; e.alt == altLeast {
			e.alts += altLeast
		} else if e.alt > altLeast {
			e.alts++
		}
	}
	e.last = b
	if b == 0 {
		e.nulRun++
		e.longest = max(e.longest, e.nulRun)
	} else {
		e.nulRun = 0
	}
}

func (e *evidenceOfGarbage) add(b byte, pos int64, isHard bool) {
	e.end = pos + 1
	switch {
	case !isHard:
		e.high++
	case b == 0:
		e.nuls++
	default:
		e.controls++
	}
	if isHard {
		e.lastHard = pos
		e.seen |= 1 << min(b, 31)
	}
	e.sure = e.sure || e.garbled()
}

// garbled is the judgement. The figures are chosen so that what separates text in practice stays
// text: NULs between the variables of an environment, SOH between the fields of a FIX message, RS
// before the records of a JSON sequence, one stray control among letters of an old encoding.
func (e *evidenceOfGarbage) garbled() bool {
	n := e.controls + e.nuls
	values := bits.OnesCount32(e.seen)
	switch length := e.end - e.start; {
	case e.longest >= 8:
		return true
	case e.alts > 0:
		return true
	case n*25 < length: // fewer than one in 25, random bytes have one in 11
		return false
	case n >= 6 && values >= 3:
		return true
	case n >= 4 && values >= 3 && e.high >= 8:
		return true
	}
	return e.nuls >= 4 && e.high >= 4 && e.longest >= 2 // small numbers and pointers
}
