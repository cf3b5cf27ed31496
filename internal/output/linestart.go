package output

// FoundTorn is a torn line of a log, at its place in the file.
type FoundTorn struct {
	Torn          // Offset counts from the start of the file as Found's does, and Line is the file's
	Stream string // "stdout" or "stderr" where the log's form tells, else ""
	Start  int64  // of the line, in the stream, over all files of the log since it is followed; Watch alone tells it
}

// lineStarts remembers where in a file lines of a stream begin that may be torn.
type lineStarts struct {
	all []lineStart
	now lineStart // where what is written last begins
}

type lineStart struct {
	at, count int64 // in what was given to Lines: bytes, and lines that end before
	file      int64
	line      int64
}

// before notes where what is written next stands.
func (x *lineStarts) before(l *Lines, file, line int64) {
	x.now = lineStart{l.pos + l.line.at + int64(l.kept), l.lines, file, line}
	if x.now.at == l.pos {
		x.add(l, x.now)
	}
}

// after notes where the line begins that is not over yet.
func (x *lineStarts) after(l *Lines) {
	if l.pos > x.now.at {
		x.add(l, x.now.of(l.pos, l.lines))
	}
}

func (s lineStart) of(at, count int64) lineStart {
	return lineStart{at, count, s.file + at - s.at, s.line + count - s.count}
}

// add forgets what cannot be asked for any more.
func (x *lineStarts) add(l *Lines, s lineStart) {
	need := l.pos
	if l.pend.on {
		need = min(need, l.pend.offset)
	}
	k := 0
	for k+1 < len(x.all) && x.all[k+1].at <= need {
		k++
	}
	x.all = append(x.all[:copy(x.all, x.all[k:])], s)
}

// place is a torn line as it stands in the file.
func (x *lineStarts) place(t Torn) Torn {
	s := x.now
	if t.Offset < s.at {
		k := len(x.all) - 1
		for k > 0 && x.all[k].at > t.Offset {
			k--
		}
		if k >= 0 {
			s = x.all[k]
		}
	}
	s = s.of(t.Offset, t.Line-1)
	t.Offset, t.Line = s.file, s.line
	return t
}
