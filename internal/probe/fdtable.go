//go:build linux

package probe

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/descry-dev/descry/internal/evidence"
)

// fdKinds are in the order of enum fd_kind_nr in fdtable.bpf.h.
var fdKinds = [...]evidence.FDKind{
	evidence.FDOther,
	evidence.FDTCP, evidence.FDUDP, evidence.FDUnix, evidence.FDNetlink, evidence.FDRawSocket, evidence.FDPacket, evidence.FDSocket,
	evidence.FDPipe, evidence.FDFIFO, evidence.FDFile, evidence.FDDir, evidence.FDDevice, evidence.FDTTY, evidence.FDMemfd,
	evidence.FDAnon, evidence.FDPidfd,
}

const (
	walkKinds = 32
	groupSize = 8 + 16 + 8 + 4*7 + 4 + 8 + 16

	groupMixed  = 1
	groupCoarse = 2
	groupBound  = 4

	pathDeleted = 1
	pathCut     = 2
	pathUnix    = 4

	statePeerClosed = 100
)

// fdGroup mirrors struct fd_group.
type fdGroup struct {
	remote, local       [16]byte
	kind, state         uint16
	rport, lport        uint16 // 0: not in common
	count               uint32
	lowest, highest     int32
	flags, path         uint32
	firstRport, firstLp uint16
	inode               uint64
}

func readGroup(b []byte) (g fdGroup) {
	copy(g.remote[:], b[8:24])
	g.kind, g.state = le.Uint16(b[24:]), le.Uint16(b[26:])
	g.rport, g.lport = le.Uint16(b[28:]), le.Uint16(b[30:])
	g.count = le.Uint32(b[32:])
	g.lowest, g.highest = int32(le.Uint32(b[36:])), int32(le.Uint32(b[40:]))
	g.flags, g.path = le.Uint32(b[44:]), le.Uint32(b[48:])
	g.firstRport, g.firstLp = le.Uint16(b[60:]), le.Uint16(b[62:])
	g.inode = le.Uint64(b[64:])
	copy(g.local[:], b[72:88])
	return g
}

// table makes the table of what the kernel has grouped. Counts by kind are exact; groups are bounded.
func (p *parts) table(open int64, highest int64, byKind []byte, nameless uint32) *evidence.FDTable {
	t := &evidence.FDTable{Open: open, Highest: highest, ByKind: map[evidence.FDKind]int64{}}
	for i := range fdKinds {
		if n := le.Uint32(byKind[4*i:]); n > 0 {
			t.ByKind[fdKinds[i]] += int64(n)
		}
	}
	var j joiner
	var grouped int64
	for b := p.groups; len(b) >= groupSize; b = b[groupSize:] {
		g := readGroup(b)
		grouped += int64(g.count)
		out := p.group(&g)
		if out.Kind != evidence.FDAnon && fdKinds[min(int(g.kind), len(fdKinds)-1)] == evidence.FDAnon {
			t.ByKind[evidence.FDAnon] -= int64(g.count)
			t.ByKind[out.Kind] += int64(g.count)
		}
		j.add(&g, out)
	}
	if t.ByKind[evidence.FDAnon] <= 0 {
		delete(t.ByKind, evidence.FDAnon)
	}
	t.Groups = j.join()
	if rest := open - grouped; rest > 0 && !p.lost {
		t.Groups = append(t.Groups, evidence.FDGroup{Kind: evidence.FDOther, Count: rest})
	}
	t.SortGroups()
	switch {
	case p.lost:
		t.Partial = "the groups found no room in the ring of events"
	case nameless > 0:
		t.Partial = fmt.Sprintf("%d groups have no path", nameless)
	}
	return t
}

// group says in words what a group is.
func (p *parts) group(g *fdGroup) evidence.FDGroup {
	out := evidence.FDGroup{Count: int64(g.count), Lowest: g.lowest, Highest: g.highest, Kind: evidence.FDOther}
	if int(g.kind) < len(fdKinds) {
		out.Kind = fdKinds[g.kind]
	}
	switch out.Kind {
	case evidence.FDTCP:
		out.State = tcpState(g.state)
		if out.State == "LISTEN" {
			out.Local = address(g.local, g.firstLp)
			break
		}
		p.inet(g, &out)
	case evidence.FDUDP, evidence.FDRawSocket:
		p.inet(g, &out)
	case evidence.FDUnix:
		out.State = unixState(g.state)
		if name := p.path(g.path); name != "" {
			if g.rport != 0 {
				out.Peer = name
			} else {
				out.Local = name
			}
		}
	case evidence.FDAnon:
		name := cString(g.remote[:])
		if out.Kind = evidence.AnonKind(name); out.Kind == evidence.FDAnon || out.Kind == evidence.FDBPF {
			out.Path = strings.Trim(name, "[]")
		}
	case evidence.FDPipe:
		if g.flags&groupMixed == 0 && g.count <= 2 {
			out.Path = "pipe:[" + strconv.FormatUint(g.inode, 10) + "]"
		}
	default:
		out.Path = p.path(g.path)
		if g.flags&groupCoarse != 0 && g.flags&groupMixed != 0 && (out.Kind == evidence.FDFile || out.Kind == evidence.FDDir) {
			out.Path = directory(out.Path) + "*"
		}
	}
	return out
}

