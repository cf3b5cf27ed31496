package output

import "bytes"

// TornKind says how a line is torn.
type TornKind string

// The kinds of torn lines.
const (
	Interleaved TornKind = "interleaved" // another line begins inside it, and a rest stands on a line of its own
	Glued       TornKind = "glued"       // another line begins inside it: a newline, or the middle of both, is lost
	CutShort    TornKind = "cut short"   // it ends before its end
)

// Torn is a line that is not one line as this stream has them.
type Torn struct {
	Kind    TornKind
	Offset  int64  // of the line, bytes from the stream's start
	Length  int64  // of the line, without its end
	At      int64  // bytes of the line before the break
	Line    int64  // its number in the stream, from 1
	Preview string // what stands around the break, which is marked "┆": one line that is safe to show
}

// Lines learns how the lines of one stream begin, and finds those in which another one begins, or that
// are cut short. Only where a stream's lines begin alike (with a date, a level, as objects of JSON) anything is found in
// it. What it learns is what is usual there: lines that quote others, stack traces, tables and prompts.
// Its zero value is ready. It takes about four kilobytes, whatever is written, and allocates only for the
// lines that it gives. It is not for several goroutines at once.
type Lines struct {
	pos    int64 // bytes before the line that is read
	looks  [looksMost]look
	search search
	tally
	line lineInPieces
	keep [keepMost]byte // of a line whose end has not come: what was not looked at yet, and overlap bytes before
	kept int
	pend tear
	made int // how often search was
}

// Costs in bits. A line is torn where that is likelier than that a writer put it so.
const (
	tornBits     = 20 // about one line in a million
	gluedBits    = 14 // a look right behind a letter or digit
	sentenceBits = 9  // or behind the end of a sentence
	brokenBits   = 14 // an object without its end, a date without its end
)

// tally is how the lines were up to now.
type tally struct {
	lines   int64 // that have ended
	headed  int64 // that begin as usual
	orphans int64 // that do not, and are not empty
	empty   int64
	quotes  [2]int64 // looks within lines that tell nothing: behind a letter or digit, behind another sign
	open    int64    // objects that end with something else
	torn    int64
	sure    int64 // of these, found without knowing that there are others
	seam    uint32
	habit   int // tears in a row behind the same text, and with nothing else to show for it
}

const (
	keepMost = 512
	behind   = 32 // bytes before a place that tell what it is
	overlap  = behind + headMost
	quickly  = 8 // bytes of the same classes in all lines that tell a look
)

// search is what to look for inside lines, for all looks that are known.
type search struct {
	any      bool
	objects  int // looks that are objects
	run      int // bytes without letters that each other look has
	off      [2]int
	hot      int    // the look of most lines
	quick    bool   // its first bytes tell it
	own      int    // from here on a line of it has no piece without letters that is its own, if it was not cut in it
	rest     int    // and from here on what begins in the line has one
	ownBits  uint64 // of 64 bytes from own on, those before rest
	known    int
	first    [4]uint64 // the bytes that one of them may begin with
	signs    [looksMost]signed
	nsigns   int
	unsigned bool // there is a look with a piece without letters that has no signature
	fit      headsAlike
}

type lineInPieces struct {
	on   bool
	at   int64 // bytes of it before keep
	look int   // -1: none
	cr   bool  // there was a carriage return in it
	head [headMost]byte
	n    int
}

// tear is a place that awaits the next line.
type tear struct {
	on     bool
	kind   TornKind
	offset int64 // of the line
	length int64 // 0: it has not ended
	at     int64
	line   int64
	bits   int
	weak   bool // found behind a blank or a quote
	broken bool // the line has no end, or not even a whole beginning
	raw    [behind + headMost]byte
	n, cut int // bytes of raw, and of these before the break
	tokens int // of the line before the break, 0: too many
}

// Count is the number of lines that have ended, and of those that are torn.
func (l *Lines) Count() (lines, torn int64) { return l.lines, l.torn }

// Write looks at the next bytes and appends to dst the lines that are torn, each when the next line has begun.
// How the stream is cut into calls makes no difference.
func (l *Lines) Write(dst []Torn, p []byte) []Torn {
	for len(p) > 0 {
		if l.kept == 0 && len(p) >= windowLeast && l.search.quick {
			n := 0
			if dst, n = l.window(dst, p); n > 0 {
				p = p[n:]
				continue
			}
		}
		nl := bytes.IndexByte(p, '\n')
		if nl >= 0 && l.kept == 0 {
			if !l.usual(p[:nl]) && !l.passed(p[:nl]) {
				dst = l.whole(dst, p[:nl])
			}
			l.pos += int64(nl) + 1
			p = p[nl+1:]
			continue
		}
		part := p
		if nl >= 0 {
			part, p = p[:nl], p[nl+1:]
		} else {
			p = nil
		}
		dst = l.parts(dst, part, nl >= 0)
	}
	return dst
}

