package diagnose

import (
	"fmt"
	"slices"

	"github.com/descry-dev/descry/internal/evidence"
)

var connectionLoss = Cause{
	ID:    "connection-loss",
	Title: "A connection was lost",
	Why: "An established connection ended against the program's will: the peer, or a firewall or load balancer between, reset it (it crashed, was restarted, or forgot an idle connection), " +
		"or nothing that was sent was acknowledged any more until the kernel gave up.",
	Seen: "The kernel saw the connection reset or given up, and the last words name the error or the call that returned it was the last of the thread that ended the process: certain, or likely where that is told by time alone. " +
		"Clients that reset a server's connections, and a server that closes one in good order, are none.",
	Advice:   "See what happened to the peer at that time; keep-alives keep idle connections known to what lies between, and a client should connect again.",
	Rule:     ruleConnectionLoss,
	Absent:   absentConnectionLoss,
	Explains: []string{"uncaught-error", "assertion", "broken-pipe"},
}

// connLossWords are how programs say that a connection went away, the error's name apart.
var connLossWords = []string{"onnection lost", "ost connection", "onnection was lost", "onnection to server was lost", "onnection closed by remote", "server closed the connection", "onnection aborted", "onnection died", "ECONNABORTED",
	"Server has gone away", "server has gone away", "onnection reset", "socket hang up", "ontent-Length", "ecv failure", "end failure", "onnection was closed", "emote end closed", "unexpectedly closed"}

// lost are alike losses of connections to one peer.
type lost struct {
	*evidence.ConnectionLost // the latest whole one
	seen
}

func ruleConnectionLoss(v *View) *evidence.Finding {
	switch v.How {
	case endError, endAbort, endPipe:
	default:
		return nil
	}
	type key struct {
		peer  string
		errno evidence.Errno
	}
	by := map[key]*lost{}
	var all []*lost
	for _, pid := range append([]int32{v.PID}, v.Passed...) { // an accepted one is the main process's
		for i, d := range ofPID[*evidence.ConnectionLost](v, pid) {
			if v.boot(i) > v.End && (d.Errno != 0 || v.boot(i)-v.End > second) || d.Closing || pid != v.PID && !d.Accepted {
				continue // who writes after the peer has closed has no reader: a broken pipe
			}
			k := key{d.Peer, d.Errno}
			if by[k] == nil {
				by[k] = &lost{ConnectionLost: d}
				all = append(all, by[k])
			}
			l := by[k]
			if d.Local != "" {
				l.ConnectionLost = d
			}
			l.add(v, i, 0)
			l.first, l.last = min(l.first, v.End), min(l.last, v.End) // what was open is closed right behind the end
			l.count = max(l.count, d.Count)
		}
	}
	var best *evidence.Finding
	var bestOf *lost
	for _, l := range all {
		conf, gap, ev := v.linkLost(l)
		if conf == "" || best != nil && (conf.Rank() < best.Confidence.Rank() || conf.Rank() == best.Confidence.Rank() && l.last < bestOf.last) {
			continue
		}
		title, sum, advice := l.words(v, gap)
		best, bestOf = &evidence.Finding{Confidence: conf, Title: title, Summary: sum, Evidence: append(ev, v.deathAt()...), Advice: advice}, l
	}
	if best == nil {
		best = v.helperLost()
	}
	if best == nil && v.unseen(evidence.ECONNRESET) {
		return &evidence.Finding{Confidence: evidence.Likely, Title: "a lost connection", Evidence: v.deathAt(),
			Summary: "It says that a connection was reset: " + quoteLine(v.text.final.typ+": "+v.text.final.msg) + ". Failed system calls were not watched."}
	}
	return best
}

// helperLost is a connection that a helper of the culprit's lost, and ended for.
func (v *View) helperLost() *evidence.Finding {
	for i, d := range ofPID[*evidence.ConnectionLost](v, 0) {
		pid := v.Case.Timeline[i].PID
		if pid == v.PID || slices.Contains(v.Passed, pid) || d.Accepted || d.Closing || d.Errno == 0 || v.boot(i) > v.End {
			continue
		}
		words := slices.Concat(connLossWords, errnoWords[d.Errno])
		conf, ev := v.helperFailed(pid, v.boot(i), func(s string) bool { return mentions(s, words...) })
		if conf == "" {
			continue
		}
		l := &lost{ConnectionLost: d}
		title, sum, advice := l.words(v, v.End-v.boot(i))
		return &evidence.Finding{Confidence: conf, Title: title, Advice: advice, Evidence: append(append(v.deathAt(), i), ev...),
			Summary: sum + fmt.Sprintf(" Its helper, process %d, had the connection.", pid)}
	}
	return nil
}

// returned says whether a failed call is how the program may have learnt of the loss.
func (l *lost) returned(c *evidence.FailedCall) bool {
	if !transfers(c.Call) || c.FD >= 0 && c.FD <= 2 || c.BootNanos < l.first {
		return false
	}
	return l.Errno != 0 && c.Errno == l.Errno || l.Errno == evidence.ECONNRESET && c.Errno == evidence.EPIPE // the second write
}

// madeAgain says whether the program connected again to the peer that it had lost.
func (v *View) madeAgain(l *lost) bool {
	for i, m := range of[*evidence.ConnectMade](v) {
		if m.Peer == l.Peer && v.boot(i) > l.last {
			return true
		}
	}
	return false
}

