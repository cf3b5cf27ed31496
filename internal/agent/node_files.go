package agent

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/diagnose"
	"github.com/descry-dev/descry/internal/evidence"
)

// What a program's last words name is looked at right after its death, where the calls that failed were not watched. By
// then its mounts are gone with its last process, save its root, which is held. What its volumes are made of is mounted on the
// node, too, and found there by its device.

// mountPoint is a line of /proc/PID/mountinfo.
type mountPoint struct {
	device   string // "98:0"
	root     string // of the mount in its file system
	point    string
	typ      string
	readOnly bool
}

const (
	maxMountPoints = 64                     // of a container that are remembered
	fileLook       = 250 * time.Millisecond // for all files of a death
)

// mountsOf reads the mounts of a process, without those of the kernel's own file systems.
func mountsOf(name string) []mountPoint {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	return readMounts(io.LimitReader(f, 1<<20), maxMountPoints)
}

func readMounts(r io.Reader, most int) (out []mountPoint) {
	in := bufio.NewScanner(r)
	for in.Scan() && len(out) < most {
		head, tail, ok := strings.Cut(in.Text(), " - ")
		h, t := strings.Fields(head), strings.Fields(tail)
		if !ok || len(h) < 6 || len(t) < 3 {
			continue
		}
		switch t[0] {
		case "proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts", "bpf", "debugfs", "tracefs", "securityfs":
			continue
		}
		out = append(out, mountPoint{
			device: h[2], root: unescapeMount(h[3]), point: unescapeMount(h[4]), typ: unescapeMount(t[0]),
			readOnly: hasOption(h[5], "ro") || hasOption(t[2], "ro"),
		})
	}
	return out
}

func hasOption(list, name string) bool {
	for o := range strings.SplitSeq(list, ",") {
		if o == name {
			return true
		}
	}
	return false
}

// unescapeMount undoes what /proc makes of blanks in names.
func unescapeMount(s string) string { return blanks.Replace(s) }

var blanks = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// below is what of a path lies below dir, "" for dir itself.
func below(name, dir string) (rest string, ok bool) {
	if dir == "/" {
		return strings.TrimPrefix(name, "/"), true
	}
	if rest, ok = strings.CutPrefix(name, dir); !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return strings.TrimPrefix(rest, "/"), true
}

// lookAtFiles adds to a case what is found of the files that the last words name. A file system that does not
// answer holds up one death only.
func (n *node) lookAtFiles(s *subject, c *evidence.Case) {
	if s == nil || s.root == nil || c.Kind != evidence.CaseDeath {
		return
	}
	claims := diagnose.Claims(c)
	if len(claims) == 0 || !n.looking.CompareAndSwap(false, true) {
		return
	}
	root, err := unix.FcntlInt(s.root.Fd(), unix.F_DUPFD_CLOEXEC, 0) // the look may last longer than the subject is remembered
	if err != nil {
		n.looking.Store(false)
		return
	}
	about := diagnose.Culprit(c)
	found := make(chan []*evidence.FileLooked, 1)
	v := fileView{root: root, mounts: s.mounts, user: userOf(c, about)}
	go func() {
		defer n.looking.Store(false)
		defer unix.Close(root)
		var all []*evidence.FileLooked
		for _, claim := range claims {
			if d := v.look(claim.Path, claim.Errno); d != nil {
				all = append(all, d)
			}
		}
		found <- all
	}()
	t := time.NewTimer(fileLook)
	defer t.Stop()
	select {
	case all := <-found:
		for _, d := range all {
			c.Timeline = append(c.Timeline, *now(evidence.SourceRuntime, about, d))
		}
	case <-t.C:
	}
}

// userOf is who a process ran as, nil where that is not known.
func userOf(c *evidence.Case, pid int32) *evidence.AtEnd {
	for i := range c.Timeline {
		if e, ok := c.Timeline[i].Detail.(*evidence.Exit); ok && c.Timeline[i].PID == pid {
			return e.AtEnd
		}
	}
	return nil
}

// fileView looks at files as a container that has ended saw them.
type fileView struct {
	root   int // descriptor of its root
	mounts []mountPoint
	user   *evidence.AtEnd
}

