//go:build linux

package probe

import (
	"bufio"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// asked is a refused call on a file, and what the kernel said of its surroundings.
type asked struct {
	d       *evidence.FileRefused
	pid     int
	mntNS   uint32 // inode of the mount namespace
	rootIno uint64 // the process's root directory
	rootDev uint64
	arg     uint32 // flags of open, mode of access
	byFD    bool   // the call was given a descriptor, else a path
	ino     uint64 // of the file behind the descriptor, or the directory that a relative path starts at
	dev     uint64
	magic   uint32 // of its file system
	at      string // its path
	gone    bool   // nothing is at that path any more
}

// fileView looks at files as a process sees them. A file system that does not answer, as of a
// server that is gone, holds up one look only: no other is begun before that has ended.
type fileView struct{ busy atomic.Bool }

var fileLook = 250 * time.Millisecond // tests of slow machines give it more

// look adds to a.d what can be seen of the file, in bounded time.
func (v *fileView) look(a *asked) {
	if !v.busy.CompareAndSwap(false, true) {
		return
	}
	mine := *a.d // not shared with what may still be reading
	b := *a
	b.d = &mine
	done := make(chan struct{})
	go func() {
		defer v.busy.Store(false)
		b.see()
		close(done)
	}()
	t := time.NewTimer(fileLook)
	defer t.Stop()
	select {
	case <-done:
		*a.d = mine
	case <-t.C:
	}
}

// see looks at the file through the process, or another one that sees the same files.
func (a *asked) see() {
	dir := a.procDir()
	if dir == "" {
		return
	}
	root, err := unix.Open(dir+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(root)
	if a.byFD {
		if f := a.behind(dir, root); f >= 0 {
			a.place(f, dir)
			if !a.gone {
				a.owner(f)
			}
			unix.Close(f)
		}
		return
	}
	from := ""
	if !path.IsAbs(a.d.Path) {
		if !path.IsAbs(a.at) {
			return
		}
		from = a.at
	}
	w := walk{a: a, root: root, groups: groupsOf(dir, a.pid), sees: sameUsers()}
	w.along(from, a.d.Path, dir)
	switch d := a.d; {
	case !w.sees: // what they say to descry, they do not say to the kernel
		d.Mode, d.Owner, d.Group = 0, -1, -1
	case d.Errno == evidence.EACCES && d.Forbids == "":
		// The kernel refused what is forbidden to nobody who is of every group: a process that is gone was
		// of none that matters. Nor do the capabilities of a user namespace matter outside of it.
		w.apart = otherUsers(dir, a.pid)
		if w.groups == nil || w.apart {
			if w.groups == nil {
				w.groups = []uint32{}
			}
			w.along(from, d.Path, dir)
		}
	}
}

// procDir is the folder in /proc of a process with the same files: the one itself, or, where it is
// gone, descry or another one.
func (a *asked) procDir() string {
	is := func(dir string) bool {
		var ns, root unix.Stat_t
		return unix.Stat(dir+"/ns/mnt", &ns) == nil && ns.Ino == uint64(a.mntNS) &&
			unix.Stat(dir+"/root/", &root) == nil && root.Ino == a.rootIno
	}
	for _, dir := range []string{"/proc/" + strconv.Itoa(a.pid), "/proc/self"} {
		if is(dir) {
			return dir
		}
	}
	until := time.Now().Add(20 * time.Millisecond)
	for _, p := range processes() {
		if dir := "/proc/" + strconv.Itoa(p); is(dir) {
			return dir
		}
		if time.Now().After(until) {
			break
		}
	}
	return ""
}

// inRoot opens a path as a process with that root does, to look at it and no more.
func inRoot(root int, name string, flags uint64) (int, error) {
	return unix.Openat2(root, name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
}

// behind opens the file behind the descriptor, by the descriptor or by its path; -1 where neither
// leads to it any more.
func (a *asked) behind(dir string, root int) int {
	if dir == "/proc/"+strconv.Itoa(a.pid) {
		link := dir + "/fd/" + strconv.Itoa(int(a.d.FD))
		if f, err := unix.Open(link, unix.O_PATH|unix.O_CLOEXEC, 0); err == nil {
			var st unix.Stat_t
			if unix.Fstat(f, &st) == nil && st.Ino == a.ino && st.Dev == a.dev {
				return f
			}
			// Layered file systems show other numbers than they have.
			if to, err := os.Readlink(link); err == nil && to == a.at {
				return f
			}
			unix.Close(f)
		}
	}
	// By its path; where it was removed, a directory that it was in.
	for p, n := a.at, 0; path.IsAbs(p) && n < 8; p, n = path.Dir(p), n+1 {
		if f, err := inRoot(root, p, 0); err == nil {
			var fs unix.Statfs_t
			if unix.Fstatfs(f, &fs) == nil && uint32(fs.Type) == a.magic {
				a.gone = n > 0
				return f
			}
			unix.Close(f)
			break
		} else if err != unix.ENOENT || p == "/" {
			break
		}
	}
	return -1
}

// place adds what file system f is on, and what is left of it.
func (a *asked) place(f int, dir string) {
	var fs unix.Statfs_t
	if unix.Fstatfs(f, &fs) != nil {
		return
	}
	d := a.d
	d.ReadOnly = fs.Flags&unix.ST_RDONLY != 0
	d.NoExec = fs.Flags&unix.ST_NOEXEC != 0
	if d.Errno == evidence.ENOSPC || d.Errno == evidence.EDQUOT {
		d.Space = &evidence.Space{
			FreeBytes: int64(fs.Bavail) * fs.Bsize, TotalBytes: int64(fs.Blocks) * fs.Bsize,
			FreeInodes: int64(fs.Ffree), TotalInodes: int64(fs.Files),
		}
	}
	var st unix.Statx_t
	if unix.Statx(f, "", unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MNT_ID, &st) != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		return // before 5.8
	}
	if info, err := os.Open(dir + "/mountinfo"); err == nil {
		defer info.Close()
		if m, ok := readMount(io.LimitReader(info, 4<<20), st.Mnt_id); ok {
			d.Mount, d.FSType, d.Device = cut(m.point, 255), cut(m.typ, 64), cut(m.source, 255)
		}
	}
}

func cut(s string, n int) string { return strings.ToValidUTF8(s[:min(n, len(s))], "") }

type mountLine struct{ point, typ, source string }

// readMount finds a mount in /proc/PID/mountinfo by its id.
func readMount(r io.Reader, id uint64) (m mountLine, ok bool) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 16<<10), 256<<10)
	want := strconv.FormatUint(id, 10)
	for in.Scan() {
		head, tail, found := strings.Cut(in.Text(), " - ")
		h, t := strings.Fields(head), strings.Fields(tail)
		if found && len(h) >= 6 && h[0] == want && len(t) >= 2 {
			return mountLine{unescape(h[4]), unescape(t[0]), unescape(t[1])}, true
		}
	}
	return mountLine{}, false
}

