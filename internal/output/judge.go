// Package output judges whether what a program writes is text.
//
// A Judge is streaming and pure, and tells three kinds of output apart. Text is UTF-8 with what
// terminals understand: colours, progress bars, box drawings. Foreign text is honest text in another
// encoding that is in use, which it names: no reason for alarm. All else is garbage, and it says
// what it looks like. It errs on the side of text: a piece is called garbage only where that explains its bytes
// far better than every encoding does (model.go).
package output

const (
	textGap   = 16  // so many bytes of text end a piece
	sureGap   = 64  // and one that is garbage, or might be: structures hold pieces of text
	lineLeast = 12  // or a line of so many, between the ends of lines
	nameGap   = 160 // and one that might be a list of names, if no line ends in it
	block     = 512 // bytes that are judged at a time at most
	glimpse   = 128 // of a block that goes on with garbage so many are judged, if they are enough
	rarely    = 128 // of so many blocks of garbage in a row one is judged
)

// Span is a piece of a stream that is no text in any plausible encoding.
type Span struct {
	Offset     int64   // bytes from the stream's start
	Length     int64   // bytes
	LooksLike  string  // what its bytes show, as in labels.go: "NUL bytes", "TLS records", …; "random bytes", "binary memory" or "binary data" where they show no more
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

// Judge looks at one stream. Its zero value is ready. It takes about two kilobytes, whatever is written,
// and allocates only for the spans that it gives. It is not for several goroutines at once.
type Judge struct {
	pos   int64   // bytes judged; those in pend are not yet
	pend  [4]byte // start of a UTF-8 sequence
	npend int
	need  int // length of it
	prev  lead

	// A piece begins with a byte that is no text, and ends before textGap bytes of text.
	piece   bool
	buf     [block]byte // of the piece, up to now or since it was judged last
	n       int
	odd     int              // behind the last byte in buf that is no text
	start   int64            // of buf
	before  lead             // the bytes before buf
	gap     int              // bytes of text since the last that is none
	line    int              // where in the gap a line ends first, 0: nowhere
	looked  int              // bytes of buf when it was judged last, at a gap
	hard    bool             // there are controls in the piece that no text has
	unsure  bool             // it was garbage only because controls are unusual
	run     int              // full blocks of garbage in a row
	cost    [encodings]int32 // of the first so many bytes of buf as text
	costed  int
	skip    int // so many more are taken for garbage if a glance does not tell otherwise
	glanced int // bytes of buf that are gathered for a glance

	habit   habit
	span    spanInMaking
	ended   int64 // where the last span did
	foreign foreignInMaking
	garbled bool // there was garbage: what is odd from then on may be its fringe, and tells no encoding
}

type spanInMaking struct {
	on     bool
	start  int64
	end    int64
	before lead  // the bytes before start
	margin int32 // of its first block: how much cheaper garbage is than text
	head   [block]byte
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
				j.prev.add(p[i : i+n])
				if i += n; i == len(p) {
					break
				}
			}
		}
		if j.piece && j.n == block && j.npend == 0 && j.glanced == 0 {
			dst = j.full(dst)
		}
		if j.glanced > 0 || j.skip > 0 && j.n == 0 && j.npend == 0 {
			i += j.glance(p[i:])
			if j.glanced == block {
				dst = j.unglanced(dst)
			}
			continue
		}
		dst = j.step(dst, p[i])
		i++
	}
	return dst
}

// Flush ends the stream, or a part of it behind which something else follows.
func (j *Judge) Flush(dst []Span) []Span {
	dst = j.unglanced(dst)
	dst = j.unfinished(dst)
	return j.endPiece(dst)
}

// Current is the span that has not ended yet, if it is certain already that there is one.
func (j *Judge) Current() (Span, bool) {
	if !j.piece {
		return Span{}, false
	}
	ahead := *j
	ahead.unglanced(nil)
	ahead.judge(nil)
	if !ahead.span.on {
		return Span{}, false
	}
	return ahead.span.span(j.ended), true
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
		whole := false // a line of text, after which there is hardly more of the same
		if b == '\n' {
			if whole = j.line > 0 && j.gap-j.line > lineLeast; j.line == 0 {
				j.line = j.gap
			}
		}
		switch {
		case j.gap <= textGap:
		case whole:
			dst = j.endPiece(dst)
		case j.span.on:
			if j.gap == textGap+1 {
				dst = j.judge(dst)
			}
			if j.gap > sureGap || !j.span.on {
				dst = j.endPiece(dst)
			}
		case j.hard && j.habit.extra(j.start) > 0 && (j.gap <= sureGap || j.line == 0 && j.gap <= nameGap): // more of it may come
		default:
			if dst = j.judge(dst); !j.span.on || j.gap > sureGap {
				dst = j.endPiece(dst)
			}
		}
		if j.piece {
			dst = j.keep(dst, b)
		}
	}
	j.pos++
	j.prev.addByte(b)
	return dst
}

