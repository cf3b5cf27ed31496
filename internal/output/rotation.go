package output

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// FileID tells files of one machine apart, while they exist.
type FileID struct {
	Dev, Ino uint64
}

// generation is a file that a log was before it was rotated away.
type generation struct {
	path  string
	id    FileID
	size  int64 // bytes, as it lies there
	mtime int64 // ns
	ctime int64 // ns
	born  int64 // ns, where its name has no time; 0: not known
	zip   bool
	order order
}

// order is the part of a rotated file's name that says how old it is.
type order struct {
	index int    // 1, 2: the higher, the older
	stamp string // 20261122-072416: the higher, the younger
}

// became says whether h is what g, of which nothing but name and number is known, is now: under another name, or packed.
func (g generation) became(h generation) bool {
	switch {
	case g.zip != h.zip && g.zip:
		return false
	case g.zip == h.zip:
		return h.id == g.id && h.size == g.size && h.mtime == g.mtime
	case g.order.stamp != "":
		return h.order.stamp == g.order.stamp
	}
	return h.mtime/1e9 == g.mtime/1e9 // packers keep whole seconds at least
}

// seen is what is remembered of the youngest file that a log had been rotated to at some moment, so that what comes
// after it is known. Its name, its number or its time is what it keeps.
type seen struct {
	Stamp string `json:"stamp,omitzero"`
	Ino   uint64 `json:"ino,omitzero"`
	MTime int64  `json:"mtime,omitzero"` // ns
	Born  int64  `json:"born,omitzero"`  // ns: a number is given to another file as soon as one is deleted
}

func seenOf(all []generation) seen {
	if len(all) == 0 {
		return seen{}
	}
	g := all[len(all)-1]
	return seen{g.order.stamp, g.id.Ino, g.mtime, g.born}
}

// index is where in all those begin that came after s; 0 where it is not among them any more.
func (s seen) index(all []generation) (from int) {
	for i, g := range all {
		switch {
		case s == seen{}:
		case s.Stamp != "" && g.order.stamp != "":
			if g.order.stamp <= s.Stamp {
				from = i + 1
			}
		case g.id.Ino == s.Ino && !g.zip && (s.Born == 0 || g.born == s.Born), g.mtime == s.MTime:
			from = i + 1
		}
	}
	return from
}

// after gives those that came after s, and were not written last before mtime.
func (s seen) after(all []generation, mtime int64) []generation {
	return slices.DeleteFunc(slices.Clone(all[s.index(all):]), func(g generation) bool {
		return g.mtime < mtime && (!g.zip || g.mtime/1e9 < mtime/1e9) // packers may keep whole seconds
	})
}

// rotated takes apart the name of a file that was rotated away: x.log.1, x.log.2.gz, x.log-20261122, 0.log.20261122-072416,
// x.1.log, x.log.old. It gives the names that the log may have.
func rotated(name string) (logs []string, o order, zip bool) {
	if unpacks(filepath.Ext(name)) {
		name, zip = strings.TrimSuffix(name, filepath.Ext(name)), true
	}
	if log, o, ok := cutOrder(name); ok {
		return []string{log}, o, zip
	}
	ext := filepath.Ext(name)
	if log, o, ok := cutOrder(strings.TrimSuffix(name, ext)); ok && ext != "" {
		return []string{log + ext}, o, zip
	}
	return nil, order{}, zip
}

// pastOf gives the log that a file was before it was rotated away, "": it is none. sure: its name says so by itself, as
// kubelet's 0.log.20261122-072416, logrotate's x.log.1 and x.log-20261122, packed or not. Others may
// be logs: catalina.2026-11-22.log, worker.1.
func pastOf(name string) (log string, sure bool) {
	logs, o, _ := rotated(name)
	if len(logs) == 0 {
		return "", false
	}
	log = logs[0]
	order, ok := strings.CutPrefix(name, log)
	if !ok || filepath.Ext(log) != ".log" {
		return log, false
	}
	if o.stamp == "" {
		return log, true
	}
	at := len(order)
	if pack := strings.IndexByte(order[1:], '.'); pack >= 0 {
		at = pack + 1
	}
	for _, form := range []string{"dddddddd", "dddddddd-dddddd"} {
		if strings.Map(asForm, order[1:at]) == form {
			return log, true
		}
	}
	return log, false
}

