package output

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// Found is a span of a log that is no text, at its place in the file.
type Found struct {
	Span          // Offset counts from the start of the file, as it is unpacked; in Docker's form from the start of its line
	Line   int64  // that it begins in, from 1
	Stream string // "stdout" or "stderr" where the log's form tells, else ""
	At     int64  // offset in the stream, over all files of the log since it is followed; Watch alone tells it
}

// Summary is what Check has read.
type Summary struct {
	Form    Form
	Bytes   int64
	Lines   int64
	Spans   int64
	Torn    int64     // lines that are torn, if these were asked for
	Foreign []Foreign // by stream, where text is in another encoding than UTF-8; Offset as Found.Offset
}

const readSize = 256 << 10

// Check judges a log to its end and hands on what is no text, in order of where it ends. A file that is binary from
// its start on is told as few spans: text between counts to them where it is less than half of what is none. It takes
// bounded memory, whatever is in it. An error of found ends it and is returned, and so is the reader's.
func Check(r io.Reader, found func(Found) error) (Summary, error) {
	return CheckLines(r, found, nil)
}

// CheckLines does as Check, and also hands on torn lines, each when the next line of its stream has been read.
// An error of torn ends it as well. With torn nil it is Check.
func CheckLines(r io.Reader, found func(Found) error, torn func(FoundTorn) error) (Summary, error) {
	in := bufio.NewReaderSize(r, readSize)
	var s Summary
	for n, sure := 64, false; !sure; n *= 2 {
		start, err := in.Peek(n)
		if err != nil && err != io.EOF {
			return Summary{}, err
		}
		s.Form, sure = formOf(start, err == io.EOF)
		sure = sure || 2*n > readSize
	}
	if s.Form == Raw {
		j := joiner{found: func(f Found) error { s.Spans++; return found(f) }}
		err := checkRaw(in, &s, j.take, torn)
		if e := j.end(); err == nil {
			err = e
		}
		return s, err
	}
	err := checkLines(in, &s, found, torn)
	return s, err
}

// place is where a part of a stream stands in the file.
type place struct {
	at   int64 // in the stream
	file int64
	line int64
}

// places remembers where the parts of one stream stand that a span may still begin in.
type places struct {
	Stream
	starts  lineStarts
	all     []place
	foreign int64 // where in the file text in another encoding begins, -1: nowhere yet
}

const (
	placesMost = 2 * (block + sureGap) // parts of a byte each that a piece may be made of
)

func (p *places) of(at int64) place {
	k := 0
	for k+1 < len(p.all) && p.all[k+1].at <= at {
		k++
	}
	x := p.all[k]
	return place{at, x.file + at - x.at, x.line}
}

// add notes where the next part stands, and forgets what nothing can begin in any more.
func (p *places) add(x place) {
	e := p.earliest()
	k := 0
	for k+1 < len(p.all) && p.all[k+1].at <= e {
		k++
	}
	p.all = append(p.all[:0], p.all[k:]...)
	if len(p.all) > placesMost { // a span that has begun: only its start counts, and what is new
		p.all = append(p.all[:1], p.all[len(p.all)-placesMost/2:]...)
	}
	p.all = append(p.all, x)
}

// noteForeign keeps the place of the first text in another encoding.
func (p *places) noteForeign() {
	if p.foreign < 0 && p.judge.foreign.pieces > 0 {
		p.foreign = p.of(p.judge.foreign.offset).file
	}
}

// given is how many bytes the judge was given.
func (j *Judge) given() int64 { return j.pos + int64(j.npend) + int64(j.glanced) }

// earliest is the offset before which no span can begin any more.
func (j *Judge) earliest() int64 {
	switch {
	case j.span.on:
		return j.span.start - leadMost // what some start with is text
	case j.piece:
		return j.start - leadMost
	}
	return j.pos - leadMost
}

func (s *Summary) tell(p *places, spans []Span, stream string, found func(Found) error) error {
	for _, span := range spans {
		at := p.of(span.Offset)
		span.Offset = at.file
		s.Spans++
		if err := found(Found{Span: span, Line: at.line, Stream: stream}); err != nil {
			return err
		}
	}
	return nil
}

