package diagnose

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var connectFailure = Cause{
	ID:    "connect-failure",
	Title: "It could not connect",
	Why: "A connection was refused (nothing listens at that address and port, or a firewall rejects), was not answered (packets are dropped on the way, the machine is down), " +
		"or the peer is unreachable (no route). A UNIX socket refuses where its file is missing or nobody listens at it.",
	Seen: "The kernel saw the connect fail, or the program give it up unanswered, no later connection to that peer was made, and the last words name it or the failed call was the last of the thread that ended the process: certain. " +
		"Without words, and in another thread: likely. A refusal on the way to success, ::1 before 127.0.0.1 or a retry that went well, is none.",
	Advice:   "See whether the peer runs and listens at that address, and what lies between.",
	Rule:     ruleConnectFailure,
	Absent:   absentConnectFailure,
	Explains: []string{"uncaught-error", "assertion", "shutdown-timeout", "file-missing", "permission"},
}

// failedPeer is what failed alike: the attempts of one process to reach one peer, with one error.
type failedPeer struct {
	pid         int32
	peer        string
	protocol    evidence.FDKind
	errno       evidence.Errno // 0: given up before there was an answer
	first, last int64          // boot time
	count       int64
	nanos       int64 // that the latest whole one took
	resent      int64
	atOnce      bool
	stuck       bool // its first thread waited in connect()
	evidence    []int
	named       int // how well the last words name it
}

// ruleConnectFailure takes the failure that explains the end best.
func ruleConnectFailure(v *View) *evidence.Finding {
	switch v.How {
	case endError, endAbort:
	case endOutside, endTimer:
		return v.killedConnecting()
	case endPipe:
		return v.wroteUnconnected()
	default:
		return nil
	}
	var best *evidence.Finding
	var bestOf *failedPeer
	for _, p := range v.failedPeers() {
		conf, gap, ev := v.linkConnect(p)
		if conf == "" || best != nil && (conf.Rank() < best.Confidence.Rank() || conf.Rank() == best.Confidence.Rank() && (p.named < bestOf.named || p.named == bestOf.named && p.last < bestOf.last)) {
			continue
		}
		title, sum, advice := p.words(v, gap)
		best, bestOf = &evidence.Finding{Confidence: conf, Title: title, Summary: sum, Evidence: append(ev, v.deathAt()...), Advice: advice}, p
	}
	if best == nil && v.Code == 124 && v.runs("timeout") && v.text.final == nil {
		return v.killedConnecting()
	}
	if best == nil && v.unseen(evidence.ECONNREFUSED) {
		return &evidence.Finding{Confidence: evidence.Likely, Title: "a refused connection", Evidence: v.deathAt(),
			Summary: "It says that a connection was refused: " + quoteLine(strings.TrimPrefix(v.text.final.typ+": "+v.text.final.msg, ": ")) + ". Failed system calls were not watched."}
	}
	return best
}

// failedPeers are the failures of the whole tree that nothing made good.
func (v *View) failedPeers() (out []*failedPeer) {
	type key struct {
		pid   int32
		peer  string
		errno evidence.Errno
	}
	by := map[key]*failedPeer{}
	for i, c := range ofPID[*evidence.ConnectFailed](v, 0) {
		t, pid := v.boot(i), v.Case.Timeline[i].PID
		if t > v.End && (c.Errno != 0 || t-v.End > second) || v.everydayConnect(c) {
			continue
		}
		t = min(t, v.End) // what was open at the end is closed right behind it
		k := key{pid, c.Peer, c.Errno}
		p := by[k]
		if p == nil {
			p = &failedPeer{pid: pid, peer: c.Peer, protocol: c.Protocol, errno: c.Errno, first: t}
			by[k] = p
			out = append(out, p)
		}
		p.first, p.count = min(p.first, t), max(p.count, c.Count)
		p.atOnce = p.atOnce || c.AtOnce
		p.stuck = c.Blocking && v.Case.Timeline[i].TID == pid
		if c.Protocol != "" {
			p.protocol = c.Protocol
		}
		if t >= p.last {
			p.last, p.nanos, p.resent = t, c.Nanos, max(p.resent, c.Resent)
		}
		p.evidence = append(p.evidence, i)
	}
	for _, t := range v.threads { // of datagrams the next call learns that nobody took the one before
		for k := range t.calls {
			c := &t.calls[k]
			if c.BootNanos > v.End || !transfers(c.Call) || !refusedErrno(c.Errno) || slices.ContainsFunc(out, func(p *failedPeer) bool { return p.errno == c.Errno && p.pid == v.PID && p.protocol == evidence.FDTCP }) {
				continue
			}
			p := &failedPeer{pid: v.PID, peer: v.peerOf(c.FD), protocol: evidence.FDUDP, errno: c.Errno, first: c.BootNanos, last: c.BootNanos, count: max(1, c.Count), evidence: []int{t.at}}
			out = append(out, p)
		}
	}
	out = v.together(out)
	said := v.text.said()
	return slices.DeleteFunc(out, func(p *failedPeer) bool {
		p.named = namesPeer(said, p.peer)
		if len(p.evidence) > 4 {
			p.evidence = append(p.evidence[:2:2], p.evidence[len(p.evidence)-2:]...)
		}
		return p.protocol == evidence.FDUDP && p.atOnce && p.named < 2 && !(mentions(said, errnoWords[p.errno]...) && v.noneBeside(out, p)) || v.recovered(p)
	})
}

