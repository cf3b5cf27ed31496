//go:build linux

package probe

import (
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// walk follows a path as the kernel did, to find what forbade the call.
type walk struct {
	a      *asked
	root   int
	groups []uint32 // nil: not known
	sees   bool     // owners can be compared
	apart  bool     // its capabilities are those of a user namespace that does not have the owners
}

// What a call needs of a file or directory.
const (
	needExec  = 1
	needWrite = 2
	needRead  = 4
)

// needs says what a call wants of the file by its path, and of the directory that it is in.
func (a *asked) needs(exists bool) (file, dir uint32) {
	const (
		accMode = 3
		creat   = unix.O_CREAT
	)
	open := func() (file, dir uint32) {
		switch a.arg & accMode {
		case unix.O_RDONLY:
			file = needRead
		case unix.O_WRONLY:
			file = needWrite
		default:
			file = needRead | needWrite
		}
		if a.arg&unix.O_TRUNC != 0 {
			file |= needWrite
		}
		if !exists && a.arg&creat != 0 || a.arg&unix.O_TMPFILE == unix.O_TMPFILE {
			return 0, needWrite | needExec
		}
		return file, 0
	}
	switch a.d.Call {
	case "open", "openat":
		return open()
	case "creat":
		if exists {
			return needWrite, 0
		}
		return 0, needWrite | needExec
	case "access", "faccessat", "faccessat2":
		return a.arg & 7, 0
	case "mkdir", "mkdirat", "mknod", "mknodat", "unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2",
		"link", "symlink", "symlinkat", "bind":
		return 0, needWrite | needExec
	case "chdir", "execve", "execveat":
		return needExec, 0
	case "truncate", "connect", "setxattr", "lsetxattr":
		return needWrite, 0
	}
	return 0, 0
}

// along looks at each directory of a path, and at what it leads to. The kernel looked up what comes
// after from, a directory that the process had open.
func (w *walk) along(from, name, dir string) {
	d := w.a.d
	fields := func(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == '/' }) }
	given := len(fields(from))
	parts := append(fields(from), fields(name)...)
	if len(parts) > 64 {
		return
	}
	forbids := d.Errno == evidence.EACCES || d.Errno == evidence.EPERM
	at, here := -1, "/"
	defer func() {
		if at >= 0 {
			unix.Close(at)
		}
	}()
	for i := -1; i < len(parts); i++ { // -1: the root itself
		var next int
		var err error
		name := "/"
		if i >= 0 {
			name = here + "/" + parts[i]
			if here == "/" {
				name = "/" + parts[i]
			}
			next, err = inRoot(w.root, name, 0)
		} else {
			next, err = unix.Openat(w.root, ".", unix.O_PATH|unix.O_CLOEXEC, 0)
		}
		if err != nil {
			// The nearest directory that there is tells the file system, and whether one may write there.
			d.Missing = err == unix.ENOENT
			w.a.place(at, dir)
			if i == len(parts)-1 && d.Missing {
				w.a.owner(at)
				if _, need := w.a.needs(false); forbids && need != 0 {
					w.judge(at, here, need, true)
				}
			}
			return
		}
		if i == len(parts)-1 {
			w.a.place(next, dir)
			w.a.owner(next)
			if file, parent := w.a.needs(true); forbids {
				if d.Errno == evidence.EPERM {
					w.attribute(next, path.Clean(name))
				}
				if d.Forbids == "" && at >= 0 && parent != 0 {
					w.judge(at, here, parent, true)
				}
				if d.Forbids == "" && file != 0 {
					w.judge(next, path.Clean(name), file, false)
				}
			}
			unix.Close(next)
			return
		}
		if at >= 0 {
			unix.Close(at)
		}
		at, here = next, path.Clean(name)
		if forbids && d.Errno == evidence.EACCES && i+1 >= given && w.judge(at, here, needExec, true) {
			w.a.place(at, dir)
			return
		}
	}
}

// judge says whether mode and owner of f forbid the process what it needs, and notes it if so.
func (w *walk) judge(f int, name string, need uint32, isDir bool) bool {
	var st unix.Stat_t
	if !w.sees || unix.Fstat(f, &st) != nil {
		return false
	}
	d := w.a.d
	note := func() {
		d.Forbids, d.Mode, d.Owner, d.Group = cut(name, 255), int32(st.Mode&0o7777), int32(st.Uid), int32(st.Gid)
	}
	if d.Errno == evidence.EPERM {
		if isDir && need&needWrite != 0 {
			w.attribute(f, name)
			if d.Attribute == "" && st.Mode&unix.S_ISVTX != 0 && int32(st.Uid) != d.UID && d.Caps>>unix.CAP_FOWNER&1 == 0 && !d.Missing {
				note()
				d.Attribute = "sticky"
			}
		}
		return d.Forbids != ""
	}
	caps := d.Caps
	if w.apart {
		caps = 0
	}
	if caps>>unix.CAP_DAC_OVERRIDE&1 != 0 && (isDir || need&needExec == 0 || st.Mode&0o111 != 0) {
		return false
	}
	if caps>>unix.CAP_DAC_READ_SEARCH&1 != 0 && need&needWrite == 0 && (isDir || need&needExec == 0) {
		return false
	}
	var has uint32
	switch group, known := w.inGroup(st.Gid); {
	case int32(st.Uid) == d.UID:
		has = st.Mode >> 6 & 7
	case group:
		has = st.Mode >> 3 & 7
	case !known: // it may be of the group
		has = (st.Mode>>3 | st.Mode) & 7
	default:
		has = st.Mode & 7
	}
	if need&^has == 0 {
		return false
	}
	note()
	return true
}

func (w *walk) inGroup(gid uint32) (in, known bool) {
	if int32(gid) == w.a.d.GID {
		return true, true
	}
	_, in = slices.BinarySearch(w.groups, gid)
	return in, w.groups != nil
}

// attribute notes an attribute of f that lets nobody change it (chattr).
func (w *walk) attribute(f int, name string) {
	var st unix.Statx_t
	if unix.Statx(f, "", unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st) != nil {
		return
	}
	d := w.a.d
	switch {
	case st.Attributes&unix.STATX_ATTR_IMMUTABLE != 0:
		d.Attribute = "immutable"
	case st.Attributes&unix.STATX_ATTR_APPEND != 0:
		d.Attribute = "append-only"
	default:
		return
	}
	d.Forbids, d.Mode, d.Owner, d.Group = cut(name, 255), int32(st.Mode&0o7777), int32(st.Uid), int32(st.Gid)
}