func (v *View) linkLost(l *lost) (conf evidence.Confidence, gap int64, ev []int) {
	ev = l.evidence
	if mentions(v.text.said(), dnsWords...) {
		return "", 0, nil
	}
	if len(ev) > 4 {
		ev = append(ev[:2:2], ev[len(ev)-2:]...)
	}
	if v.How == endPipe {
		c, at := v.lastOfEnder(func(c *evidence.FailedCall) bool { return c.Errno == evidence.EPIPE && c.BootNanos <= v.End })
		if c == nil || !l.returned(c) || v.End-c.BootNanos > soon {
			return "", 0, nil
		}
		conf = evidence.Likely
		if c.BootNanos-l.last < soon && !l.Accepted {
			conf = evidence.Certain
		}
		return conf, v.End - l.last, append(ev[:len(ev):len(ev)], at)
	}
	words := slices.Concat(connLossWords, errnoWords[l.Errno])
	if l.Errno == 0 {
		words = slices.Concat(words, timeoutWords)
	}
	if l.Errno == evidence.ECONNRESET {
		words = slices.Concat(words, errnoWords[evidence.EPIPE])
	}
	s := l.seen
	s.first, s.evidence = s.last, ev
	k := v.link(others, l.returned, words, s)
	conf = k.conf
	made := thisOne
	if k.said {
		made = v.lastTrouble(words, &failedPeer{peer: l.Peer})
	} else if conf != "" {
		conf = v.wordless(conf, ofConnection)
	}
	switch {
	case conf == "":
	case made == elsewhere:
		conf = ""
	case !k.said && v.madeAgain(l):
		conf = ""
	case l.Accepted && !(k.call != nil && v.End-k.call.BootNanos <= atOnce) && (v.text.final == nil || !k.said):
		conf = "" // clients come and go
	case k.call == nil && !k.said:
		conf = "" // nothing shows that the program has learnt of it
	case l.Errno == 0 && conf == evidence.Certain && k.gap > soon, k.call == nil && !v.movesThreads() && conf == evidence.Certain && k.gap > soon:
		conf = evidence.Likely
	}
	if made == perhaps && conf != "" {
		conf = min2(conf, evidence.Likely)
	}
	return conf, k.gap, k.evidence
}

func (l *lost) words(v *View, gap int64) (title, sum, advice string) {
	peer := plain(l.Peer, 60)
	to := "to "
	if l.Accepted {
		to = "from "
	}
	title = "a lost connection " + to + peer
	switch l.Errno {
	case evidence.ECONNRESET:
		title = "a reset connection " + to + peer
		sum = fmt.Sprintf("The connection %s%s was reset by the peer (ECONNRESET)", to, peer)
		advice = "See whether the peer crashed, was restarted, or closed it with data unread at that time; load balancers and firewalls reset connections that were idle for too long."
	case 0:
		sum = fmt.Sprintf("The connection %s%s was stalled: the peer acknowledged nothing any more, and the program closed it", to, peer)
		advice = "Packets are dropped on the way, or the peer's machine went down: look at the network, firewalls and NAT tables between, and at the peer at that time."
	case evidence.ETIMEDOUT:
		sum = fmt.Sprintf("The connection %s%s was given up (ETIMEDOUT): the peer acknowledged nothing any more", to, peer)
		advice = "Packets are dropped on the way, or the peer's machine went down: look at the network, firewalls and NAT tables between, and at the peer at that time."
	case evidence.EHOSTUNREACH, evidence.ENETUNREACH:
		sum = fmt.Sprintf("The connection %s%s was given up (%s): the peer became unreachable", to, peer, l.Errno)
		advice = "Look at routes, interfaces and firewalls between at that time."
	default:
		sum = fmt.Sprintf("The connection %s%s was ended from outside (%s)", to, peer, l.Errno)
	}
	if l.Nanos > 0 {
		sum += fmt.Sprintf(" after %s", span(l.Nanos))
	}
	if l.Sent+l.Received > 0 {
		sum += fmt.Sprintf(", with %s sent and %s received", bytesOf(l.Sent), bytesOf(l.Received))
	}
	if l.Resent > 0 && l.Errno != evidence.ECONNRESET {
		sum += fmt.Sprintf("; the last data was sent again, %s in all", times(l.Resent))
	}
	sum += fmt.Sprintf(", %s before it %s.", span(gap), v.endWords())
	if l.count > 1 {
		sum += fmt.Sprintf(" %d such connections were lost.", l.count)
	}
	return title, sum, advice
}

func absentConnectionLoss(v *View) string {
	c := v.Case
	if !v.dead() || !c.Covered("probe/connect") || !c.Covered("probe/tcp") || c.Counters[evidence.CountReset] != 0 || c.Counters[evidence.CountTimedOut] != 0 || c.Counters[evidence.CountStalled] != 0 {
		return ""
	}
	for range ofPID[*evidence.ConnectionLost](v, 0) {
		return ""
	}
	n := c.Counters[evidence.CountConnected] + c.Counters[evidence.CountAccepted]
	if n == 0 {
		return "it had no TCP connection"
	}
	s := fmt.Sprintf("0 of %d connections lost", n)
	if seg := c.Counters[evidence.CountSegments]; seg > 0 {
		s += fmt.Sprintf(", %d of %d segments sent again", c.Counters[evidence.CountResent], seg)
	}
	return s
}