// noneBeside says whether p is the only failure of its process: resolvers connect datagram sockets to each
// address of a name, to see which of them has a route.
func (v *View) noneBeside(all []*failedPeer, p *failedPeer) bool {
	for _, q := range all {
		if q != p && q.pid == p.pid {
			return false
		}
	}
	for range ofPID[*evidence.ConnectMade](v, p.pid) {
		return false
	}
	return true
}

// together counts what several processes met with the culprit: a script starts a helper for each attempt.
func (v *View) together(all []*failedPeer) []*failedPeer {
	return slices.DeleteFunc(all, func(p *failedPeer) bool {
		if p.pid == v.PID {
			return false
		}
		for _, q := range all {
			later := q.pid == v.PID || q.last > p.last || q.last == p.last && q.pid > p.pid
			if q != p && q.peer == p.peer && q.errno == p.errno && q.pid != p.pid && later && p.count > 0 && q.count > 0 {
				q.first, q.count = min(q.first, p.first), q.count+p.count
				p.count = 0
				return true
			}
		}
		return false
	})
}

// killedConnecting is a program that waited for an answer to its connect until somebody ended it.
func (v *View) killedConnecting() *evidence.Finding {
	for _, p := range v.failedPeers() {
		if p.errno != 0 || !p.stuck || p.resent == 0 || p.nanos < second {
			continue
		}
		at := -1 // of the end of who was stuck
		for i, e := range ofPID[*evidence.Exit](v, p.pid) {
			if e.Signal != 0 && (p.pid == v.PID || e.Parent == v.PID) && p.last >= v.boot(i)-atOnce {
				at = i
			}
		}
		if at < 0 || v.End-v.boot(at) > soon {
			continue
		}
		peer := plain(p.peer, 90)
		f := &evidence.Finding{Confidence: evidence.Likely, Title: "an unanswered connection to " + peer, Evidence: append(append(v.deathAt(), at), p.evidence...),
			Summary: fmt.Sprintf("It had waited for %s to answer its connect for %s when it was killed; its packet was sent again %s, in vain.", peer, span(p.nanos), times(p.resent))}
		_, _, f.Advice = p.words(v, 0)
		return f
	}
	return nil
}

// neverConnected is the failed connect of the descriptor that a write then met EPIPE at, nil for none:
// the socket had no peer at any time.
func (v *View) neverConnected(write *evidence.FailedCall) *evidence.FailedCall {
	if write == nil || write.FD < 0 {
		return nil
	}
	c, _ := v.lastOfEnder(func(c *evidence.FailedCall) bool {
		return c.Call == "connect" && c.FD == write.FD && c.BootNanos < write.BootNanos && write.BootNanos-c.BootNanos < window && c.Errno != 115 /* EINPROGRESS */
	})
	if c == nil {
		return nil
	}
	for i := range of[*evidence.ConnectMade](v) {
		if v.boot(i) > c.BootNanos {
			return nil
		}
	}
	return c
}

