package output

import (
	"path/filepath"
	"time"
)

// Follow begins with one more log, which need not exist yet. It goes on where a kept position says; where there is
// none, at the end of what there is if atEnd is set, else at its beginning. The log stays until Leave, also while it is gone.
func (w *Follower) Follow(path string, atEnd bool) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if w.byPath[abs] != nil {
		return nil
	}
	_, known := w.kept[abs]
	w.follow(abs, true, true, nil)
	if l := w.byPath[abs]; l != nil && !known {
		l.atEnd = atEnd
	}
	return nil
}

// Known says whether a position of a log is kept, so that it goes on where it was.
func (w *Follower) Known(path string) bool {
	_, known := w.kept[path]
	return known || w.byPath[path] != nil
}

// Look hands on what there is of one log now, due or not, up to 64 MiB of it.
func (w *Follower) Look(path string, now time.Time) {
	l := w.byPath[path]
	if l == nil {
		return
	}
	w.now = now
	for range leaveMost {
		more := w.look(l)
		if w.handed > saveBytes {
			w.saveSome()
		}
		if !more {
			break
		}
	}
}

// Leave hands on what there is of a log, ends it, and forgets its position.
func (w *Follower) Leave(path string) {
	l := w.byPath[path]
	if l == nil {
		if _, known := w.kept[path]; known {
			delete(w.kept, path)
			w.forget(path)
		}
		return
	}
	for range leaveMost {
		if !w.look(l) {
			break
		}
	}
	for _, f := range l.files {
		w.finish(l, f)
	}
	l.ended = true
	w.drop()
}

// leaveMost is how many pieces of up to a megabyte are read of a log that is left.
const leaveMost = 64