func (j *Judge) notText(dst []Span, b byte) []Span {
	if !j.piece {
		j.piece, j.n, j.odd, j.looked, j.run, j.skip, j.hard = true, 0, 0, 0, 0, 0, false
		j.start, j.before = j.pos, j.prev
	}
	j.gap, j.line = 0, 0
	j.hard = j.hard || class[b] == hard
	dst = j.keep(dst, b)
	j.odd = j.n
	j.pos++
	j.prev.addByte(b)
	return dst
}

// keep puts a byte of a piece into the buffer, which is judged when it is full.
func (j *Judge) keep(dst []Span, b byte) []Span {
	if j.n == len(j.buf) {
		dst = j.full(dst)
	}
	j.buf[j.n] = b
	j.n++
	return dst
}

// full judges a full buffer and empties it.
func (j *Judge) full(dst []Span) []Span {
	if j.skip > 0 && j.odd > block/2 {
		j.skip--
		j.extend(j.buf[:j.odd], false)
	} else {
		dst = j.judge(dst)
		j.learn()
		j.run++
		j.skip = 0
		if !j.span.on || j.span.end != j.start+int64(j.odd) {
			j.run = 0
		} else if j.run > 2 {
			j.skip = min(2*j.run, rarely) - 1
		}
	}
	if s := &j.span; s.on && s.start+int64(s.nhead) == j.start+int64(j.odd) {
		s.nhead += copy(s.head[s.nhead:], j.buf[j.odd:j.n])
	}
	j.before.add(j.buf[:j.n])
	j.start += int64(j.n)
	j.n, j.odd, j.looked = 0, 0, 0
	return dst
}

// judge decides what is in the buffer, up to its last byte that is no text: it goes on with the
// span, begins one, or ends the one before it.
func (j *Judge) judge(dst []Span) []Span {
	if j.odd == 0 || j.odd == j.looked {
		return dst
	}
	p := j.buf[:j.odd]
	j.looked = j.odd
	need := int32(surely)
	if j.span.on && j.span.end == j.start { // it goes on: no new one must begin
		need = 0
	} else if name, _ := magic(j.before.bytes(), p); name != "" { // three bytes and more that tell as much
		need = 0
	}
	if need == 0 && j.span.on && len(p) > glimpse { // as a rule its end tells enough
		if margin, _ := j.margin(p[len(p)-glimpse:]); margin >= surely {
			j.unsure = false
			j.extend(p, true)
			return dst
		}
	}
	margin, by := j.margin(p)
	if margin < need && (margin >= 0 && startsProtobuf(j.before.bytes(), p) || holdsProtobuf(j.before.bytes(), p)) {
		margin, by, need = max(margin, 0), 0, 0
	}
	if margin < need {
		return j.endSpan(dst)
	}
	j.unsure = margin-by < surely
	s := &j.span
	if !s.on {
		*s = spanInMaking{on: true, start: j.start, before: j.before, margin: margin}
		j.garbled = true
	}
	j.extend(p, true)
	return dst
}

// extend makes p, which buf begins with, the span's end. Of blocks that are taken unseen some bytes are counted.
func (j *Judge) extend(p []byte, count bool) {
	s := &j.span
	fresh := p[min(len(p), max(0, int(s.end-j.start))):] // what is not in it yet; pieces of text between blocks belong to it
	at := j.start + int64(len(p)-len(fresh))
	if s.start+int64(s.nhead) == at {
		s.nhead += copy(s.head[s.nhead:], fresh)
	}
	if count {
		for _, b := range fresh {
			s.shape.add(b)
		}
	} else {
		s.shape.sample(fresh)
	}
	s.end = j.start + int64(len(p))
}

func (j *Judge) endSpan(dst []Span) []Span {
	if j.span.on {
		s := j.span.span(j.ended)
		j.ended = s.Offset + s.Length
		j.habit.other += s.Length
		dst = append(dst, s)
		j.span = spanInMaking{}
	}
	return dst
}

func (j *Judge) endPiece(dst []Span) []Span {
	if j.piece {
		dst = j.judge(dst)
		j.learn()
	}
	j.piece, j.gap, j.skip = false, 0, 0
	return j.endSpan(dst)
}
