package diagnose

import (
	"fmt"
	"slices"

	"github.com/descry-dev/descry/internal/evidence"
)

var socketMemory = Cause{
	ID:    "socket-memory",
	Title: "Memory for sockets was used up",
	Why: "All TCP sockets of a machine share the memory that net.ipv4.tcp_mem allows, all UDP sockets that of net.ipv4.udp_mem, and those of a container count into its memory limit. " +
		"When it is used up, packets are dropped on arrival, senders wait, connections are aborted, and calls fail with ENOBUFS or ENOMEM, whoever holds most of it.",
	Seen: "The kernel refused a socket of the program memory for that reason, or the machine was at that limit; and a call on a socket failed with ENOBUFS or ENOMEM as the last of the thread that ended the process, or named by its last words: certain. " +
		"With its last words of lost data or of a time-out seconds after the refusals: likely. ENOBUFS by itself is not it: a network device's full queue says the same.",
	Advice:   "Find what holds the memory (ss -tm, /proc/net/sockstat): connections whose data nobody reads, or buffers set too large; then raise net.ipv4.tcp_mem or udp_mem, or the container's memory limit.",
	Rule:     ruleSocketMemory,
	Absent:   absentSocketMemory,
	Explains: []string{"uncaught-error", "assertion", "receive-overflow", "send-stalled", "accept-overflow", "connect-failure", "connection-loss"},
}

var socketCalls = []string{"socket", "connect", "bind", "listen", "accept", "accept4", "setsockopt", "sendto", "sendmsg", "sendmmsg", "sendfile", "recvfrom", "recvmsg", "recvmmsg", "socketpair"}

func forMemory(d *evidence.Drop) bool {
	switch d.Reason {
	case evidence.DropUDPMemory, evidence.DropSocketMemory, evidence.DropProtocolMemory:
		return true
	}
	return false
}

// scarce is what was seen of used up memory for sockets near the end.
type scarce struct {
	own      *dropped // refused to a socket of the program itself
	n        int64    // refusals to its sockets in all
	tcp      bool     // the machine's TCP sockets were seen at their limit
	words    string   // "all 1024 pages of tcp_mem", "" where the figures are not known
	evidence []int
	last     int64
}

func (v *View) socketMemory() *scarce {
	m := new(scarce)
	for _, d := range v.drops(forMemory) {
		if v.End-d.last > late {
			continue
		}
		m.n += d.count
		m.last = max(m.last, d.last)
		m.evidence = append(m.evidence, d.evidence...)
		if m.own == nil || d.count > m.own.count {
			m.own = &d
		}
		if d.Limits[2] > 0 && m.words == "" {
			m.words = fmt.Sprintf("%d of the %d pages that %s sockets of the machine may have (net.ipv4.%s_mem) were in use", d.Allocated, d.Limits[2], protocolWords(d.Protocol), memName(d.Protocol))
		}
	}
	for i, w := range ofPID[*evidence.Machine](v, 0) {
		if v.End-v.boot(i) > window {
			continue
		}
		for _, x := range []struct {
			name string
			used int64
			max  int64
		}{{"TCP", w.TCPMem, w.TCPMemLimits[2]}, {"UDP", w.UDPMem, w.UDPMemLimits[2]}} {
			if x.max > 0 && x.used >= x.max {
				m.words = fmt.Sprintf("%d of the %d pages that %s sockets of the machine may have (net.ipv4.%s_mem) were in use", x.used, x.max, x.name, map[string]string{"TCP": "tcp", "UDP": "udp"}[x.name])
				m.evidence = append(m.evidence, i)
				m.last = max(m.last, v.boot(i))
				m.tcp = m.tcp || x.name == "TCP"
			}
		}
	}
	if m.last == 0 {
		return nil
	}
	if len(m.evidence) > 4 {
		m.evidence = append(m.evidence[:2:2], m.evidence[len(m.evidence)-2:]...)
	}
	return m
}