// unescape undoes what /proc makes of blanks in names: \040.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// owner adds the mode and owner of f.
func (a *asked) owner(f int) {
	var st unix.Stat_t
	if unix.Fstat(f, &st) == nil {
		a.d.Mode, a.d.Owner, a.d.Group = int32(st.Mode&0o7777), int32(st.Uid), int32(st.Gid)
	}
}

// groupsOf gives the supplementary groups of a process, nil where they are not known.
func groupsOf(dir string, pid int) []uint32 {
	if dir != "/proc/"+strconv.Itoa(pid) {
		return nil
	}
	b, err := os.ReadFile(dir + "/status")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		if list, ok := strings.CutPrefix(line, "Groups:"); ok {
			out := []uint32{}
			for _, f := range strings.Fields(list) {
				if v, err := strconv.ParseUint(f, 10, 32); err == nil {
					out = append(out, uint32(v))
				}
			}
			slices.Sort(out)
			return out
		}
	}
	return nil
}

// otherUsers says whether a process is in another user namespace than descry, where its capabilities
// are of no use for files of users that the namespace does not have.
func otherUsers(dir string, pid int) bool {
	if dir != "/proc/"+strconv.Itoa(pid) {
		return false
	}
	var mine, its unix.Stat_t
	return unix.Stat("/proc/self/ns/user", &mine) == nil && unix.Stat(dir+"/ns/user", &its) == nil && mine.Ino != its.Ino
}

// sameUsers says whether numbers of users mean to descry what they mean to the kernel: not so in a
// user namespace.
func sameUsers() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && slices.Equal(strings.Fields(string(b)), []string{"0", "0", "4294967295"})
}
