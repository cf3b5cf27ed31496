package output

// streamBlock is what stays in the nearest cache while each detector looks at it.
const streamBlock = 16 << 10

type judge = Judge // kept from outside, but for its methods

// Stream looks at one stream with every detector: what of it is no text, and which lines are torn. Its zero
// value is ready. It takes some kilobytes, whatever is written, and allocates only for what it finds. It is not
// for several goroutines at once.
type Stream struct {
	AnyLines bool // torn lines are not looked for
	judge
	lines Lines
	spans []Span
	torn  []Torn
}

// Write takes the next bytes and gives the spans that have ended, and the torn lines that are certain. Both are good until
// the next call. How the stream is cut into calls makes no difference.
func (s *Stream) Write(p []byte) ([]Span, []Torn) {
	s.spans, s.torn = s.spans[:0], s.torn[:0]
	for len(p) > 0 {
		n := min(len(p), streamBlock)
		s.spans = s.judge.Write(s.spans, p[:n])
		if !s.AnyLines {
			s.torn = s.lines.Write(s.torn, p[:n])
		}
		p = p[n:]
	}
	return s.spans, s.torn
}

// Flush ends the stream, or a part of it behind which something else follows, and gives what Write does. What
// is usual in it stays known.
func (s *Stream) Flush() ([]Span, []Torn) {
	s.spans, s.torn = s.judge.Flush(s.spans[:0]), s.torn[:0]
	if !s.AnyLines {
		s.torn = s.lines.Flush(s.torn)
	}
	return s.spans, s.torn
}

// Count is the number of lines that have ended, and of those that are torn.
func (s *Stream) Count() (lines, torn int64) { return s.lines.Count() }