// wroteUnconnected is a program that did not look at what its connect returned, and wrote to the socket.
func (v *View) wroteUnconnected() *evidence.Finding {
	w, at := v.lastOfEnder(func(c *evidence.FailedCall) bool { return c.Errno == evidence.EPIPE && c.BootNanos <= v.End })
	if w == nil || v.End-w.BootNanos > soon {
		return nil
	}
	c := v.neverConnected(w)
	if c == nil {
		return nil
	}
	for _, p := range v.failedPeers() {
		if p.pid != v.PID || p.errno != c.Errno || p.peer != c.Path {
			continue
		}
		title, sum, advice := p.words(v, v.End-p.last)
		return &evidence.Finding{Confidence: evidence.Certain, Title: title, Advice: advice, Evidence: append(append(v.deathAt(), at), p.evidence...),
			Summary: sum + fmt.Sprintf(" It wrote to that socket (descriptor %d) all the same, and SIGPIPE ended it.", w.FD)}
	}
	return nil
}

// everydayConnect are what healthy programs try: daemons of the C library's that need not run.
func (v *View) everydayConnect(c *evidence.ConnectFailed) bool {
	if c.Protocol != evidence.FDUnix {
		return false
	}
	return containsAny(c.Peer, "/nscd/", "/dev/log", "/systemd/journal/", "/avahi", "/sssd/", "/systemd/userdb/") ||
		containsAny(c.Peer, "/systemd/", "system_bus_socket", ".X11-unix", "/gcr/", "/keyring", "pulse", "/gnupg/") && !mentions(v.text.said(), connectWords...)
}

func refusedErrno(e evidence.Errno) bool {
	switch e {
	case evidence.ECONNREFUSED, evidence.EHOSTUNREACH, evidence.ENETUNREACH, evidence.ENETDOWN, evidence.EHOSTDOWN:
		return true
	}
	return false
}

// transfers says whether a call reads or writes what may be a socket.
func transfers(call string) bool {
	return hasAnyPrefix(call, "read", "write", "recv", "send", "pread", "pwrite", "splice")
}

// peerOf is the peer of a socket by its descriptor, "" where it is not known.
func (v *View) peerOf(fd int32) string {
	if t := v.table(); t != nil {
		for i := range t.Groups {
			if g := &t.Groups[i]; g.Count == 1 && g.Lowest == fd && g.Highest == fd && isSocket(g.Kind) {
				return g.Peer
			}
		}
	}
	return ""
}

// recovered says whether a connection was made after all: to the same peer, or to the same port at
// another of its addresses.
func (v *View) recovered(p *failedPeer) bool {
	failed, err := netip.ParseAddrPort(p.peer)
	for i, m := range ofPID[*evidence.ConnectMade](v, p.pid) {
		t := v.boot(i)
		if m.Peer == p.peer {
			if t > p.last {
				return true
			}
			continue
		}
		made, err2 := netip.ParseAddrPort(m.Peer)
		if err != nil || err2 != nil || made.Port() != failed.Port() {
			continue
		}
		same := made.Addr().IsLoopback() && failed.Addr().IsLoopback()
		if p.errno == 0 && t >= p.last-p.nanos || t > p.last-second && same || t > p.last && (p.named == 0 || made.Addr().Is4() != failed.Addr().Is4()) {
			return true
		}
	}
	return false
}