func asForm(r rune) rune {
	if r >= '0' && r <= '9' {
		return 'd'
	}
	return r
}

func cutOrder(name string) (log string, o order, ok bool) {
	if log, ok := strings.CutSuffix(name, ".old"); ok && log != "" {
		return log, order{index: 1}, true
	}
	at := len(name)
	for at > 0 && strings.IndexByte("0123456789-_.:TZ+", name[at-1]) >= 0 {
		at--
	}
	// The order begins at the first separator behind which there is a asForm.
	for ; at < len(name)-1; at++ {
		if c := name[at]; at > 0 && (c == '.' || c == '-' || c == '_') && name[at+1] >= '0' && name[at+1] <= '9' {
			break
		}
	}
	if at <= 0 || at >= len(name)-1 {
		return "", o, false
	}
	digits := 0
	for _, c := range []byte(name[at+1:]) {
		if c >= '0' && c <= '9' {
			digits++
			o.index = min(o.index*10+int(c-'0'), 1e9)
		}
	}
	switch {
	case digits >= 6:
		return name[:at], order{stamp: name[at+1:]}, true
	case digits == len(name)-at-1 && name[at] == '.':
		return name[:at], o, true
	}
	return "", o, false
}

// packed says whether a file is one that is never followed itself: packed, or still being made.
func packed(name string) bool {
	switch filepath.Ext(name) {
	case ".gz", ".bz2", ".xz", ".zst", ".zip", ".tmp", ".swp":
		return true
	}
	return false
}

// generations lists what was rotated away of the log at path, which is no link, oldest first. What is
// there packed and unpacked is still being packed: the unpacked file counts.
func generations(path string) (all []generation, err error) {
	for range 5 {
		again := false
		if all, again, err = generationsOnce(path); !again || err != nil {
			break
		}
	}
	return all, err
}

// generationsOnce is one attempt at generations; again: something was renamed or packed meanwhile, and may be missing.
func generationsOnce(path string) (all []generation, again bool, err error) {
	dir, log := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, false, err
	}
	names, err := d.Readdirnames(-1)
	d.Close()
	if err != nil {
		return nil, false, err
	}
	for _, name := range names {
		logs, o, zip := rotated(name)
		if !slices.Contains(logs, log) || zip && slices.Contains(names, strings.TrimSuffix(name, filepath.Ext(name))) {
			continue
		}
		g := generation{path: filepath.Join(dir, name), zip: zip, order: o}
		st, err := statFile(g.path)
		if err != nil {
			again = again || errors.Is(err, fs.ErrNotExist)
			continue
		}
		g.id, g.size, g.mtime, g.ctime = st.id, st.size, st.mtime, st.ctime
		if o.stamp == "" {
			g.born = born(g.path)
		}
		all = append(all, g)
	}
	slices.SortStableFunc(all, func(a, b generation) int {
		switch {
		case a.order.stamp != "" && b.order.stamp != "":
			return cmp.Compare(a.order.stamp, b.order.stamp)
		case a.order.stamp == "" && b.order.stamp == "":
			return cmp.Compare(b.order.index, a.order.index)
		}
		return cmp.Compare(a.mtime, b.mtime)
	})
	return all, again, nil
}

// fileStat is what is looked at of a file.
type fileStat struct {
	id    FileID
	size  int64
	mtime int64 // ns
	ctime int64 // ns: when it got its name, or lost its last one, too
}

// statFile looks at the regular file that path leads to.
func statFile(path string) (fileStat, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	for err == unix.EINTR {
		err = unix.Stat(path, &st)
	}
	if err != nil {
		return fileStat{}, &fs.PathError{Op: "look at", Path: path, Err: err}
	}
	return regular(path, &st)
}

// born is when a file was made, in ns; 0 where its file system does not keep that.
func born(path string) int64 {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &st) != nil || st.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
}

func statFd(path string, fd int) (fileStat, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fileStat{}, &fs.PathError{Op: "look at", Path: path, Err: err}
	}
	return regular(path, &st)
}

func regular(path string, st *unix.Stat_t) (fileStat, error) {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fileStat{}, &fs.PathError{Op: "follow", Path: path, Err: errNotRegular}
	}
	return fileStat{FileID{uint64(st.Dev), st.Ino}, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}, nil
}
