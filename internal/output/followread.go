package output

import (
	"bytes"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// readAll reads what is new in a log's files, the oldest first; st is the last one's as it was seen before.
func (w *Follower) readAll(l *followed, st fileStat) (more bool) {
	if l.turned { // before anything of another file is handed on, so that it is found again whatever happens
		w.keepAtOnce(l)
	}
	behind := false // the position is, of files that were read to their end
	begun := st.size > 0 || len(l.files) > 0 && (l.last().zip || l.last().size > 0)
	for i := 0; i < len(l.files); i++ {
		f := l.files[i]
		last := i == len(l.files)-1
		if last && st.size == f.offset && !f.strange && f.size <= st.size {
			break // the most common case: nothing is new
		}
		if last && f.looked == st.size && f.looked > f.offset && f.size == st.size { // still no end of the line
			break
		}
		// What was read of the files before may be gone before the position is kept again: then nobody could tell how
		// much that was, and what follows would come at other offsets.
		if l.at != l.keptAt && i > 0 || behind {
			w.keepAtOnce(l)
			behind = false
		}
		// What comes next has begun before this is read: who writes there has written here for the last time.
		f.over = f.over || !last && (i < len(l.files)-2 || begun)
		again, err := w.read(l, f)
		if err != nil {
			if !w.readFailed(l, f, err) {
				return false
			}
			i--
			continue
		}
		if last { // it was seen before what was read, so it belongs to that
			f.size, f.mtime = max(f.size, st.size), st.mtime
		}
		if again {
			return true // the newer ones wait for it
		}
		if !last && f.over {
			w.finish(l, f)
			if f.missed {
				f.missed = false
				w.lose(l, f, 0, turnedOver)
			}
			now := w.now.UnixNano()
			if f.zip || f.fd < 0 || now-f.grew > int64(keepOver) || len(l.files) > 3 {
				w.close(f)
				l.remove(f)
				i--
				behind = l.at != l.keptAt
			}
		}
	}
	return false
}

// keepAtOnce keeps where a log is now.
func (w *Follower) keepAtOnce(l *followed) {
	l.changed, l.turned, l.keptAt = true, false, l.at
	l.mark()
	w.saveAtOnce(l)
}

// readFailed deals with a file that could not be read. Where it says true the file was given up, and the others
// can be read.
func (w *Follower) readFailed(l *followed, f *file, err error) bool {
	last := f == l.last()
	if errors.Is(err, errReplaced) {
		w.close(f)
	}
	switch {
	case errors.Is(err, errReplaced) && last:
		// Cut and filled again between two looks: what is there now is read from its start.
		if st, err := statFile(l.path); err == nil && w.replaced(l, st) {
			l.due = w.now
		}
		return false
	case errors.Is(err, fs.ErrNotExist) && !last, errors.Is(err, errReplaced):
		// On its way to another name, or gone.
		all := w.generations(l)
		if n, _ := w.find(f, all, "", fileStat{}); n >= 0 {
			f.path, f.id, f.zip, l.missing = all[n].path, all[n].id, all[n].zip, 0
			return false
		}
		if l.missing++; l.missing <= missingMost && f.head.Bytes > 0 {
			return false
		}
		l.missing = 0
		if !f.over || f.size > f.offset {
			w.lose(l, f, f.size-f.offset, "it was deleted")
		}
	case errors.Is(err, fs.ErrNotExist): // it was turned over just now
		return false
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, fs.ErrPermission):
		l.refused = true
		w.problem(l.path, err)
		return false
	case f.zip:
		w.lose(l, f, 0, err.Error())
	default:
		l.refused = true
		w.problem(l.path, err)
		return false
	}
	w.close(f)
	l.remove(f)
	return true
}