// whole takes a line that came in one piece.
func (l *Lines) whole(dst []Torn, p []byte) []Torn {
	l.line = lineInPieces{on: true}
	dst = l.piece(dst, p, true)
	l.end(p)
	l.line.on = false
	return dst
}

// Flush ends the stream, or a part of it behind which something else follows.
func (l *Lines) Flush(dst []Torn) []Torn {
	if l.kept > 0 {
		dst = l.piece(dst, l.keep[:l.kept], true)
		n := l.line.at + int64(l.kept)
		if l.pend.on && l.pend.line == l.lines+1 {
			l.pend.length = n
		}
		l.pos += n
	}
	dst = l.resolve(dst, atEnd, nil)
	l.line, l.kept = lineInPieces{}, 0
	return dst
}

// parts takes a part of a line that came in several; ends says whether it is the last one.
func (l *Lines) parts(dst []Torn, p []byte, ends bool) []Torn {
	if !l.line.on {
		l.line = lineInPieces{on: true}
	}
	if l.kept == 0 && len(p) > keepMost {
		dst = l.piece(dst, p, false)
		l.line.at += int64(len(p) - overlap)
		l.kept = copy(l.keep[:], p[len(p)-overlap:])
		p = nil
	}
	for {
		n := copy(l.keep[l.kept:], p)
		l.kept += n
		p = p[n:]
		if l.kept < keepMost {
			break
		}
		dst = l.piece(dst, l.keep[:], false)
		l.line.at += keepMost - overlap
		l.kept = copy(l.keep[:], l.keep[keepMost-overlap:])
	}
	if ends {
		dst = l.piece(dst, l.keep[:l.kept], true)
		l.end(l.keep[:l.kept])
		l.pos += l.line.at + int64(l.kept) + 1
		l.line, l.kept = lineInPieces{}, 0
	}
	return dst
}

// piece looks at a part of a line: p begins overlap bytes before what is new, or with the line. It leaves
// to the next piece what it cannot decide without what follows, unless that is the last one.
func (l *Lines) piece(dst []Torn, p []byte, last bool) []Torn {
	from, to := behind, len(p)
	if !last {
		to = len(p) - headMost
	}
	if l.line.at == 0 {
		from = 1
		dst = l.begin(dst, p, last)
	}
	if l.search.any && !(l.pend.on && l.pend.line == l.lines+1) {
		l.find(p, from, to)
	}
	if !last && !l.line.cr {
		l.line.cr = bytes.IndexByte(p[:to], '\r') >= 0
	}
	return dst
}

// find looks for the first place in p, between two offsets, where a line begins.
func (l *Lines) find(p []byte, from, to int) {
	if l.search.objects > 0 {
		for i := from; i < to; i++ {
			n := bytes.IndexByte(p[i:to], '{')
			if n < 0 {
				break
			}
			if i += n; i+1 < len(p) && p[i+1] == '"' && l.try(p, i) {
				return
			}
		}
	}
	if l.search.run == 0 {
		return
	}
	run := l.search.run
	next := from // where a line may begin that was not tried
	for i := from; i+run <= len(p); {
		if p[i+run-1]&0xe0 != 0x20 { // the end of a piece that would begin here
			i += run
			continue
		}
		a, b := letterlessPiece(p, i+run-1)
		if b-a >= run {
			for s := max(next, a-l.search.off[1]); s <= min(b-run-l.search.off[0], to-1); s++ {
				if l.try(p, s) {
					return
				}
				next = s + 1
			}
		}
		i = b
	}
}

// try says whether a line begins at s of p that is a place to think of, and keeps it then.
func (l *Lines) try(p []byte, s int) bool {
	for x := range l.looks {
		k := &l.looks[x]
		if k.lines < learned || k.core == 0 || k.fixed > 0 && tokenOf[p[s]] != k.all[0].class {
			continue
		}
		if k.match(p[s:]) > 0 && l.place(p, s, x) {
			return true
		}
	}
	return false
}

// begin looks at the start of a line, of which p holds all or headMost bytes.
func (l *Lines) begin(dst []Torn, p []byte, last bool) []Torn {
	p0 := p
	if last {
		p0 = bytes.TrimSuffix(p, []byte("\r"))
	} else {
		l.line.n = copy(l.line.head[:], p)
	}
	l.line.look = -1
	if len(p0) == 0 {
		dst = l.resolve(dst, atEmpty, nil)
		l.empty++
		return dst
	}
	x := l.known(p0, last)
	if x >= 0 && l.looks[x].lines >= learned { // else it is what this one line begins with
		l.line.look = x
	}
	switch {
	case x >= 0:
		dst = l.resolve(dst, atUsual, nil)
		l.headed++
	default:
		if !l.pend.on { // else it is the rest of a torn line
			l.orphans++
		}
		dst = l.resolve(dst, atOrphan, p0)
	}
	return dst
}

