package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// watchedDir is a directory in which logs appear.
type watchedDir struct {
	path  string
	depth int
	mtime int64 // ns, when it was listed last
	when  time.Time
	names map[string]struct{}
	quiet bool                 // what is in it now was there at the first look
	waits map[string]time.Time // names that may be a log's past, the log is not there; since when
}

// settled is how long a directory's time must have stood still before it says that nothing changed: it is as
// coarse as the kernel's clock tick, or a second on some file systems.
const settled = 2 * time.Second

// relist is how often a directory is listed whatever its time says.
const relist = 30 * time.Second

// scan looks for new files.
func (w *Follower) scan() {
	for _, root := range w.roots {
		st, err := os.Stat(root)
		switch {
		case err == nil && st.IsDir():
			if w.dirs[root] == nil && w.byPath[root] == nil {
				w.dirs[root] = &watchedDir{path: root, quiet: w.first}
			}
		case w.byPath[root] == nil && w.dirs[root] == nil && !(err == nil && w.aliased(root)):
			w.follow(root, true, w.first, nil)
		}
	}
	fresh := []string{}
	for _, d := range w.dirs {
		fresh = append(fresh, w.list(d)...)
	}
	for len(fresh) > 0 { // directories in directories
		var deeper []string
		for _, p := range fresh {
			if d := w.dirs[p]; d != nil {
				deeper = append(deeper, w.list(d)...)
			}
		}
		fresh = deeper
	}
	switch {
	case w.first && w.o.Later:
		w.began = w.now
	case w.o.Later:
		if w.kept != nil && w.now.Sub(w.began) > keptWait {
			for path := range w.kept {
				w.forget(path)
			}
			w.kept = nil
		}
	case w.first:
		// Logs that were followed before and have no name any more: what is left of them is rotated.
		for path := range w.kept {
			if w.within(path) {
				w.follow(path, false, true, nil)
			} else {
				w.forget(path)
			}
		}
		w.kept = nil
	}
	w.first = false
}

// within says whether a log belongs to what is followed.
func (w *Follower) within(path string) bool {
	return slices.ContainsFunc(w.roots, func(root string) bool {
		return path == root || strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/")
	})
}

// list looks into a directory where it may have changed, and gives the directories that are new in it.
func (w *Follower) list(d *watchedDir) (fresh []string) {
	var st unix.Stat_t
	err := unix.Stat(d.path, &st)
	mtime := st.Mtim.Nano()
	switch {
	case err != nil && (errors.Is(err, fs.ErrNotExist) || err == unix.ENOTDIR):
		delete(w.dirs, d.path)
		w.problem(d.path, nil)
		return nil
	case err == nil && mtime == d.mtime && d.when.Sub(time.Unix(0, mtime)) > settled && w.now.Sub(d.when) < relist:
		return nil
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && !w.tooMany(err) {
			w.problem(d.path, err)
		}
		return nil
	}
	w.problem(d.path, nil)
	d.mtime, d.when = mtime, w.now
	names := make(map[string]struct{}, len(entries))
	for _, e := range entries {
		names[e.Name()] = struct{}{}
	}
	var real map[string]bool // where the logs lie that are followed
	for _, e := range entries {
		path := filepath.Join(d.path, e.Name())
		if e.IsDir() {
			if w.dirs[path] == nil && d.depth < depthMost {
				if len(w.dirs) >= dirsMost {
					w.problem(d.path, fmt.Errorf("follow %s: there are more than %d directories", path, dirsMost))
					continue
				}
				w.dirs[path] = &watchedDir{path: path, depth: d.depth + 1, quiet: d.quiet}
				fresh = append(fresh, path)
			}
			continue
		}
		was := w.rotatedAway(e.Name(), d.path, names)
		if l := w.byPath[path]; l != nil {
			if was && !l.wanted { // it was found before the log whose past it is
				l.ended = true
			}
			continue
		}
		if !was && w.orphan(d, e.Name(), names) {
			continue
		}
		if was || packed(e.Name()) || e.Name()[0] == '.' || e.Type()&^fs.ModeSymlink != 0 {
			continue
		}
		if _, err := statFile(path); err != nil {
			continue
		}
		if real == nil {
			real = map[string]bool{}
			for _, l := range w.logs {
				real[l.realOr(realPath(l.path))] = true
			}
		}
		r := realPath(path)
		if e.Type()&fs.ModeSymlink != 0 && w.ownName(r) { // it is followed by that, and may outlive this one
			continue
		}
		if !real[r] {
			real[r] = true
			w.follow(path, false, d.quiet, d.names)
		}
	}
	d.names, d.quiet = names, false
	return fresh
}

