package output

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// followed is one log: the files that it is and was, and how far its streams are.
type followed struct {
	path    string
	real    string  // what path leads to, without links
	wanted  bool    // it was named, not found in a directory: it stays when it is gone
	files   []*file // oldest first; the last is at path, or was there last
	at      [2]int64
	keptAt  [2]int64 // where it was when that was kept at once
	resume  [2]int64 // what lies before was done with before the restart
	to      Consumer
	points  []point
	due     time.Time
	each    time.Duration
	gone    time.Time // since when there is nothing at path
	refused bool      // something of it could not be read at this look
	missing int       // looks for a file that was not found
	turned  bool      // its files are others than at the last point
	changed bool      // since it was saved
	behind  bool      // not all that was taken was done with when it was saved
	atEnd   bool      // what is there at the first look is not read
	form    Form      // of the last file
	begun   bool      // newest is known
	newest  seen      // of what was rotated away, when that was looked at last
	ended   bool
}

func (l *followed) last() *file {
	if len(l.files) == 0 {
		return nil
	}
	return l.files[len(l.files)-1]
}

func (l *followed) remove(f *file) {
	l.files = slices.DeleteFunc(l.files, func(g *file) bool { return f == g })
	l.turned = true
}

// missingMost is how many looks a file may be missing, since it may be on its way to another name.
const missingMost = 4

// look reads what is new in a log.
func (w *Follower) look(l *followed) (more bool) {
	was := l.at
	l.refused = false
	st, err := statFile(l.path)
	switch {
	case err == nil:
		l.gone = time.Time{}
		if !w.turn(l, st) {
			break // what it was is being looked for
		}
		more = w.readAll(l, st)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		more = w.lookGone(l)
	default:
		l.refused = true
		w.problem(l.path, err)
	}
	if !l.refused {
		w.problem(l.path, nil)
	}
	l.to.Look()
	switch {
	case more:
		l.due, l.each = w.now, lookSoon
	case l.missing > 0:
		l.due = w.now.Add(tick)
	case l.at != was:
		l.each = lookSoon
		l.due = w.now.Add(l.each)
	default:
		l.each = min(2*max(l.each, lookSoon/2), lookLate)
		l.due = w.now.Add(l.each)
	}
	if l.at != was || l.turned {
		l.changed, l.turned = true, false
		l.mark()
	}
	return more
}

// turn sees whether the log is another file now, and queues what must be read before it. false: something
// is not found yet.
func (w *Follower) turn(l *followed, st fileStat) bool {
	f := l.last()
	if f == nil {
		if l.begun {
			all := w.generations(l)
			w.queue(l, l.newest.after(all, 0), st)
			l.newest = seenOf(all)
		}
		l.add(w.begin(l, st))
		return true
	}
	if f.fd < 0 && f.head.Bytes == 0 && !f.zip && (f.strange || st.size > 0) {
		if !f.strange && f.id == st.id && f.path == l.path && len(l.files) > 1 && l.newest == seenOf(w.generations(l)) {
			return true // it waits for those before it, and nothing was rotated since
		}
		return w.replaced(l, st) // nothing is known of it but a number, which another may have by now
	}
	if f.strange { // it comes from a kept position
		if f.id.Ino == st.id.Ino && st.size >= f.offset && w.sameAt(f, l.path) && w.copyOf(l, f, w.generations(l)) < 0 {
			f.id = st.id
		} else if f.id.Ino == st.id.Ino && st.size < f.offset && w.cutByCrash(f, st) {
			return true
		} else {
			return w.replaced(l, st)
		}
		f.strange = false
	}
	if f.id == st.id {
		f.path = l.path
		switch {
		case st.size < f.offset && w.cutInside(l, f, st):
		case st.size < f.offset:
			return w.replaced(l, st)
		case st.size < f.size && w.ready(f) != nil, st.size < f.size && !f.compare(fdReader(f.fd)):
			return w.replaced(l, st)
		case st.size < f.size: // what was not yet read is gone, and nothing else
			w.lose(l, f, f.size-st.size, "the end was cut off")
			f.size, f.looked = st.size, f.offset
		case st.size == f.size && st.mtime != f.mtime && (st.size == 0 || w.ready(f) != nil || !f.compare(fdReader(f.fd))):
			return w.replaced(l, st) // filled and cut, or cut and filled, since the last look
		}
		if st.size <= f.size { // else it may hold something else, and is compared when it is read
			f.mtime = st.mtime
		}
		return true
	}
	back := func(g *file) bool {
		return g.id == st.id && !g.zip && (g.fd >= 0 || g.head.Bytes > 0 && st.size >= g.offset && w.sameAt(g, l.path))
	}
	if i := slices.IndexFunc(l.files, back); i >= 0 { // it has its name back
		g := l.files[i]
		l.remove(g)
		l.add(g)
		g.path, g.over = l.path, false
		return true
	}
	return w.replaced(l, st)
}