// inet fills in the addresses of a connection.
func (p *parts) inet(g *fdGroup, out *evidence.FDGroup) {
	if g.firstRport == 0 { // unconnected
		out.Local = address(g.local, g.firstLp)
		return
	}
	if g.flags&groupBound == 0 {
		if g.flags&groupMixed != 0 && g.rport == 0 {
			out.Peer = addressAny(g.remote)
			return
		}
		out.Peer = address(g.remote, g.firstRport)
		return
	}
	// It came in at a port of this side; the peers' ports differ.
	out.Local = address(g.local, g.lport)
	switch {
	case g.flags&groupMixed == 0:
		out.Peer = address(g.remote, g.firstRport)
	default:
		out.Peer = addressAny(g.remote)
	}
}

// address is "10.0.3.7:5432", "[2001:db8::1]:5432" or "*:80" for an address that is not set.
func address(a [16]byte, port uint16) string {
	ip := netip.AddrFrom16(a).Unmap()
	if ip.IsUnspecified() {
		return "*:" + strconv.Itoa(int(port))
	}
	return netip.AddrPortFrom(ip, port).String()
}

// addressAny is the same for any port.
func addressAny(a [16]byte) string {
	if a == [16]byte{} {
		return "*:*"
	}
	s := address(a, 0)
	return s[:len(s)-1] + "*"
}

func tcpState(n uint16) string {
	names := [...]string{
		1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECV", 4: "FIN_WAIT1", 5: "FIN_WAIT2", 6: "TIME_WAIT",
		7: "CLOSE", 8: "CLOSE_WAIT", 9: "LAST_ACK", 10: "LISTEN", 11: "CLOSING", 12: "SYN_RECV",
	}
	if int(n) < len(names) {
		return names[n]
	}
	return ""
}

// unixState names the states that UNIX sockets have; an unconnected one has none.
func unixState(n uint16) string {
	switch n {
	case 1:
		return "ESTABLISHED"
	case 10:
		return "LISTEN"
	case statePeerClosed:
		return "PEER_CLOSED"
	}
	return ""
}

// readPath reads a path, its components from the innermost outward.
func readPath(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	flags := b[0]
	b = b[1:]
	if flags&pathUnix != 0 {
		if len(b) == 0 || int(b[0]) > len(b)-1 {
			return ""
		}
		name := b[1 : 1+int(b[0])]
		if len(name) > 0 && name[0] == 0 { // abstract
			return "@" + string(name[1:])
		}
		return cString(name)
	}
	var parts []string
	for len(b) > 0 && b[0] != 0 {
		s := cString(b)
		parts = append(parts, s)
		b = b[min(len(s)+1, len(b)):]
	}
	var sb strings.Builder
	if flags&pathCut != 0 {
		sb.WriteString("…")
	}
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i] == "/" { // the root of a tree that is not mounted, or of the whole
			continue
		}
		if !strings.HasPrefix(parts[i], "memfd:") {
			sb.WriteByte('/')
		}
		sb.WriteString(parts[i])
	}
	if sb.Len() == 0 {
		sb.WriteByte('/')
	}
	if flags&pathDeleted != 0 {
		sb.WriteString(" (deleted)")
	}
	return sb.String()
}

// directory is path's, with a slash at its end.
func directory(path string) string {
	path = strings.TrimSuffix(path, " (deleted)")
	return path[:strings.LastIndexByte(path, '/')+1]
}

// joiner puts groups together that say the same to a reader: many files of one directory.
type joiner struct {
	groups []evidence.FDGroup
	dirs   map[string][]int // indexes of groups of files
}

func (j *joiner) add(g *fdGroup, out evidence.FDGroup) {
	if out.Kind == evidence.FDFile && strings.HasPrefix(out.Path, "/") {
		if j.dirs == nil {
			j.dirs = map[string][]int{}
		}
		d := directory(out.Path)
		j.dirs[d] = append(j.dirs[d], len(j.groups))
	}
	j.groups = append(j.groups, out)
}

const manyFiles = 4 // of one directory are shown as one group

// join gives the groups. Files of one directory become "/dir/*" where there are many, save one that
// is open ten times and more: that is a leak of its own.
func (j *joiner) join() []evidence.FDGroup {
	gone := map[int]bool{}
	var made []evidence.FDGroup
	for dir, all := range j.dirs {
		one := evidence.FDGroup{Kind: evidence.FDFile, Path: dir + "*", Lowest: 1<<31 - 1, Highest: -1}
		files := 0
		for _, i := range all {
			g := &j.groups[i]
			if g.Count >= 10 && !strings.HasSuffix(g.Path, "/*") {
				continue
			}
			files++
			if strings.HasSuffix(g.Path, "/*") {
				files = manyFiles
			}
			one.Count += g.Count
			one.Lowest, one.Highest = min(one.Lowest, g.Lowest), max(one.Highest, g.Highest)
		}
		if files < manyFiles {
			continue
		}
		for _, i := range all {
			if g := &j.groups[i]; g.Count < 10 || strings.HasSuffix(g.Path, "/*") {
				gone[i] = true
			}
		}
		made = append(made, one)
	}
	out := make([]evidence.FDGroup, 0, len(j.groups)-len(gone)+len(made))
	for i := range j.groups {
		if !gone[i] {
			out = append(out, j.groups[i])
		}
	}
	return append(out, made...)
}

// setupWalks gives an object its slots for walks: two for each processor, and one for Set.Table.
func setupWalks(e *env, spec *ebpf.CollectionSpec) error {
	m := spec.Maps["walks"]
	if m == nil {
		return nil
	}
	m.MaxEntries = e.walkSlots()
	return set(spec, "walk_slots", m.MaxEntries)
}

func (e *env) walkSlots() uint32 { return uint32(min(2*e.cpus, 32)) + 1 }