// tellTorn hands on torn lines, of which starts knows the places.
func (s *Summary) tellTorn(x *lineStarts, all []Torn, stream string, torn func(FoundTorn) error) error {
	for _, t := range all {
		s.Torn++
		if err := torn(FoundTorn{Torn: x.place(t), Stream: stream}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Summary) end(p *places, stream string, found func(Found) error, torn func(FoundTorn) error) error {
	if len(p.all) == 0 {
		return nil
	}
	spans, tears := p.Flush()
	if err := s.tell(p, spans, stream, found); err != nil {
		return err
	}
	if err := s.tellTorn(&p.starts, tears, stream, torn); err != nil {
		return err
	}
	p.noteForeign()
	if f, ok := p.Foreign(); ok {
		f.Offset = p.foreign
		s.Foreign = append(s.Foreign, f)
	}
	return nil
}

func checkRaw(in io.Reader, s *Summary, found func(Found) error, torn func(FoundTorn) error) error {
	j := Stream{AnyLines: torn == nil}
	starts := lineStarts{now: lineStart{line: 1}}
	buf := make([]byte, 2*block+readSize)
	kept := 0         // bytes in front of buf that were judged already
	first := int64(1) // line that buf begins in
	from := int64(0)  // offset that buf begins at
	open := place{at: -1}
	where := func(at int64) place {
		if at < from { // it began long ago
			return open
		}
		return place{at, at, first + int64(bytes.Count(buf[:at-from], []byte("\n")))}
	}
	tell := func(spans []Span, tears []Torn) error {
		for _, span := range spans {
			if err := found(Found{Span: span, Line: where(span.Offset).line}); err != nil {
				return err
			}
		}
		return s.tellTorn(&starts, tears, "", torn)
	}
	for {
		n, err := in.Read(buf[kept : kept+readSize])
		s.Bytes += int64(n)
		if err := tell(j.Write(buf[kept : kept+n])); err != nil {
			return err
		}
		s.Lines += int64(bytes.Count(buf[kept:kept+n], []byte("\n")))
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		e := int64(-1) // where the next span may begin
		if j.span.on {
			e = j.span.start
		} else if j.piece {
			e = j.start
		}
		if e >= from {
			open = where(e)
		}
		// What a piece may begin in stays.
		drop := max(0, kept+n-2*block)
		first += int64(bytes.Count(buf[:drop], []byte("\n")))
		from += int64(drop)
		kept = copy(buf, buf[drop:kept+n])
	}
	if err := tell(j.Flush()); err != nil {
		return err
	}
	if f, ok := j.Foreign(); ok {
		s.Foreign = append(s.Foreign, f)
	}
	return nil
}

// checkLines reads CRI's and Docker's form.
func checkLines(in *bufio.Reader, s *Summary, found func(Found) error, torn func(FoundTorn) error) error {
	streams := [2]*places{{foreign: -1}, {foreign: -1}}
	for _, p := range streams {
		p.AnyLines = torn == nil
	}
	names := [2]string{"stdout", "stderr"}
	var scratch []byte
	buf := make([]byte, 0, lineMost+readSize)
	take := func(e entry, zeros bool) error {
		p := streams[e.stream]
		file := s.Bytes + int64(e.skip)
		p.add(place{p.given(), file, s.Lines + 1})
		p.starts.before(&p.lines, file, s.Lines+1)
		var spans []Span
		var tears []Torn
		if zeros { // between two lines
			spans = p.judge.Write(nil, e.text)
		} else {
			spans, tears = p.Write(e.text)
		}
		p.starts.after(&p.lines)
		if err := s.tell(p, spans, names[e.stream], found); err != nil {
			return err
		}
		p.noteForeign()
		return s.tellTorn(&p.starts, tears, names[e.stream], torn)
	}
	for {
		n, err := in.Read(buf[len(buf):min(cap(buf), len(buf)+readSize)])
		buf = buf[:len(buf)+n]
		rest := buf
		for {
			n, zeros := nextLine(rest, err == io.EOF)
			if n == 0 {
				break
			}
			e := entry{text: rest[:n]}
			if !zeros {
				e = payload(s.Form, rest[:n], &scratch)
			}
			if err := take(e, zeros); err != nil {
				return err
			}
			if !zeros {
				s.Lines++
			}
			s.Bytes += int64(n)
			rest = rest[n:]
		}
		buf = buf[:copy(buf[:cap(buf)], rest)]
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	for i, p := range streams {
		if err := s.end(p, names[i], found, torn); err != nil {
			return err
		}
	}
	return nil
}

// String says in words what was found.
func (f *Found) String() string {
	s := fmt.Sprintf("%d bytes at %d are no text, they look like %s", f.Length, f.Offset, f.LooksLike)
	if f.Stream != "" {
		s += " (" + f.Stream + ")"
	}
	return s
}