func (l *followed) add(f *file) {
	l.files = append(l.files, f)
	l.turned = true
}

// begin is a file that nothing was read of.
func (w *Follower) begin(l *followed, st fileStat) *file {
	if l.real = realPath(l.path); len(l.files) == 0 {
		l.newest = seenOf(w.generations(l))
	}
	l.begun = true
	f := &file{path: l.path, id: st.id, fd: -1, mtime: st.mtime, grew: w.now.UnixNano(), head: printOf(nil), tail: printOf(nil)}
	if st.size == 0 {
		f.born = born(f.path)
	}
	if l.atEnd {
		w.skip(f, st)
	}
	l.atEnd = false
	return f
}

// holds says whether the open file still has what was read of it.
func (f *file) holds() bool {
	if f.fd < 0 {
		return f.unpack != nil
	}
	st, err := statFd(f.path, f.fd)
	return err == nil && st.size >= f.offset && f.compare(fdReader(f.fd))
}

// older is a file that was rotated away before anything was read of it. It may get another name, or be packed,
// before it can be opened.
func (w *Follower) older(l *followed, g generation) *file {
	for range missingMost {
		f, err := w.openOlder(g)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errReplaced) {
			return f
		}
		w.close(f)
		all := w.generations(l)
		i := slices.IndexFunc(all, g.became)
		if i < 0 {
			return f
		}
		g = all[i]
	}
	f, _ := w.openOlder(g)
	return f
}

// openOlder opens a file that was rotated away, so that it is known again under another name.
func (w *Follower) openOlder(g generation) (*file, error) {
	f := &file{path: g.path, id: g.id, zip: g.zip, fd: -1, mtime: g.mtime, size: g.size, grew: w.now.UnixNano(), head: printOf(nil), tail: printOf(nil)}
	if g.zip {
		f.size = 0
	}
	if err := w.ready(f); err != nil {
		return f, err
	}
	var b [printMost]byte
	if g.zip {
		n, _ := f.unpack.ReadAt(b[:], 0)
		f.head = printOf(b[:n])
	} else {
		n, _ := fdReader(f.fd).ReadAt(b[:], 0)
		f.head = printOf(b[:n])
	}
	return f, nil
}

// skip lets a file begin at its end, at the start of its last line where that is not complete.
func (w *Follower) skip(f *file, st fileStat) {
	if st.size == 0 || w.ready(f) != nil {
		return
	}
	b := w.buf[:min(st.size, lineMost)]
	n, _ := fdReader(f.fd).ReadAt(b, 0)
	f.head = printOf(b[:min(n, printMost)])
	f.form, _ = formOf(b[:n], false)
	f.offset = st.size
	if f.form != Raw {
		n, _ = fdReader(f.fd).ReadAt(b, st.size-int64(len(b)))
		f.offset -= int64(n - 1 - bytes.LastIndexByte(b[:n], '\n'))
	}
	n, _ = fdReader(f.fd).ReadAt(b[:min(f.offset, printMost)], max(0, f.offset-printMost))
	f.tail, f.size, f.looked = printOf(b[:n]), st.size, f.offset
	if f.offset < printMost {
		f.head = f.tail
	}
}