// ready opens f where it is not open.
func (w *Follower) ready(f *file) error {
	if f.fd >= 0 || f.unpack != nil {
		w.opens(f)
		return nil
	}
	if f.zip {
		u, err := newUnpacker(f.path)
		if err != nil {
			return err
		}
		if f.offset > 0 && !f.compare(u) {
			u.close()
			return errReplaced
		}
		f.unpack = u
		w.opens(f)
		return nil
	}
	fd, st, err := openRead(f.path)
	for err != nil && w.tooMany(err) {
		fd, st, err = openRead(f.path)
	}
	if err != nil {
		return err
	}
	f.fd = fd
	if st.id != f.id || !f.compare(fdReader(fd)) {
		w.close(f)
		return errReplaced
	}
	w.opens(f)
	return nil
}

// read hands on what is new in f, up to what is read at once; again: there is more.
func (w *Follower) read(l *followed, f *file) (again bool, err error) {
	if err := w.ready(f); err != nil {
		return false, err
	}
	c, err := f.next(w.buf)
	if err != nil {
		return false, err
	}
	if c.zeros > 0 {
		w.give(l, f, entry{}, f.offset, f.line, c.zeros)
		f.advance(nil, nil, c.zeros)
		f.grew = w.now.UnixNano()
		return true, nil
	}
	if len(c.text) == 0 {
		return c.more, nil
	}
	before := w.buf[:f.tail.Bytes]
	n := w.take(l, f, c.text, f.over && !c.more)
	if n > 0 {
		f.advance(before, c.text[:n], 0)
		f.grew = w.now.UnixNano()
	} else if f.offset == 0 { // it will be known again
		f.head = printOf(c.text[:min(len(c.text), printMost)])
		l.turned = true
	}
	f.looked = max(f.looked, f.offset+int64(len(c.text)-n))
	if n > 0 && c.more {
		l.mark()
	}
	return c.more, nil
}

// take hands on what is complete of text, which stands at f.offset, and says how many bytes that is. all: nothing follows.
func (w *Follower) take(l *followed, f *file, text []byte, all bool) (n int) {
	if f.form == "" {
		form, sure := formOf(text, all)
		if !sure {
			return 0
		}
		if f.form = form; form == Raw && l.form != "" {
			f.form = l.form // the first line may be torn; line by line it is the same
		}
		l.form = f.form
	}
	if f.form == Raw {
		w.give(l, f, entry{text: text}, f.offset, f.line, 0)
		f.line += int64(bytes.Count(text, []byte("\n")))
		return len(text)
	}
	for {
		k, zeros := nextLine(text[n:], all)
		if k == 0 {
			return n
		}
		if zeros {
			w.give(l, f, entry{}, f.offset+int64(n), f.line, int64(k))
		} else {
			w.give(l, f, payload(f.form, text[n:n+k], &w.scratch), f.offset+int64(n), f.line, 0)
			f.line++
		}
		n += k
	}
}

// finish hands on the last line of a file that nothing follows in any more.
func (w *Follower) finish(l *followed, f *file) {
	if f.offset >= f.size && f.looked <= f.offset {
		return
	}
	f.over = true
	if _, err := w.read(l, f); err != nil && !f.zip {
		w.lose(l, f, f.size-f.offset, "it was deleted")
	}
}

// give hands on a piece of a stream, but for what was done with before a restart.
func (w *Follower) give(l *followed, f *file, e entry, at, line, zeros int64) {
	n := int64(len(e.text)) + zeros
	if n == 0 {
		return
	}
	from := l.at[e.stream]
	l.at[e.stream] += n
	p := &w.part
	*p = Part{Path: l.path, File: f.id, Form: f.form, Stream: e.stream, At: from, Offset: at + int64(e.skip), Line: line + 1,
		Text: e.text, Zeros: zeros, stamp: e.stamp}
	if done := l.resume[e.stream] - from; done > 0 {
		if done >= n {
			return
		}
		p.At += done
		if f.form != Docker {
			p.Offset += done
		}
		if zeros > 0 {
			p.Zeros -= done
		} else {
			p.Line += int64(bytes.Count(p.Text[:done], []byte("\n")))
			p.Text = p.Text[done:]
		}
	}
	w.handed += n
	l.to.Take(p)
}
