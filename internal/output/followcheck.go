package output

import "bytes"

// Watch judges a followed log as Check judges a whole one: it is a Consumer that tells what is no text as soon as that is
// certain. It takes 5.5 KiB for each stream that there is.
type Watch struct {
	Ends    bool // each span is told when it has ended, also if it is what was told of it while it grew
	form    Form
	found   func(Found, bool)
	torn    func(FoundTorn)
	streams [2]*watchedStream // nil: nothing of it yet
}

type watchedStream struct {
	places
	base  int64 // offset in the stream of what the judge calls 0
	told  int64 // offset of the span that was told while it grows, -1: none
	as    Span  // as which it was told
	holes []hole
	name  string
}

// hole is NUL bytes that the judge was not given, since it has seen enough of them.
type hole struct {
	at    int64 // the judge's offset
	bytes int64
}

// zerosSeen is how many NUL bytes of a hole are judged.
const zerosSeen = 16 << 10

// NewWatch hands on what is found. growing: it has not ended, and Length is what there is of it up to now;
// where it has become more, or looks like something else, it is told again when it ends, with the same Offset.
// torn takes the torn lines; nil: they are not looked for.
func NewWatch(found func(f Found, growing bool), torn func(FoundTorn)) *Watch {
	return &Watch{found: found, torn: torn}
}

// Take judges a piece.
func (w *Watch) Take(p *Part) {
	w.form = p.Form
	s := w.streams[p.Stream]
	if s == nil {
		s = &watchedStream{places: places{Stream: Stream{AnyLines: w.torn == nil}, foreign: -1}, told: -1}
		w.streams[p.Stream] = s
	}
	if s.name = ""; p.Form == CRI || p.Form == Docker {
		s.name = [...]string{"stdout", "stderr"}[p.Stream]
	}
	pos := s.given()
	s.base = p.At - pos
	s.add(place{pos, p.Offset, p.Line})
	if p.Zeros > 0 {
		seen := min(p.Zeros, zerosSeen)
		s.starts.before(&s.lines, p.Offset, p.Line)
		for left := seen; left > 0; left -= int64(len(someZeros)) {
			zeros := someZeros[:min(left, int64(len(someZeros)))]
			if p.Form != Raw { // between two lines
				w.tellAll(s, s.judge.Write(nil, zeros), nil, pos)
				continue
			}
			spans, tears := s.Write(zeros)
			w.tellAll(s, spans, nil, pos)
			w.tellTorn(s, tears)
		}
		if seen < p.Zeros {
			s.holes = append(s.holes, hole{s.given(), p.Zeros - seen})
			s.base += p.Zeros - seen
		}
		s.add(place{s.given(), p.Offset + p.Zeros, p.Line})
		return
	}
	s.starts.before(&s.lines, p.Offset, p.Line)
	spans, tears := s.Write(p.Text)
	s.starts.after(&s.lines)
	w.tellAll(s, spans, p.Text, pos)
	w.tellTorn(s, tears)
	if p.Form == Raw && s.pos > pos {
		s.addLines(p, pos)
	}
}

// addLines counts lines where the next span may begin: text may belong to it that stands before what is none.
func (s *watchedStream) addLines(p *Part, pos int64) {
	at := s.pos
	if s.piece {
		at = s.start
	}
	if s.span.on {
		at = s.span.start
	}
	from := max(pos, s.earliest())
	if at < from {
		return
	}
	line := p.Line + int64(bytes.Count(p.Text[:from-pos], []byte("\n")))
	for n := 0; n >= 0; line++ {
		s.add(place{from, p.Offset + from - pos, line})
		n = bytes.IndexByte(p.Text[from-pos:at-pos], '\n')
		from += int64(n + 1)
	}
}

// tellAll hands on what is in text, which begins at pos.
func (w *Watch) tellAll(s *watchedStream, spans []Span, text []byte, pos int64) {
	for _, span := range spans {
		w.tell(s, span, text, pos, false)
	}
	if len(s.holes) > 0 && !s.piece {
		s.holes = s.holes[:0]
	}
	s.noteForeign()
}

func (w *Watch) tellTorn(s *watchedStream, tears []Torn) {
	for _, t := range tears {
		w.torn(FoundTorn{Torn: s.starts.place(t), Stream: s.name, Start: s.inStream(t.Offset)})
	}
}

// tell hands on a span; text, from pos on, is what the judge was given last.
func (w *Watch) tell(s *watchedStream, span Span, text []byte, pos int64, growing bool) {
	start := span.Offset
	again := start == s.told
	if again && growing {
		return
	}
	at, inStream := s.of(start), s.inStream(start)
	if w.form == Raw && start >= pos && s.all[len(s.all)-1].at == pos {
		at.line += int64(bytes.Count(text[:min(int64(len(text)), start-pos)], []byte("\n")))
	}
	for _, h := range s.holes {
		if h.at > start && h.at <= start+span.Length {
			span.Length += h.bytes
		}
	}
	switch {
	case growing:
		s.told, s.as = start, span
	case again:
		s.told = -1
		if !w.Ends && span.Length == s.as.Length && span.LooksLike == s.as.LooksLike {
			return // it had ended then
		}
	}
	span.Offset = at.file
	w.found(Found{span, at.line, s.name, inStream}, growing)
}

// Look tells garbage that has not ended yet.
func (w *Watch) Look() {
	for _, s := range w.streams {
		if s != nil && s.piece {
			if span, ok := s.Current(); ok {
				w.tell(s, span, nil, s.pos+1, true)
			}
		}
	}
}

// Lost ends what is being judged: what comes is no continuation.
func (w *Watch) Lost(Loss) { w.Flush() }

// End ends what is being judged.
func (w *Watch) End() { w.Flush() }

// Flush judges what there is as if nothing came after it.
func (w *Watch) Flush() {
	for _, s := range w.streams {
		if s == nil || len(s.all) == 0 {
			continue
		}
		spans, tears := s.Stream.Flush()
		w.tellAll(s, spans, nil, s.pos+1)
		w.tellTorn(s, tears)
		s.told, s.holes = -1, s.holes[:0]
	}
}

// Done is where the judge must go on to see all that has not been told.
func (w *Watch) Done(stream int) int64 {
	s := w.streams[stream]
	if s == nil {
		return 0
	}
	at := s.pos
	if s.piece && s.told < 0 {
		at = s.start
		if s.span.on {
			at = s.span.start
		}
		return s.inStream(at)
	}
	return s.base + at
}

// inStream is where in the stream an offset of the judge's lies.
func (s *watchedStream) inStream(at int64) int64 {
	from := s.base + at
	for _, h := range s.holes {
		if h.at > at {
			from -= h.bytes
		}
	}
	return from
}

// Lines counts lines that have ended, and those that are torn, where these are looked for.
func (w *Watch) Lines() (lines, torn int64) {
	for _, s := range w.streams {
		if s != nil {
			a, b := s.Count()
			lines, torn = lines+a, torn+b
		}
	}
	return lines, torn
}

// Foreign says which encodings the text is in that is no UTF-8, by stream.
func (w *Watch) Foreign() (all []Foreign) {
	for i := range w.streams {
		if f, ok := w.ForeignIn(i); ok {
			all = append(all, f)
		}
	}
	return all
}

// ForeignIn says it of one stream.
func (w *Watch) ForeignIn(stream int) (Foreign, bool) {
	s := w.streams[stream]
	if s == nil {
		return Foreign{}, false
	}
	f, ok := s.places.Foreign()
	f.Offset = s.foreign
	return f, ok
}