// aliased says whether a file is followed by another name.
func (w *Follower) aliased(path string) bool {
	real := realPath(path)
	return slices.ContainsFunc(w.logs, func(l *followed) bool { return l.path != path && l.realOr(realPath(l.path)) == real })
}

// ownName says whether a log that a link leads to is found in a directory that is followed, by its own name.
func (w *Follower) ownName(real string) bool {
	if w.byPath[real] != nil {
		return true
	}
	name := filepath.Base(real)
	if !w.within(real) || name[0] == '.' || packed(name) {
		return false
	}
	log, _ := pastOf(name)
	return log == ""
}

// orphanWait is how long a file waits for the log whose past it may be.
const orphanWait = 10 * time.Second

// orphan says whether a file is what a log was that has no name at the moment, and follows that log.
func (w *Follower) orphan(d *watchedDir, name string, names map[string]struct{}) bool {
	log, sure := pastOf(name)
	if log == "" {
		return false
	}
	if sure {
		if _, before := d.names[name]; !before { // else the log was followed to its end
			w.follow(filepath.Join(d.path, log), false, d.quiet, d.names)
		}
		return true
	}
	if packed(name) {
		return true
	}
	since, waits := d.waits[name]
	if !waits {
		if d.waits == nil {
			d.waits = map[string]time.Time{}
		}
		since, d.waits[name] = w.now, w.now
	}
	if w.now.Sub(since) >= orphanWait {
		return false
	}
	d.mtime = 0 // look again
	return true
}

// rotatedAway says whether a file is what a log was before it was rotated.
func (w *Follower) rotatedAway(name, dir string, names map[string]struct{}) bool {
	logs, _, _ := rotated(name)
	return slices.ContainsFunc(logs, func(log string) bool {
		_, there := names[log]
		_, before := w.kept[filepath.Join(dir, log)] // it has no file at the moment
		return there || before || w.byPath[filepath.Join(dir, log)] != nil
	})
}

// follow begins with a log. wanted: it was named; quiet: it was there at the first look; names are what was in its
// directory before.
func (w *Follower) follow(path string, wanted, quiet bool, names map[string]struct{}) {
	if w.byPath[path] != nil {
		return
	}
	if len(w.logs) >= w.o.MaxFiles {
		w.problem(path, fmt.Errorf("follow %s: %d logs are followed already", path, len(w.logs)))
		return
	}
	l := &followed{path: path, wanted: wanted, each: lookSoon}
	l.due = w.now
	kept, known := w.kept[path]
	if known {
		l.restore(kept, w.now.UnixNano())
		delete(w.kept, path)
	}
	l.to = w.o.New(path)
	w.byPath[path] = l
	w.logs = append(w.logs, l)
	if known {
		l.real = realPath(path)
		return
	}
	seen := w.journal != nil && !w.journal.fresh // logs were followed before this process
	l.atEnd = w.o.AtEnd && quiet && !seen
	if quiet && !seen || wanted {
		return
	}
	// It may have been rotated since it came to be, before it was found.
	l.real = realPath(path)
	all, _ := generations(l.real)
	for _, g := range all {
		_, old := names[filepath.Base(g.path)]
		if quiet {
			old = g.mtime <= w.journal.last.Add(-orphanWait).UnixNano() // which had not yet been found, maybe
		}
		if !old {
			l.add(w.older(l, g))
		}
	}
	l.newest, l.begun = seenOf(all), true
	if len(l.files) > 0 {
		if st, err := statFile(path); err == nil {
			l.add(w.begin(l, st))
		}
	}
}
