// Package output judges whether what a program writes is text.
//
// A Judge is streaming and pure, and tells three kinds of output apart. Text is UTF-8 with what
// terminals understand: colours, progress bars, box drawings. Foreign text is honest text in another
// encoding that is in use, which it names: no reason for alarm. All else is garbage, and it says
// what it looks like. It errs on the side of text: a piece is called garbage only where that explains its bytes
// far better than every encoding does (model.go).
package output

import "bytes"

const (
	textGap = 16  // so many bytes of text end a piece
	sureGap = 64  // and one that is garbage: structures hold pieces of text
	block   = 512 // bytes that are judged at a time at most
	rarely  = 32  // of so many blocks of garbage in a row one is judged
)

// Span is a piece of a stream that is no text in any plausible encoding.
type Span struct {
	Offset     int64   // bytes from the stream's start
	Length     int64   // bytes
	LooksLike  string  // "NUL bytes", "UTF-16", "ELF", "gzip", "zstd", "PNG", "zip", "TLS records", "HTTP/2 frames", "random bytes", "binary memory", "binary data"
	Preview    string  // hex of the first 16 bytes
	Confidence float64 // 0 to 1: how much better its bytes are explained by garbage than by the likeliest text
}

// Foreign says which encoding the text of a stream is in that is no UTF-8.
type Foreign struct {
	Encoding string // "Latin-1", "Windows-1251", "Shift-JIS", "GBK", "EUC-KR", "KOI8-R", "CP866", "EUC-JP", "Big5", "an 8-bit alphabet"; empty: none
	Bytes    int64  // in pieces that are no UTF-8
	Pieces   int64  // these
	Offset   int64  // of the first
}

// Judge looks at one stream. Its zero value is ready. It takes about a kilobyte, whatever is written,
// and allocates only for the spans that it gives. It is not for several goroutines at once.
type Judge struct {
	pos   int64   // bytes judged; those in pend are not yet
	pend  [4]byte // start of a UTF-8 sequence
	npend int
	need  int // length of it
	prev  byte

	// A piece begins with a byte that is no text, and ends before textGap bytes of text.
	piece  bool
	buf    [block]byte // of the piece, up to now or since it was judged last
	n      int
	odd    int   // behind the last byte in buf that is no text
	start  int64 // of buf
	before byte  // the byte before buf
	gap    int   // bytes of text since the last that is none
	looked int   // bytes of buf when it was judged last, at a gap
	run    int   // full blocks of garbage in a row
	skip   int   // so many more are taken for garbage unseen

	span    spanInMaking
	foreign foreignInMaking
}

type spanInMaking struct {
	on     bool
	start  int64
	end    int64
	before byte  // the byte before start
	margin int32 // of its first block: how much cheaper garbage is than text
	head   [64]byte
	nhead  int
	shape
}

type foreignInMaking struct {
	cost   [encodings]int64
	bytes  int64
	pieces int64
	offset int64
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
	for i := 0; i < len(p); {
		if !j.piece && j.npend == 0 {
			if n := textPrefix(p[i:]); n > 0 {
				j.pos += int64(n)
				j.prev = p[i+n-1]
				if i += n; i == len(p) {
					break
				}
			}
		}
		dst = j.step(dst, p[i])
		i++
	}
	return dst
}

// Flush ends the stream, or a part of it behind which something else follows.
func (j *Judge) Flush(dst []Span) []Span {
	dst = j.unfinished(dst)
	return j.endPiece(dst)
}

// Current is the span that has not ended yet, if it is certain already that there is one.
func (j *Judge) Current() (Span, bool) {
	if !j.piece {
		return Span{}, false
	}
	ahead := *j
	ahead.judge(nil)
	if !ahead.span.on {
		return Span{}, false
	}
	return ahead.span.span(), true
}

// Foreign says in which encoding other than UTF-8 the text up to now is, if there is enough of it to tell.
func (j *Judge) Foreign() (Foreign, bool) {
	f := &j.foreign
	best := latin1
	for e := latin1; e < encodings; e++ {
		if f.cost[e] < f.cost[best] {
			best = e
		}
	}
	// A character that was cut in two is not another encoding: one that explains it must do so much better.
	if f.pieces == 0 || f.cost[utf8Text]-f.cost[best] < 8*surely {
		return Foreign{}, false
	}
	return Foreign{encodingNames[best], f.bytes, f.pieces, f.offset}, true
}

func (j *Judge) step(dst []Span, b byte) []Span {
	if j.npend > 0 {
		j.pend[j.npend] = b
		if j.npend++; j.npend < j.need {
			if validPrefix(j.pend[:j.npend]) {
				return dst
			}
		} else if textPrefix(j.pend[:j.npend]) == j.npend {
			n := j.npend
			j.npend = 0
			for _, c := range j.pend[:n] {
				dst = j.text(dst, c)
			}
			return dst
		}
		j.npend--
		dst = j.unfinished(dst)
	}
	switch c := class[b]; c {
	case plain:
		return j.text(dst, b)
	case hard, high:
		return j.notText(dst, b)
	default:
		j.pend[0], j.npend, j.need = b, 1, int(c)-lead2+2
	}
	return dst
}

