package evidence

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// FDKind says what a descriptor refers to.
type FDKind string

// The kinds of descriptors.
const (
	FDTCP       FDKind = "tcp"  // IPv4 or IPv6
	FDUDP       FDKind = "udp"  //
	FDUnix      FDKind = "unix" // UNIX domain socket, of any type
	FDNetlink   FDKind = "netlink"
	FDRawSocket FDKind = "raw"
	FDPacket    FDKind = "packet"
	FDSocket    FDKind = "socket" // of another family
	FDPipe      FDKind = "pipe"   // from pipe(2)
	FDFIFO      FDKind = "fifo"   // with a name
	FDFile      FDKind = "file"
	FDDir       FDKind = "dir"
	FDDevice    FDKind = "device" // /dev/null and the like
	FDTTY       FDKind = "tty"
	FDMemfd     FDKind = "memfd"
	FDEvent     FDKind = "eventfd"
	FDEpoll     FDKind = "eventpoll"
	FDTimer     FDKind = "timerfd"
	FDSignal    FDKind = "signalfd"
	FDInotify   FDKind = "inotify"
	FDFanotify  FDKind = "fanotify"
	FDPidfd     FDKind = "pidfd"
	FDIOUring   FDKind = "io_uring"
	FDBPF       FDKind = "bpf"
	FDPerf      FDKind = "perf_event"
	FDAnon      FDKind = "anon"  // an anonymous inode of another kind; Path has its name
	FDOther     FDKind = "other" // groups that were not told apart
)

// AnonKind gives the kind of an anonymous inode by its name in the kernel, as it stands in
// /proc/PID/fd after "anon_inode:", with or without brackets.
func AnonKind(name string) FDKind {
	n := strings.Trim(strings.TrimPrefix(name, "anon_inode:"), "[]")
	switch n {
	case "eventfd", "eventpoll", "timerfd", "signalfd", "inotify", "fanotify", "pidfd", "io_uring", "perf_event":
		return FDKind(n)
	}
	if strings.HasPrefix(n, "bpf") {
		return FDBPF
	}
	return FDAnon
}

// FDGroup counts the descriptors of one process that are alike.
type FDGroup struct {
	Kind     FDKind `json:"kind"`
	State    string `json:"state,omitzero"` // tcp: "CLOSE_WAIT"; unix: "ESTABLISHED", "LISTEN"
	Peer     string `json:"peer,omitzero"`  // "10.0.3.7:5432", a UNIX socket's path
	Local    string `json:"local,omitzero"` // of listeners and unconnected sockets
	Path     string `json:"path,omitzero"`  // of files; "/var/lib/cart/*" where only the directory is common
	Count    int64  `json:"count"`
	Lowest   int32  `json:"lowest,omitzero"`   // lowest descriptor number of the group
	Highest  int32  `json:"highest,omitzero"`  // highest descriptor number of the group
	OpenedBy string `json:"openedBy,omitzero"` // "db_connect+0x5c", where a stack was had

	Unknown jsontext.Value `json:",embed"`
}

func (g *FDGroup) walk(c *codec) {
	c.str((*string)(&g.Kind))
	c.str(&g.State)
	c.str(&g.Peer)
	c.str(&g.Local)
	c.str(&g.Path)
	c.i64(&g.Count)
	c.i32(&g.Lowest)
	c.i32(&g.Highest)
	c.str(&g.OpenedBy)
	c.bytes((*[]byte)(&g.Unknown))
}

// What says in a few words what the group holds: "tcp CLOSE_WAIT 10.0.3.7:5432".
func (g *FDGroup) What() string {
	words := []string{string(g.Kind)}
	for _, w := range []string{g.State, g.Peer, g.Local, g.Path} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}

// FDTable is the descriptor table of one process at one time.
type FDTable struct {
	At        time.Time        `json:"at,omitzero"`
	PID       int32            `json:"pid,omitzero"`
	Open      int64            `json:"open"`
	SoftLimit int64            `json:"softLimit"`        // RLIMIT_NOFILE; descriptors are below it
	HardLimit int64            `json:"hardLimit"`        //
	Highest   int64            `json:"highest"`          // highest descriptor number in use, -1: none
	ByKind    map[FDKind]int64 `json:"byKind,omitzero"`  // sums to Open
	Groups    []FDGroup        `json:"groups,omitempty"` // most first, bounded; may sum to less than Open
	Partial   string           `json:"partial,omitzero"` // why the table is not whole, empty where it is

	Unknown jsontext.Value `json:",embed"`
}

func (t *FDTable) walk(c *codec) {
	at := t.At.UnixNano()
	if t.At.IsZero() {
		at = 0
	}
	c.i64(&at)
	if c.decode && at != 0 {
		t.At = time.Unix(0, at).UTC()
	}
	c.i32(&t.PID)
	c.i64(&t.Open)
	c.i64(&t.SoftLimit)
	c.i64(&t.HardLimit)
	c.i64(&t.Highest)
	t.walkKinds(c)
	list(c, &t.Groups, func(c *codec, g *FDGroup) { g.walk(c) })
	c.str(&t.Partial)
	c.bytes((*[]byte)(&t.Unknown))
}

func (t *FDTable) walkKinds(c *codec) {
	n := uint64(len(t.ByKind))
	c.u64(&n)
	if !c.decode {
		for k, v := range t.ByKind {
			c.str((*string)(&k))
			c.i64(&v)
		}
		return
	}
	for ; n > 0 && c.err == nil && len(c.buf) > 0; n-- {
		var k FDKind
		var v int64
		c.str((*string)(&k))
		c.i64(&v)
		if t.ByKind == nil {
			t.ByKind = map[FDKind]int64{}
		}
		t.ByKind[k] = v
	}
}

// Dominant is the largest group if it holds at least half of all descriptors and ten of them,
// else nil: a leak shows as one group of alike descriptors.
func (t *FDTable) Dominant() *FDGroup {
	if t == nil || len(t.Groups) == 0 {
		return nil
	}
	g := &t.Groups[0]
	if g.Count < 10 || g.Count*2 < t.Open {
		return nil
	}
	return g
}

// SortGroups puts the largest group first, and equals in a stable order.
func (t *FDTable) SortGroups() {
	slices.SortStableFunc(t.Groups, func(a, b FDGroup) int {
		return cmp.Or(-cmp.Compare(a.Count, b.Count), strings.Compare(a.What(), b.What()))
	})
}
