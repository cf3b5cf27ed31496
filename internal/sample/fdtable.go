package sample

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"golang.org/x/sys/unix"
)

const (
	maxFDs    = 1 << 17 // descriptors of a table that are read
	maxGroups = 64      // of a table; the rest is one group of kind other
	fineUpTo  = 512     // groups from which on sockets are grouped without the peers' ports
	manyFiles = 4       // files of one directory that are shown as one group
	leakFiles = 10      // times that one file is open, from which on it stays a group of its own
)

// fdIs is what one descriptor refers to.
type fdIs struct {
	fd    int32
	kind  evidence.FDKind
	inode uint64 // of sockets and pipes
	path  string
}

// Table reads the descriptor table of a process and groups what is alike, as the kernel's probe does
// at a death: sockets by state and peer, those that came in at a listening port by that port,
// files by path, many of one directory by that. With fs.ErrPermission there is no table.
func (s *Sampler) Table(pid int) (*evidence.FDTable, error) {
	st, err := s.stat(pid)
	if err != nil {
		return nil, err
	}
	t := &evidence.FDTable{At: time.Now().UTC(), PID: int32(pid), Highest: -1, ByKind: map[evidence.FDKind]int64{}}
	if t.SoftLimit, t.HardLimit, err = s.limits(pid); err != nil {
		return nil, err
	}
	fds, cut, err := s.fds(pid)
	if err != nil {
		return nil, s.ended(pid, fmt.Errorf("read descriptors of process %d: %w", pid, err))
	}
	socks := s.sockets(pid, fds)
	g := grouper{listening: socks.listening}
	for i := range fds {
		f := &fds[i]
		sock, known := socks.byInode[f.inode]
		if f.kind == evidence.FDSocket && !known {
			f.kind = s.socketKind(pid, f.fd)
			if f.kind == evidence.FDTCP {
				sock.state = "CLOSE" // it has no address yet, or no more
			}
		} else if f.kind == evidence.FDSocket {
			f.kind = sock.kind
		}
		t.Open++
		t.Highest = max(t.Highest, int64(f.fd))
		t.ByKind[f.kind]++
		g.add(f, sock)
	}
	t.Groups = g.groups()
	t.SortGroups()
	t.Groups = bound(t.Groups)
	t.SortGroups()
	if cut {
		t.Partial = fmt.Sprintf("only the first %d descriptors were read", maxFDs)
	}
	if again, err := s.stat(pid); err != nil || again.start != st.start {
		return nil, fmt.Errorf("read descriptors of process %d: it ended meanwhile: %w", pid, fs.ErrNotExist)
	}
	return t, nil
}

// fds reads where each descriptor leads. One that is closed meanwhile is left out.
func (s *Sampler) fds(pid int) (out []fdIs, cut bool, err error) {
	dir := s.path(pid, "fd")
	d, err := os.Open(dir)
	if err != nil {
		return nil, false, gone(err)
	}
	defer d.Close()
	names, err := d.Readdirnames(maxFDs)
	if err != nil && !errors.Is(err, io.EOF) { // EOF: no descriptor at all
		return nil, false, gone(err)
	}
	out = make([]fdIs, 0, len(names))
	for _, name := range names {
		fd, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			continue
		}
		link := filepath.Join(dir, name)
		target, err := os.Readlink(link)
		if errors.Is(err, fs.ErrPermission) {
			return nil, false, err
		}
		if err == nil {
			out = append(out, classify(int32(fd), link, target))
		}
	}
	return out, len(names) == maxFDs, nil
}

// classify tells from a link's target what a descriptor is. Paths alone need a look at the file.
func classify(fd int32, link, target string) fdIs {
	f := fdIs{fd: fd}
	if rest, ok := strings.CutPrefix(target, "anon_inode:"); ok {
		f.kind = evidence.AnonKind(rest)
		if f.kind == evidence.FDAnon || f.kind == evidence.FDBPF {
			f.path = strings.Trim(rest, "[]")
		}
		return f
	}
	if kind, inode, ok := parseLink(target); ok {
		f.inode = inode
		switch kind {
		case "socket":
			f.kind = evidence.FDSocket
		case "pipe":
			f.kind = evidence.FDPipe
		case "pidfd":
			f.kind = evidence.FDPidfd
		default: // namespaces
			f.kind, f.path = evidence.FDOther, target
		}
		return f
	}
	f.path = target
	switch {
	case strings.HasPrefix(target, "/memfd:"):
		f.kind, f.path = evidence.FDMemfd, target[1:]
	case strings.HasPrefix(target, "/dev/pts/"), strings.HasPrefix(target, "/dev/tty"), target == "/dev/console", target == "/dev/ptmx":
		f.kind = evidence.FDTTY
	default:
		f.kind = modeKind(link, target)
	}
	return f
}

// parseLink reads "socket:[4711]".
func parseLink(target string) (kind string, inode uint64, ok bool) {
	kind, rest, ok := strings.Cut(target, ":[")
	if !ok || strings.Contains(kind, "/") || !strings.HasSuffix(rest, "]") {
		return "", 0, false
	}
	inode, err := strconv.ParseUint(rest[:len(rest)-1], 10, 64)
	return kind, inode, err == nil
}

// modeKind asks for the type of the file behind a descriptor, without asking a file server that may
// not answer.
func modeKind(link, target string) evidence.FDKind {
	var x unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, link, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE, &x); err == nil {
		switch x.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			return evidence.FDDir
		case unix.S_IFIFO:
			return evidence.FDFIFO
		case unix.S_IFCHR, unix.S_IFBLK:
			return evidence.FDDevice
		case unix.S_IFSOCK:
			return evidence.FDSocket
		}
		return evidence.FDFile
	}
	if strings.HasPrefix(target, "/dev/") {
		return evidence.FDDevice
	}
	return evidence.FDFile
}