// words are a headline, what happened, and what to do.
func (p *failedPeer) words(v *View, gap int64) (title, sum, advice string) {
	peer, what := plain(p.peer, 90), "connection"
	to := ""
	if peer != "" {
		to = " to " + peer
	} else {
		peer = "the peer"
	}
	if p.protocol == evidence.FDUDP {
		what = "datagram"
	}
	switch {
	case p.protocol == evidence.FDUnix && p.errno == evidence.ENOENT:
		title, sum = "a missing UNIX socket, "+peer, fmt.Sprintf("It could not connect to the UNIX socket %s, which does not exist (ENOENT)", peer)
		advice = "Start what makes that socket, before this program, or correct the path; in a container, mount its directory."
	case p.protocol == evidence.FDUnix && p.errno == evidence.ECONNREFUSED:
		title, sum = "a refused connection"+to, fmt.Sprintf("The UNIX socket %s refused its connection (ECONNREFUSED): its file is there, and nobody listens", peer)
		advice = "Start, or restart, what listens at that socket; the file is left from an earlier one."
	case p.protocol == evidence.FDUnix && p.errno == evidence.EAGAIN:
		title, sum = "a refused connection"+to, fmt.Sprintf("The UNIX socket %s took no more connections (EAGAIN): its backlog is full", peer)
		advice = "See why what listens there accepts so slowly, and whether its backlog is too short."
	case p.errno == evidence.ECONNREFUSED:
		title, sum = "a refused "+what+to, fmt.Sprintf("Its %s%s was refused (ECONNREFUSED): nothing listens there, or a firewall rejects it", what, to)
		advice = fmt.Sprintf("See whether the server runs and listens at %s (ss -ltn there): started too late, another port, or bound to another address.", peer)
		if p.protocol == evidence.FDUDP {
			advice = fmt.Sprintf("See whether the server runs and listens at %s (ss -lun there).", peer)
		}
	case p.errno == 0, p.errno == evidence.ETIMEDOUT:
		title, sum = "an unanswered connection"+to, fmt.Sprintf("%s did not answer its connect", strings.ToUpper(peer[:1])+peer[1:])
		switch {
		case p.errno == 0:
			sum += fmt.Sprintf("; it gave up after %s", span(p.nanos))
		case p.nanos > 0:
			sum += fmt.Sprintf(" for %s (ETIMEDOUT)", span(p.nanos))
		default:
			sum += " (ETIMEDOUT)"
		}
		if p.resent > 0 {
			sum += fmt.Sprintf(", after its packet was sent again %s", times(p.resent))
		}
		advice = "Packets to it, or their answers, are dropped: look at firewalls, security groups and NetworkPolicies on the way, and whether the machine with that address is up."
	case p.errno == evidence.EACCES || p.errno == evidence.EPERM:
		title, sum = "a forbidden "+what+to, fmt.Sprintf("This machine refused its %s%s (%s)", what, to, p.errno)
		advice = "A firewall rule, an LSM (SELinux, AppArmor) or a BPF program of this machine forbids it."
		if p.protocol == evidence.FDUnix {
			advice = "Look at the mode and owner of the socket's file and of the directories above it: connecting needs the right to write."
		}
	case p.errno == evidence.ECONNRESET || p.errno == evidence.ECONNABORTED:
		title, sum = "a broken-off connection"+to, fmt.Sprintf("Its connection%s was broken off before it was made (%s)", to, p.errno)
	default:
		title, sum = "an unreachable peer", fmt.Sprintf("%s is unreachable (%s)", strings.ToUpper(peer[:1])+peer[1:], p.errno)
		if p.peer != "" {
			title = "an unreachable peer, " + peer
		}
		if p.atOnce {
			sum += ": this machine has no way there"
			advice = fmt.Sprintf("Look at the routes of its network namespace (ip route get %s): no default route, an interface that is down, or a family (IPv6) that is not set up.", host(p.peer))
		} else {
			sum += ": a router or firewall sent an error back"
			advice = "Check the address, and the firewalls and routers on the way."
			if p.errno == evidence.EHOSTUNREACH && p.nanos >= second/2 {
				sum = strings.TrimSuffix(sum, "a router or firewall sent an error back") + "nobody on its network answers for that address (ARP, neighbour discovery), or a router said so"
				advice = "See whether the machine with that address is up and the address right (ip neigh), and the routers on the way."
			}
		}
	}
	sum += fmt.Sprintf(", %s before it %s.", span(gap), v.endWords())
	if p.count > 1 {
		sum += fmt.Sprintf(" It failed %s", times(p.count))
		if d := p.last - p.first; d > 0 {
			sum += " in " + span(d)
		}
		sum += "."
	}
	if p.pid != v.PID {
		sum += fmt.Sprintf(" Its helper, process %d, made the connection.", p.pid)
	}
	return title, sum, advice
}

// host is the address without its port.
func host(peer string) string {
	if a, err := netip.ParseAddrPort(peer); err == nil {
		return a.Addr().String()
	}
	return plain(peer, 60)
}

func absentConnectFailure(v *View) string {
	c := v.Case
	if !v.dead() || !c.Covered("probe/connect") || !c.Covered("probe/syscall") || c.Counters[evidence.CountConnectFailed] != 0 || c.Counters[evidence.CountConnectGivenUp] != 0 {
		return ""
	}
	for range ofPID[*evidence.ConnectFailed](v, 0) {
		return ""
	}
	if c.Counters[evidence.CountConnected] == 0 {
		return "it tried none"
	}
	return fmt.Sprintf("0 of %d connections failed", c.Counters[evidence.CountConnected])
}
