package output

// FoundTorn is a torn line of a log, at its place in the file.
type FoundTorn struct {
	Torn          // Offset counts from the start of the file as Found's does, and Line is the file's
	Stream string // "stdout" or "stderr" where the log's form tells, else ""
}

// tornFinder looks for torn lines in the streams of a log. Nil looks for none.
type tornFinder struct {
	form    Form
	streams [2]struct {
		Lines
		before, this place // where the last two lines begin
	}
	found []Torn
	tell  func(FoundTorn) error
}

// take looks at what a stream holds next, which stands at a place of the file.
func (t *tornFinder) take(i int, p []byte, at place) error {
	if t == nil {
		return nil
	}
	s := &t.streams[i]
	if t.form != Raw && !s.line.on {
		s.before, s.this = s.this, place{s.pos, at.file, at.line}
	}
	t.found = s.Write(t.found[:0], p)
	return t.each(i)
}

func (t *tornFinder) each(i int) error {
	s := &t.streams[i]
	for _, x := range t.found {
		stream := ""
		if t.form != Raw {
			stream = [2]string{"stdout", "stderr"}[i]
			at := s.this
			if x.Offset < at.at {
				at = s.before
			}
			x.Offset, x.Line = at.file+x.Offset-at.at, at.line
		}
		if err := t.tell(FoundTorn{x, stream}); err != nil {
			return err
		}
	}
	return nil
}

func (t *tornFinder) end() error {
	if t == nil {
		return nil
	}
	for i := range t.streams {
		t.found = t.streams[i].Flush(t.found[:0])
		if err := t.each(i); err != nil {
			return err
		}
	}
	return nil
}

func (t *tornFinder) count() (n int64) {
	if t == nil {
		return 0
	}
	for i := range t.streams {
		_, torn := t.streams[i].Count()
		n += torn
	}
	return n
}