// look finds out what there is to say of a file; nil where it cannot be looked at.
func (v *fileView) look(name string, e evidence.Errno) *evidence.FileLooked {
	m := mountAt(v.mounts, name)
	if m == nil {
		return nil
	}
	base := v.root
	if m.point != "/" {
		if base = onNode(m); base < 0 {
			return nil
		}
		defer unix.Close(base)
	}
	rest, _ := below(name, m.point)
	d := &evidence.FileLooked{Path: name, Errno: e, UID: -1, FSType: m.typ, Mount: m.point, ReadOnly: m.readOnly}
	if v.user != nil {
		d.UID = v.user.UID
	}
	return v.along(base, m.point, rest, d)
}

// along opens each directory of a path, and what it leads to.
func (v *fileView) along(base int, point, rest string, d *evidence.FileLooked) *evidence.FileLooked {
	parts := strings.FieldsFunc(rest, func(r rune) bool { return r == '/' })
	if len(parts) > 64 {
		return nil
	}
	at, here := -1, point
	defer func() {
		if at >= 0 {
			unix.Close(at)
		}
	}()
	for i := range len(parts) + 1 {
		next, err := unix.Openat2(base, path.Join(".", strings.Join(parts[:i], "/")), &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
		if err == unix.ENOENT && at >= 0 {
			d.Missing = true
			break
		}
		if err != nil {
			return nil
		}
		if at >= 0 {
			unix.Close(at)
		}
		at, here = next, path.Join(point, strings.Join(parts[:i], "/"))
		if d.Errno == evidence.EACCES && d.Forbids == "" {
			v.judge(at, here, i < len(parts), d)
		}
	}
	var fs unix.Statfs_t
	if d.Errno == evidence.ENOSPC && unix.Fstatfs(at, &fs) == nil {
		d.Space = &evidence.Space{
			FreeBytes: int64(fs.Bavail) * fs.Bsize, TotalBytes: int64(fs.Blocks) * fs.Bsize,
			FreeInodes: int64(fs.Ffree), TotalInodes: int64(fs.Files),
		}
	}
	return d
}

// judge notes a directory that the user may not pass, or a file that it may not both read and write: which of them it
// wanted is not known, but that it was refused. What groups it was of beside its own is not known, so that a file's group
// is taken for one of them.
func (v *fileView) judge(f int, name string, passed bool, d *evidence.FileLooked) {
	var st unix.Stat_t
	if v.user == nil || unix.Fstat(f, &st) != nil {
		return
	}
	dir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	need := uint32(6)
	if passed || dir {
		need = 1
	}
	if v.user.Caps>>unix.CAP_DAC_OVERRIDE&1 != 0 || need == 1 && v.user.Caps>>unix.CAP_DAC_READ_SEARCH&1 != 0 {
		return
	}
	has := (st.Mode>>3 | st.Mode) & 7
	if int32(st.Uid) == v.user.UID {
		has = st.Mode >> 6 & 7
	}
	if need&^has != 0 {
		d.Forbids, d.Mode, d.Owner, d.Group = name, int32(st.Mode&0o7777), int32(st.Uid), int32(st.Gid)
	}
}

// mountAt is the mount that a path lies on, nil where none is known.
func mountAt(mounts []mountPoint, name string) (best *mountPoint) {
	for i := range mounts {
		if _, ok := below(name, mounts[i].point); ok && (best == nil || len(mounts[i].point) >= len(best.point)) {
			best = &mounts[i] // of two at one point the later one is seen
		}
	}
	return best
}

// onNode opens the root of a container's mount where the node has the same file system mounted; -1 where it has not, or
// that is not seen from here.
func onNode(m *mountPoint) int {
	for _, dir := range []string{"/proc/self", "/proc/1"} {
		f, err := os.Open(dir + "/mountinfo")
		if err != nil {
			continue
		}
		all := readMounts(io.LimitReader(f, 8<<20), 1<<16)
		f.Close()
		for i := range all {
			h := &all[i]
			rest, ok := below(m.root, h.root)
			if h.device != m.device || !ok {
				continue
			}
			at, err := unix.Open(dir+"/root"+h.point, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				continue
			}
			var st unix.Stat_t
			if unix.Fstat(at, &st) != nil || fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)) != h.device { // another mount hides it
				unix.Close(at)
				continue
			}
			if rest == "" {
				return at
			}
			to, err := unix.Openat2(at, rest, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
			unix.Close(at)
			if err == nil {
				return to
			}
		}
	}
	return -1
}