// replaced is called when another file lies where f was, or the same one with less in it. What was not read of f is
// looked for among what was rotated away, and what came between it and the new file too.
func (w *Follower) replaced(l *followed, st fileStat) bool {
	f := l.last()
	sameFile := f.id == st.id // it was cut, or its number was given to another
	if sameFile || !f.holds() {
		w.close(f)
	}
	real := realPath(l.path)
	all := w.generations(l)
	n, moved := w.find(f, all, real, st)
	if c := w.copyOf(l, f, all); c >= 0 {
		n = c
	}
	switch {
	case n < 0 && moved: // a copy took its place
		w.close(f)
		f.path, f.id, f.mtime, f.strange = l.path, st.id, st.mtime, false
		l.missing = 0
		return true
	case n < 0 && f.fd < 0 && f.head.Bytes > 0 && l.missing < missingMost:
		l.missing++
		return false
	}
	l.missing = 0
	between := all
	switch {
	case n >= 0:
		if f.fd < 0 || all[n].id == f.id {
			f.path, f.id, f.zip = all[n].path, all[n].id, all[n].zip
		}
		f.strange = false
		between = all[max(n+1, l.newest.index(all)):]
	default:
		// It is not there any more. What was written after it was looked at came after it.
		gone := int64(0)
		if f.fd >= 0 {
			if st, err := statFd(f.path, f.fd); err == nil {
				f.mtime, gone = st.mtime, st.ctime
			}
		}
		between = l.newest.after(all, f.mtime)
		f.missed = gone != 0 && len(between) > 0 && between[0].order.index > 0 && between[0].ctime-gone > int64(overwritten)
		if f.fd < 0 {
			switch lost := f.size - f.offset; {
			case f.offset > 0 || lost > 0 && len(between) == 0:
				why := "it was deleted"
				if sameFile {
					why = "it was cut"
				}
				w.lose(l, f, lost, why)
			case (!sameFile || born(l.path) != f.born) && len(between) > 0 && between[0].order.index > 0 &&
				!slices.ContainsFunc(all, func(g generation) bool { return g.id == f.id && g.born == f.born }):
				// It was empty when it was seen, and has been through all its names since.
				w.lose(l, f, 0, turnedOver)
			}
			w.close(f)
			l.remove(f)
		}
	}
	l.newest = seenOf(all)
	w.queue(l, between, st)
	l.add(w.begin(l, st))
	return true
}

// overwritten is how much later than a file was deleted the one got its name that took its place. Where log.2 is older than that,
// log was turned over more often than once since. Kernels count these times in ticks of up to 10 ms.
const overwritten = 10 * time.Millisecond

const turnedOver = "it was turned over more often than it was looked at, and what came then was deleted"

// queue has what was rotated away read, but for what is there already and what is at the log's path.
func (w *Follower) queue(l *followed, all []generation, st fileStat) {
	for _, g := range all {
		there := func(f *file) bool { return f.id == g.id && (f.fd >= 0 || f.head.Bytes > 0 && w.sameAt(f, g.path)) }
		if g.id != st.id && !slices.ContainsFunc(l.files, there) {
			l.add(w.older(l, g))
		}
	}
}

// generations is what was rotated away of a log.
func (w *Follower) generations(l *followed) []generation {
	all, err := generations(l.realOr(realPath(l.path)))
	for err != nil && w.tooMany(err) {
		all, err = generations(l.realOr(realPath(l.path)))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.refused = true
		w.problem(l.path, err)
	}
	return all
}

// realOr is where the log itself lies: links to it stay, and it may be gone for a moment.
func (l *followed) realOr(real string) string {
	if l.real != "" {
		return l.real
	}
	if real != "" {
		return real
	}
	return l.path
}

func realPath(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return path
	}
	return real
}

// find looks for f among what was rotated away: the file itself, a copy of it, or what it was packed into.
// moved: what lies at path holds all that was read of it.
func (w *Follower) find(f *file, all []generation, path string, st fileStat) (n int, moved bool) {
	if f.head.Bytes == 0 && f.fd < 0 {
		return -1, false // nothing is known of it but a number, which another may have by now
	}
	for i, g := range all {
		if g.id.Ino == f.id.Ino && !g.zip && !f.zip && g.size >= f.offset && w.sameAt(f, g.path) {
			return i, false
		}
	}
	if f.head.Bytes == 0 {
		return -1, false
	}
	for i := len(all) - 1; i >= 0; i-- {
		g := all[i]
		if g.mtime/1e9 >= f.mtime/1e9 && (g.zip || g.size >= f.offset) && w.sameAt(f, g.path) {
			return i, false
		}
	}
	if f.id != st.id && f.offset >= printMost && st.size >= f.offset && st.size >= f.size && w.sameAt(f, path) {
		return -1, true
	}
	return -1, false
}

// copyOf is the first file since the last look that holds the little that was read of f, -1: there is none, or enough was read
// to know it again. Files begin alike: where one was copied and cut meanwhile, what lies in its place may, too.
func (w *Follower) copyOf(l *followed, f *file, all []generation) int {
	if !f.strange || f.offset >= printMost || f.head.Bytes == 0 {
		return -1
	}
	for i := l.newest.index(all); i < len(all); i++ {
		if g := all[i]; g.mtime/1e9 >= f.mtime/1e9 && (g.zip || g.size >= f.offset) && w.sameAt(f, g.path) {
			return i
		}
	}
	return -1
}