// validPrefix says whether p, of two or three bytes, can be the start of a longer sequence.
func validPrefix(p []byte) bool {
	var whole [4]byte
	n := copy(whole[:], p)
	want := int(class[p[0]]) - lead2 + 2
	for i := n; i < want; i++ {
		whole[i] = 0x80
	}
	return textPrefix(whole[:want]) == want
}

// unfinished takes the start of a UTF-8 sequence for what it is without its end.
func (j *Judge) unfinished(dst []Span) []Span {
	n := j.npend
	j.npend = 0
	for _, c := range j.pend[:n] {
		dst = j.notText(dst, c)
	}
	return dst
}

func (j *Judge) text(dst []Span, b byte) []Span {
	if j.piece {
		j.gap++
		switch {
		case j.gap == textGap+1:
			if dst = j.judge(dst); !j.span.on {
				j.piece = false
			}
		case j.gap > sureGap:
			dst = j.endPiece(dst)
		}
		if j.piece {
			dst = j.keep(dst, b)
		}
	}
	j.pos++
	j.prev = b
	return dst
}

func (j *Judge) notText(dst []Span, b byte) []Span {
	if !j.piece {
		j.piece, j.n, j.odd, j.looked, j.run, j.skip = true, 0, 0, 0, 0, 0
		j.start, j.before = j.pos, j.prev
	}
	j.gap = 0
	dst = j.keep(dst, b)
	j.odd = j.n
	j.pos++
	j.prev = b
	return dst
}

// keep puts a byte of a piece into the buffer, which is judged when it is full.
func (j *Judge) keep(dst []Span, b byte) []Span {
	if j.n == len(j.buf) {
		switch {
		case j.skip > 0 && j.odd > block/2:
			j.skip--
			j.extend(j.buf[:j.odd])
		default:
			dst = j.judge(dst)
			j.run++
			j.skip = 0
			if !j.span.on || j.span.end != j.start+int64(j.odd) {
				j.run = 0
			} else if j.run > 2 {
				j.skip = min(j.run, rarely) - 1
			}
		}
		j.n, j.odd, j.looked = 0, 0, 0
		j.start, j.before = j.pos, j.prev
	}
	j.buf[j.n] = b
	j.n++
	return dst
}

// judge decides what is in the buffer, up to its last byte that is no text: it goes on with the
// span, begins one, or ends the one before it.
func (j *Judge) judge(dst []Span) []Span {
	if j.odd == 0 || j.odd == j.looked {
		return dst
	}
	p := j.buf[:j.odd]
	var cost [encodings]int32
	best := asText(p, j.before, &cost)
	margin := cost[best] - asGarbage(p)
	if bytes.Contains(p, []byte("\xef\xbf\xbd")) {
		margin = -1
		if controlled(p) {
			margin = 2 * surely
		}
	}
	need := int32(surely)
	if j.span.on && j.span.end == j.start { // it goes on: no new one must begin
		need = 0
	}
	if margin < need {
		if j.looked == 0 {
			dst = j.endSpan(dst)
			j.foreign.add(&cost, int64(j.odd), j.start)
		}
		j.looked = j.odd
		return dst
	}
	s := &j.span
	if !s.on {
		*s = spanInMaking{on: true, start: j.start, before: j.before, margin: margin}
	}
	j.extend(p)
	j.looked = j.odd
	return dst
}

// extend makes p, which buf begins with, the span's end.
func (j *Judge) extend(p []byte) {
	s := &j.span
	fresh := p[max(0, int(s.end-j.start)):] // what is not in it yet; pieces of text between blocks belong to it
	s.nhead += copy(s.head[s.nhead:], fresh)
	for _, b := range fresh {
		s.shape.add(b)
	}
	s.end = j.start + int64(len(p))
}

func (f *foreignInMaking) add(cost *[encodings]int32, n, offset int64) {
	if f.pieces == 0 {
		f.offset = offset
	}
	f.pieces++
	f.bytes += n
	for e := range cost {
		f.cost[e] += int64(cost[e])
	}
}

func (j *Judge) endSpan(dst []Span) []Span {
	if j.span.on {
		dst = append(dst, j.span.span())
		j.span = spanInMaking{}
	}
	return dst
}

func (j *Judge) endPiece(dst []Span) []Span {
	if j.piece {
		dst = j.judge(dst)
	}
	j.piece, j.gap = false, 0
	return j.endSpan(dst)
}