func memName(k evidence.FDKind) string {
	if k == evidence.FDUDP {
		return "udp"
	}
	return "tcp"
}

func ruleSocketMemory(v *View) *evidence.Finding {
	m := v.socketMemory()
	if m == nil {
		return nil
	}
	refused := func(c *evidence.FailedCall) bool {
		return (c.Errno == evidence.ENOBUFS || c.Errno == evidence.ENOMEM) && slices.Contains(socketCalls, c.Call)
	}
	words := append(append([]string{}, errnoWords[evidence.ENOBUFS]...), errnoWords[evidence.ENOMEM]...)
	sum := "The memory for sockets was used up"
	if m.words != "" {
		sum += ": " + m.words
	} else if m.own != nil && m.own.Reason == evidence.DropSocketMemory {
		sum += ": that of its cgroup"
	}
	if m.own != nil {
		sum += fmt.Sprintf("; its own %s socket", protocolWords(m.own.Protocol))
		if m.own.Local != "" {
			sum += " at " + plain(m.own.Local, 80)
		}
		sum += fmt.Sprintf(" was refused memory %s", times(m.own.count))
	}
	const title = "memory for sockets being used up"
	if l := v.link(others, refused, words, seen{}); l.conf != "" && l.call != nil {
		return &evidence.Finding{Confidence: l.conf, Title: title, Evidence: append(append(l.evidence, m.evidence...), v.deathAt()...),
			Summary: fmt.Sprintf("%s. %s() failed with %s %s before it %s.", sum, plain(l.call.Call, 20), l.call.Errno, span(l.gap), v.endWords())}
	}
	// Where the peer is on this machine too, it is the peer's socket that was refused memory: its own packets then went unanswered.
	resent := v.Case.Counters[evidence.CountResent]
	if m.own == nil && m.tcp && resent > 0 && v.saysWaited() {
		sum += fmt.Sprintf("; its connections sent again %s what nobody acknowledged", times(resent))
	} else if m.own == nil {
		return nil
	}
	if !v.endsItself() || v.End-m.last > window || v.namesAnother(evidence.EAGAIN, evidence.ETIMEDOUT, evidence.ENOBUFS, evidence.ENOMEM, evidence.ECONNRESET) ||
		!v.saysLoss() && !v.saysWaited() {
		return nil
	}
	return &evidence.Finding{Confidence: evidence.Likely, Title: title, Evidence: append(m.evidence, v.deathAt()...),
		Summary: fmt.Sprintf("%s, the last time %s before it %s. Its last words: %s.", sum, span(v.End-m.last), v.endWords(), quoteLine(v.lastWords()))}
}

func absentSocketMemory(v *View) string {
	if !v.Case.Covered("sample/machine") || !v.Case.Covered("probe/drop") || v.Case.Counters[evidence.CountSocketMemory] != 0 {
		return ""
	}
	for range v.drops(forMemory) {
		return ""
	}
	tcp, udp := int64(-1), int64(-1)
	for _, m := range ofPID[*evidence.Machine](v, 0) {
		if m.TCPMemLimits[2] > 0 {
			tcp = max(tcp, m.TCPMem*100/m.TCPMemLimits[2])
		}
		if m.UDPMemLimits[2] > 0 {
			udp = max(udp, m.UDPMem*100/m.UDPMemLimits[2])
		}
	}
	switch {
	case tcp >= 75 || udp >= 75:
		return ""
	case tcp < 0 && udp < 0: // the limits are not shown in a container's network namespace
		return "0 buffers refused"
	case udp < 0:
		return fmt.Sprintf("0 buffers refused, TCP memory at %d%% of tcp_mem at most", tcp)
	case tcp < 0:
		return fmt.Sprintf("0 buffers refused, UDP memory at %d%% of udp_mem at most", udp)
	}
	return fmt.Sprintf("0 buffers refused, TCP memory at %d%% of tcp_mem, UDP memory at %d%% of udp_mem at most", tcp, udp)
}