// sameAt says whether the file at path holds what was read of f.
func (w *Follower) sameAt(f *file, path string) bool {
	if packed(path) {
		u, err := newUnpacker(path)
		if err != nil {
			return false
		}
		defer u.close()
		return f.compare(u)
	}
	fd, st, err := openRead(path)
	for err != nil && w.tooMany(err) {
		fd, st, err = openRead(path)
	}
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return st.size >= f.offset && f.compare(fdReader(fd))
}

// cutByCrash says whether a file is shorter than what was read of it because the machine went down before all of it
// was on its disk. What is left was read; it goes on behind it.
func (w *Follower) cutByCrash(f *file, st fileStat) bool {
	if w.journal == nil || w.journal.sameBoot || st.size < int64(f.head.Bytes) {
		return false
	}
	cut := *f
	cut.tail = print{0, printOf(nil).Sum}
	if !w.sameStart(&cut, f.path) {
		return false
	}
	f.id, f.strange, f.offset, f.looked, f.size, f.mtime, f.tail = st.id, false, st.size, st.size, st.size, st.mtime, cut.tail
	return true
}

func (w *Follower) sameStart(f *file, path string) bool {
	fd, _, err := openRead(path)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return f.compare(fdReader(fd))
}

// lose tells of what will never be read of f. Nothing after it can have been done with before a restart.
func (w *Follower) lose(l *followed, f *file, n int64, why string) {
	if n -= max(0, f.read-f.offset); n < 0 {
		n = 0
	}
	l.at = [2]int64{max(l.at[0], l.resume[0]), max(l.at[1], l.resume[1])}
	l.to.Lost(Loss{Path: l.path, File: f.id, Offset: max(f.offset, f.read), Bytes: n, Why: why})
	l.turned = true
}

// beginGone begins with a log that has no file at its path when it is first looked at: between two names, most likely.
// What was rotated away last is where its writer still writes.
func (w *Follower) beginGone(l *followed) {
	all := w.generations(l)
	l.newest, l.begun, l.turned = seenOf(all), true, true
	if len(all) > 0 && !all[len(all)-1].zip {
		g := all[len(all)-1]
		f := w.older(l, g)
		if l.atEnd {
			w.skip(f, fileStat{id: g.id, size: g.size, mtime: g.mtime})
		}
		l.add(f)
	}
	l.atEnd = false
}

// lookGone reads on in a log that has no file at its path now.
func (w *Follower) lookGone(l *followed) (more bool) {
	if l.gone.IsZero() {
		l.gone = w.now
	}
	f := l.last()
	if f == nil && !l.begun {
		w.beginGone(l)
		if f = l.last(); f != nil {
			return w.readAll(l, fileStat{})
		}
	}
	if f == nil {
		patience := goneSoon
		if l.newest != (seen{}) { // it is turned over, and only has no name
			patience = keepGone
		}
		l.ended = !l.wanted && w.now.Sub(l.gone) > patience
		return false
	}
	if l.gone.Equal(w.now) && !f.holds() {
		w.close(f)
	}
	if f.fd < 0 && f.unpack == nil {
		all := w.generations(l)
		n, _ := w.find(f, all, l.path, fileStat{})
		switch {
		case n >= 0:
			f.path, f.id, f.zip, f.strange = all[n].path, all[n].id, all[n].zip, false
			between := all[max(n+1, l.newest.index(all)):] // more than one may have gone this way
			l.newest = seenOf(all)
			w.queue(l, between, fileStat{})
			l.missing = 0
		case l.missing < missingMost:
			l.missing++
			return false
		default:
			l.missing = 0
			between := l.newest.after(all, f.mtime)
			if f.size > f.offset || f.offset > 0 && (f.strange || len(between) > 0) {
				w.lose(l, f, f.size-f.offset, "it was deleted")
			}
			l.newest = seenOf(all)
			w.close(f)
			l.remove(f)
			w.queue(l, between, fileStat{})
			return false
		}
	}
	at := l.at
	more = w.readAll(l, fileStat{})
	if last := l.last(); last != nil && !more && l.at == at && w.now.UnixNano()-last.grew > int64(keepGone) {
		w.finish(l, last)
		w.closeAll(l)
		l.files, l.turned = nil, true
	}
	return more
}