// stdio reads descriptors 0 to 2; one that is closed has no kind.
func (s *Sampler) stdio(pid int) (out [3]evidence.StdioIs) {
	for fd := range out {
		out[fd].FD = int32(fd)
		link := s.path(pid, "fd/"+strconv.Itoa(fd))
		target, err := os.Readlink(link)
		if err != nil {
			continue
		}
		f := classify(int32(fd), link, target)
		if f.kind == evidence.FDSocket {
			f.kind = s.socketKind(pid, f.fd)
		}
		out[fd].FDKind, out[fd].Path = f.kind, target
	}
	return out
}

// grouper counts alike descriptors.
type grouper struct {
	listening map[uint16]bool
	index     map[groupKey]int
	all       []group
}

// groupKey is what the descriptors of a group have in common.
type groupKey struct {
	kind        evidence.FDKind
	state       string
	local, peer string
	path        string
}

type group struct {
	evidence.FDGroup
	first  string // peer with its port, where the key leaves that out
	mixed  bool   // not all peers are as the first
	inode  uint64 // of the first pipe
	inodes bool   // there are other pipes too
}

func (g *grouper) add(f *fdIs, sock socket) {
	k := groupKey{kind: f.kind, path: f.path}
	peer := ""
	switch f.kind {
	case evidence.FDTCP, evidence.FDUDP, evidence.FDRawSocket:
		if f.kind == evidence.FDTCP {
			k.state = sock.state
		}
		switch {
		case !sock.remote.IsValid() || sock.remote.Port() == 0: // a listener, or unconnected
			if sock.local.IsValid() {
				k.local = address(sock.local)
			}
		case g.listening[sock.local.Port()] && f.kind == evidence.FDTCP:
			// It came in: the peers' ports differ, and this side's is what it is about.
			k.local, k.peer, peer = address(sock.local), anyPort(sock.remote), address(sock.remote)
		case len(g.all) >= fineUpTo:
			k.peer, peer = anyPort(sock.remote), address(sock.remote)
		default:
			k.peer = address(sock.remote)
		}
	case evidence.FDUnix:
		k.state, k.local = sock.state, sock.path
	case evidence.FDFile:
		if len(g.all) >= fineUpTo {
			k.path = filepath.Dir(f.path) + "/*"
		}
	}
	i, ok := g.index[k]
	if !ok {
		if g.index == nil {
			g.index = map[groupKey]int{}
		}
		i = len(g.all)
		g.index[k] = i
		g.all = append(g.all, group{first: peer, inode: f.inode, FDGroup: evidence.FDGroup{
			Kind: k.kind, State: k.state, Local: k.local, Peer: k.peer, Path: k.path, Lowest: f.fd, Highest: f.fd}})
	}
	e := &g.all[i]
	e.Count++
	e.Lowest, e.Highest = min(e.Lowest, f.fd), max(e.Highest, f.fd)
	e.mixed = e.mixed || e.first != peer
	e.inodes = e.inodes || e.inode != f.inode
}

// groups gives the groups. Files of one directory become "/dir/*" where there are many, save one
// that is open many times: that is a leak of its own.
func (g *grouper) groups() (out []evidence.FDGroup) {
	files := map[string]int{}
	few := func(e *group) bool {
		return e.Kind == evidence.FDFile && strings.HasPrefix(e.Path, "/") && (e.Count < leakFiles || strings.HasSuffix(e.Path, "/*"))
	}
	dir := func(path string) string {
		path = strings.TrimSuffix(path, " (deleted)")
		return path[:strings.LastIndexByte(path, '/')+1] + "*"
	}
	for i := range g.all {
		if e := &g.all[i]; few(e) {
			if files[dir(e.Path)]++; strings.HasSuffix(e.Path, "/*") {
				files[dir(e.Path)] += manyFiles
			}
		}
	}
	made := map[string]int{}
	for i := range g.all {
		e := &g.all[i]
		if e.first != "" && !e.mixed {
			e.Peer = e.first
		}
		if e.Kind == evidence.FDPipe && !e.inodes && e.Count <= 2 {
			e.Path = "pipe:[" + strconv.FormatUint(e.inode, 10) + "]"
		}
		if few(e) && files[dir(e.Path)] >= manyFiles {
			d := dir(e.Path)
			at, ok := made[d]
			if !ok {
				made[d] = len(out)
				e.Path = d
			} else {
				o := &out[at]
				o.Count += e.Count
				o.Lowest, o.Highest = min(o.Lowest, e.Lowest), max(o.Highest, e.Highest)
				continue
			}
		}
		out = append(out, e.FDGroup)
	}
	return out
}

// bound keeps the largest groups, and sums up the rest.
func bound(groups []evidence.FDGroup) []evidence.FDGroup {
	if len(groups) <= maxGroups {
		return groups
	}
	rest := evidence.FDGroup{Kind: evidence.FDOther, Lowest: groups[maxGroups-1].Lowest}
	for i := range groups[maxGroups-1:] {
		g := &groups[maxGroups-1+i]
		rest.Count += g.Count
		rest.Lowest, rest.Highest = min(rest.Lowest, g.Lowest), max(rest.Highest, g.Highest)
	}
	return append(groups[:maxGroups-1], rest)
}
