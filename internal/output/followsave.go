package output

import "slices"

// point is a place in a log that it can go on from: how far its files and its streams were at one moment.
type point struct {
	files []savedFile
	at    [2]int64
	seen  seen
}

const pointsMost = 16

// mark remembers where the log is now. A consumer that is not done with all it was given goes on at the last point
// before that.
func (l *followed) mark() {
	if len(l.points) == pointsMost { // the first, and every second of the others
		n := 1
		for i := 2; i < len(l.points); i += 2 {
			l.points[n], l.points[i] = l.points[i], l.points[n]
			n++
		}
		l.points = l.points[:n]
	}
	n := len(l.points)
	l.points = slices.Grow(l.points, 1)[:n+1]
	p := &l.points[n]
	p.at, p.seen, p.files = l.at, l.newest, p.files[:0] // those of a point that is not needed any more
	for _, f := range l.files {
		p.files = append(p.files, f.saved())
	}
}

func (f *file) saved() savedFile {
	return savedFile{Path: f.path, Dev: f.id.Dev, Ino: f.id.Ino, Zip: f.zip, Form: f.form, Offset: f.offset, Line: f.line,
		Read: max(f.read, f.offset), Size: f.size, MTime: f.mtime, Head: f.head, Tail: f.tail, of: f}
}

func (l *followed) restore(s savedLog, now int64) {
	l.at, l.resume, l.newest, l.begun = s.At, s.Done, s.Seen, true
	for _, f := range s.Files {
		l.add(&file{path: f.Path, id: FileID{f.Dev, f.Ino}, zip: f.Zip, fd: -1, form: f.Form, offset: f.Offset, line: f.Line, looked: f.Offset,
			read: f.Read, size: f.Size, mtime: f.MTime, head: f.Head, tail: f.Tail, strange: true, grew: now})
		l.form = f.Form
	}
	l.mark()
}

// position is where the log goes on after a restart; its files are appended to some, and good as long as these.
func (l *followed) position(some []savedFile) savedLog {
	var done [2]int64
	for s := range done {
		done[s] = min(max(l.to.Done(s), l.resume[s]), max(l.at[s], l.resume[s]))
	}
	k := 0
	for k+1 < len(l.points) && l.points[k+1].at[0] <= done[0] && l.points[k+1].at[1] <= done[1] {
		k++
	}
	for i := range l.points[k:] { // what is not needed stays behind, to be used again
		l.points[i], l.points[i+k] = l.points[i+k], l.points[i]
	}
	l.points = l.points[:len(l.points)-k]
	p := &l.points[0]
	l.behind = p.at != l.at
	files := some[len(some):]
	for _, f := range p.files[:min(len(p.files), filesMost)] {
		if g := f.of; slices.Contains(l.files, g) && g.offset >= f.Offset { // as it was last seen
			f.Dev, f.Ino, f.Zip = g.id.Dev, g.id.Ino, g.zip
			f.Path, f.Size, f.MTime, f.Read = g.path, g.size, g.mtime, max(f.Read, g.offset)
			if g.head.Bytes > f.Head.Bytes {
				f.Head = g.head
			}
		}
		files = append(files, f)
	}
	return savedLog{Path: l.path, Files: files, At: p.at, Done: [2]int64{max(done[0], p.at[0]), max(done[1], p.at[1])}, Seen: p.seen}
}

// saveAtOnce writes the position of one log.
func (w *Follower) saveAtOnce(l *followed) {
	if w.journal == nil || w.journal.failed {
		return
	}
	l.changed = false
	w.problem(w.journal.path, w.journal.Save([]savedLog{l.position(nil)}, w.now))
}

// save writes the positions that have changed. all: also those of which more is done with, though nothing was read since.
func (w *Follower) save(all bool) {
	w.handed = 0
	changed, files := w.changed[:0], w.files[:0]
	for _, l := range w.logs {
		if (l.changed || all && l.behind) && len(l.points) > 0 {
			s := l.position(files)
			if n := len(files) + len(s.Files); n <= cap(files) {
				files = files[:n]
			} else { // it has moved
				files = slices.Grow(files, max(n, 2*cap(files)))[:0]
			}
			changed = append(changed, s)
			l.changed, l.keptAt = false, l.at
		}
	}
	for path := range w.forgotten {
		changed = append(changed, savedLog{Path: path, Gone: true})
	}
	w.forgotten = nil
	w.changed, w.files = changed, files
	err := w.journal.Save(changed, w.now)
	w.problem(w.journal.path, err)
}

// forget drops the position of a log that is gone.
func (w *Follower) forget(path string) {
	if w.journal == nil {
		return
	}
	if w.forgotten == nil {
		w.forgotten = map[string]bool{}
	}
	w.forgotten[path] = true
}
