package diagnose

import (
	"fmt"
	"slices"

	"github.com/descry-dev/descry/internal/evidence"
)

var receiveOverflow = Cause{
	ID:    "receive-overflow",
	Title: "A receive buffer overflowed",
	Why: "What arrives at a socket waits in its receive buffer until the program reads it. When the program reads too slowly, or is busy for too long between reads, the buffer is full, and what arrives then is dropped: " +
		"datagrams (UDP, raw sockets, netlink) are lost without a word to the sender. TCP loses nothing so: its sender is told to wait.",
	Seen: "Netlink says it to the reader (ENOBUFS): as the last failed call, or named by the last words, certain. Elsewhere the program is told nothing: where the kernel dropped packets of its socket within seconds before the end, and its last words are of lost, missing or incomplete data, likely; " +
		"where hundreds were dropped and its words are of a time-out: possible. Drops that the program does not speak of are not its death: healthy receivers lose some all day.",
	Advice:   "Read faster, or in a thread that does nothing else; enlarge the buffer with SO_RCVBUF (net.core.rmem_max bounds it), so that it holds what arrives during the longest pause.",
	Rule:     ruleReceiveOverflow,
	Absent:   absentReceiveOverflow,
	Explains: []string{"uncaught-error", "assertion"},
}

// receives are the calls that read from a socket.
var receives = []string{"recvfrom", "recvmsg", "recvmmsg", "read", "readv"}

func lostInReceive(d *evidence.Drop) bool {
	return !d.Sending && d.Protocol != evidence.FDTCP && (d.Reason == evidence.DropBufferFull || d.Reason == evidence.DropUnsaid)
}

func ruleReceiveOverflow(v *View) *evidence.Finding {
	const title = "a full receive buffer"
	overrun := func(c *evidence.FailedCall) bool {
		return c.Errno == evidence.ENOBUFS && slices.Contains(receives, c.Call)
	}
	if l := v.link(others, overrun, errnoWords[evidence.ENOBUFS], seen{}); l.conf != "" && l.call != nil {
		sum := fmt.Sprintf("%s() from %s failed with ENOBUFS %s before it %s: more messages came than the receive buffer of that socket (netlink) held, and the kernel dropped some.",
			plain(l.call.Call, 20), v.target(l.call), span(l.gap), v.endWords())
		return &evidence.Finding{Confidence: l.conf, Title: title, Summary: sum, Evidence: append(l.evidence, v.deathAt()...),
			Advice: "Enlarge the buffer (SO_RCVBUF or SO_RCVBUFFORCE) and read faster; on ENOBUFS read the state anew in place of ending, since what was missed is not known."}
	}
	if !v.endsItself() || v.namesAnother(evidence.EAGAIN, evidence.ETIMEDOUT) {
		return nil
	}
	d, n := v.lostPackets()
	if d == nil {
		return nil
	}
	gap := v.End - d.last
	conf := evidence.Confidence("")
	switch {
	case v.saysLoss() && (gap <= window || gap <= late && d.count >= 10):
		conf = evidence.Likely
	case v.saysWaited() && gap <= window && d.count >= 100 && v.End-d.first <= late && !v.metNetworkError():
		conf = evidence.Possible
	}
	if conf == "" {
		return nil
	}
	what := "datagrams"
	if d.Protocol != evidence.FDUDP && d.Protocol != evidence.FDUnix {
		what = "packets"
	}
	sum := fmt.Sprintf("The receive buffer of its %s socket", protocolWords(d.Protocol))
	if d.Local != "" {
		sum += " at " + plain(d.Local, 80)
	}
	sum += " was full"
	if d.Buffer > 0 {
		sum += fmt.Sprintf(" (%s, bookkeeping included)", bytesOf(d.Buffer))
	}
	sum += fmt.Sprintf(", and the kernel dropped %d %s", d.count, what)
	if d.count == 1 {
		sum = sum[:len(sum)-1]
	}
	if d.last-d.first > second/100 {
		sum += " within " + span(d.last-d.first)
	}
	sum += fmt.Sprintf(", the last one %s before it %s.", span(gap), v.endWords())
	if n > 1 {
		sum += fmt.Sprintf(" %d other sockets of it lost data as well.", n-1)
	}
	if s := v.lastWords(); s != "" {
		sum += " Its last words: " + quoteLine(s) + "."
	}
	return &evidence.Finding{Confidence: conf, Title: title, Summary: sum, Evidence: append(d.evidence, v.deathAt()...)}
}

// lostPackets gives the socket that lost most within the last minute, and how many lost any then.
func (v *View) lostPackets() (worst *dropped, n int) {
	all := v.drops(lostInReceive)
	if len(all) == 0 {
		all = v.sampledDrops()
	}
	for i := range all {
		d := &all[i]
		if v.End-d.last > late || d.count == 0 {
			continue
		}
		n++
		if worst == nil || d.count > worst.count {
			worst = d
		}
	}
	return worst, n
}

// sampledDrops are the drops of the culprit's sockets that samples counted, and that no probe has told the reason of.
func (v *View) sampledDrops() (out []dropped) {
	told := map[uint64]int64{}
	for _, d := range v.drops(func(d *evidence.Drop) bool { return !d.Sending }) {
		told[d.Inode] += d.count
	}
	at := map[uint64]int{}
	for i, s := range of[*evidence.Sockets](v) {
		for k := range s.Sockets {
			x := &s.Sockets[k]
			if x.DropsGained <= 0 || x.Inode == 0 || x.Protocol == evidence.FDTCP || x.State == "LISTEN" || x.DropsGained <= told[x.Inode] {
				continue
			}
			n, ok := at[x.Inode]
			if !ok {
				n = len(out)
				at[x.Inode] = n
				out = append(out, dropped{Drop: &evidence.Drop{Protocol: x.Protocol, Local: x.Local, Peer: x.Peer, Reason: evidence.DropUnsaid, Buffer: x.RecvBuf, Inode: x.Inode}})
			}
			if x.DropsGained > out[n].count {
				out[n].count = 0
				out[n].add(v, i, x.DropsGained)
			}
		}
	}
	return out
}

func protocolWords(k evidence.FDKind) string {
	switch k {
	case evidence.FDUDP:
		return "UDP"
	case evidence.FDTCP:
		return "TCP"
	case evidence.FDUnix:
		return "UNIX"
	}
	return plain(string(k), 20)
}

// metNetworkError says whether the culprit met an error of a connection shortly before its end.
func (v *View) metNetworkError() bool {
	for _, e := range []evidence.Errno{evidence.ECONNREFUSED, evidence.ECONNRESET, evidence.ETIMEDOUT, evidence.EHOSTUNREACH, evidence.EPIPE} {
		if len(v.threads) > 0 && v.met(e) {
			return true
		}
	}
	return false
}

func absentReceiveOverflow(v *View) string {
	if !v.Case.Covered("probe/drop") || v.Case.Counters[evidence.CountSocketDrops] != 0 {
		return ""
	}
	for range ofPID[*evidence.Drop](v, 0) {
		return ""
	}
	for _, s := range ofPID[*evidence.Sockets](v, 0) {
		for k := range s.Sockets {
			if s.Sockets[k].DropsGained > 0 && s.Sockets[k].State != "LISTEN" {
				return ""
			}
		}
	}
	if c, _ := v.lastOfEnder(func(c *evidence.FailedCall) bool {
		return c.Errno == evidence.ENOBUFS && slices.Contains(receives, c.Call)
	}); c != nil {
		return ""
	}
	return "0 packets dropped for want of room in a socket's buffer"
}