// known is the look of a line, -1 where it has none. The line is learned from.
func (l *Lines) known(p []byte, last bool) int {
	p, last = p[:min(len(p), headMost)], last && len(p) <= headMost
	if x := l.search.hot; l.search.quick && !l.compare() && l.looks[x].quick(p) {
		if l.cut(&l.looks[x], p) {
			return -1
		}
		return x
	}
	if !l.study() && !l.fitting(p) {
		return -1
	}
	if l.search.any && !l.compare() {
		for x := range l.looks {
			k := &l.looks[x]
			if k.lines < learned || k.fresh < learned || k.core == 0 {
				continue
			}
			if k.fixed >= quickly && k.quick(p) {
				return x
			}
		}
	}
	var all [tokensMost]token
	n := tokens(p, last, &all)
	free, few := -1, 0
	for x := range l.looks {
		k := &l.looks[x]
		if k.core == 0 {
			free = x
			continue
		}
		if k.learn(all[:n]) {
			l.prepare()
			if k.core == 0 {
				*k = look{}
				return -1
			}
			return x
		}
		if k.lines < l.looks[few].lines {
			few = x
		}
	}
	if free < 0 {
		if k := &l.looks[few]; k.lines > 1 {
			k.lines--
			return -1
		}
		free = few
	}
	k := look{n: n, all: all, lines: 1}
	if k.refine(); k.core == 0 || !k.json && k.run < 8 {
		return -1
	}
	l.looks[free] = k
	return free
}

// prepare puts together what to search for.
func (l *Lines) prepare() {
	s := &l.search
	*s = search{}
	l.made++
	most := int64(0)
	for x := range l.looks {
		k := &l.looks[x]
		if k.core == 0 || k.lines < learned {
			continue
		}
		if k.json {
			s.objects++
		} else if k.run >= 8 {
			if s.run == 0 {
				s.run, s.off = k.run, k.off
			}
			s.addSign(x, k)
			s.unsigned = s.unsigned || k.sign.n == 0
			s.run = min(s.run, k.run)
			s.off[0], s.off[1] = min(s.off[0], k.off[0]), max(s.off[1], k.off[1])
		}
		s.any = true
		s.known++
		for b := range 256 {
			if t := (token{class: tokenOf[b], sign: byte(b)}); t.class == k.all[0].class && (t.class != mark || t.sign == k.all[0].sign) {
				s.first[b/64] |= 1 << (b % 64)
			}
		}
		if k.lines > most && k.fresh >= learned {
			most, s.hot = k.lines, x
			s.quick = k.fixed >= quickly
		}
	}
	s.any = s.any && most > 0
	hot := &l.looks[s.hot]
	if s.own, s.rest = 1, hot.least+s.off[0]; s.run > 0 && hot.run >= s.run {
		s.own = min(s.rest, hot.off[1]+hot.most-s.run+1)
	}
	s.ownBits = 1<<max(0, s.rest-s.own) - 1 // none where they are the same, all of 64 where there are more
}

// end takes the end of a line, of which p is the last piece.
func (l *Lines) end(p []byte) {
	l.lines++
	t := &l.pend
	if t.on && t.line == l.lines {
		t.length = l.line.at + int64(len(p))
		return
	}
	p = bytes.TrimRight(p, " \t\r")
	x := l.line.look
	bits := 0
	switch {
	case len(p) == 0 || !l.search.any:
	case x >= 0 && l.looks[x].json && l.looks[x].lines >= learned:
		switch p[len(p)-1] {
		case '}':
		case ',', '{', '[', ':', '(':
			l.open++ // it goes on on the next line
		default:
			bits = brokenBits
		}
	case x < 0 && l.line.at == 0 && len(p) >= 8:
		for y := range l.looks {
			if k := &l.looks[y]; k.lines >= learned && k.core > 0 {
				if begun, through := k.begun(p); begun && through && k.clock && len(p) > 10 {
					bits = brokenBits
				}
			}
		}
	}
	if bits == 0 {
		return
	}
	n := l.line.at + int64(len(p))
	*t = tear{on: true, kind: CutShort, offset: l.pos, length: n, at: n, line: l.lines, bits: bits, broken: true}
	t.n = copy(t.raw[:], p[max(0, len(p)-40):])
	t.cut = t.n
}
