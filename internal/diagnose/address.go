package diagnose

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var addressInUse = Cause{
	ID:    "address-in-use",
	Title: "The address is taken",
	Why: "bind() or listen() was refused with EADDRINUSE: another socket has that address and port, often an older instance of the same program that still runs, " +
		"or another container on the host's network. After a restart, connections in TIME_WAIT have the same effect where SO_REUSEADDR is not set.",
	Seen:     "The refused bind or listen is the last failed call of the thread that ended the process, or the last words name the error: certain. Refused shortly before the end in another thread: likely.",
	Advice:   "Stop what has the address, or choose another; set SO_REUSEADDR on the listening socket before bind().",
	Rule:     ruleAddressInUse,
	Absent:   absentAddressInUse,
	Explains: []string{"uncaught-error", "assertion", "fd-leak"},
}

// anyPort says whether an address leaves the port to the kernel.
func anyPort(addr string) bool { return strings.HasSuffix(addr, ":0") }

func ruleAddressInUse(v *View) *evidence.Finding {
	var s seen
	var last *evidence.AddressRefused
	for i, r := range of[*evidence.AddressRefused](v) {
		if r.Errno != evidence.EADDRINUSE || anyPort(r.Address) {
			continue
		}
		s.add(v, i, 0)
		s.count = max(s.count, r.Count)
		if last == nil || r.Holder != 0 || last.Holder == 0 {
			last = r
		}
	}
	l := v.link(addresses, func(c *evidence.FailedCall) bool {
		return c.Errno == evidence.EADDRINUSE && (c.Call == "bind" || c.Call == "listen") && !anyPort(c.Path)
	}, errnoWords[evidence.EADDRINUSE], s)
	l.conf = v.addressWords(l, last)
	if l.conf == "" {
		l = v.gaveUpBinding(l, s, last)
	}
	if l.conf == "" && v.unseen(evidence.EADDRINUSE) {
		return &evidence.Finding{Confidence: evidence.Likely, Title: "its address being in use", Evidence: v.deathAt(),
			Summary: "It says that its address is in use: " + quoteLine(strings.TrimPrefix(v.text.final.typ+": "+v.text.final.msg, ": ")) + ". Failed system calls were not watched."}
	}
	if l.conf == "" {
		return nil
	}
	addr, call := "", "bind"
	if l.call != nil {
		addr, call = l.call.Path, l.call.Call
	}
	if last != nil {
		addr, call = last.Address, last.Call
	}
	what := "its address"
	title := "its address being in use"
	if addr != "" {
		what = plain(addr, 80)
		title = what + " being in use"
	}
	sum := fmt.Sprintf("%s() of %s was refused with EADDRINUSE %s before it %s.", plain(call, 20), what, span(l.gap), v.endWords())
	if s.count > 1 && s.last-s.first > second/10 {
		sum = fmt.Sprintf("%s() of %s was refused with EADDRINUSE %s, the last time %s before it %s.", plain(call, 20), what, times(s.count), span(l.gap), v.endWords())
	}
	advice := ""
	if last != nil && last.Holder != 0 {
		sum += fmt.Sprintf(" Process %d has it: %s.", last.Holder, plain(last.HolderCommand, 80))
		advice = fmt.Sprintf("Stop process %d (%s), or choose another address.", last.Holder, plain(last.HolderCommand, 60))
	} else if last != nil {
		for _, b := range last.ByState {
			if b.Name == "TIME_WAIT" && b.Count > 0 {
				sum += fmt.Sprintf(" No process was found that listens there; %d sockets are in TIME_WAIT.", b.Count)
				advice = "Set SO_REUSEADDR on the listening socket before bind()."
			}
		}
	}
	return &evidence.Finding{Confidence: l.conf, Title: title, Summary: sum, Evidence: append(l.evidence, v.deathAt()...), Advice: advice}
}

// ofAddress are words of what a server cannot do without its address.
var ofAddress = newPattern(`(?i)(\b(bind|listen|ports?|address|sockets?|serv\w*|start\w*|run|launch|init\w*|exit\w*|shut\w*|terminat\w*|abort\w*|stop\w*|worker|process|in use)|bind\(|verb(ind|und)|adresse|サーバ|ポート|端口|地址|connect)`)

// addressWords weighs what the last words make of an address that was refused.
func (v *View) addressWords(l link, last *evidence.AddressRefused) evidence.Confidence {
	switch {
	case l.conf == "" || v.How == endFault:
		return l.conf
	case !l.said:
		return v.wordless(l.conf, ofAddress)
	}
	switch v.afterWords(ofAddress, func(s string) bool {
		return mentions(s, errnoWords[evidence.EADDRINUSE]...) || last != nil && namesPeer(s, last.Address) >= 2
	}) {
	case elsewhere:
		return ""
	case perhaps:
		return min2(l.conf, evidence.Likely)
	}
	return l.conf
}

// gaveUpBinding is a server that tried the same address again and again, with pauses, in vain, and ended
// soon after the last of its tries.
func (v *View) gaveUpBinding(l link, s seen, last *evidence.AddressRefused) link {
	if v.How != endError || v.asked >= 0 || last == nil || s.count < 3 || v.boundElsewhere() || v.text.final != nil && !mentions(v.text.final.whole, errnoWords[evidence.EADDRINUSE]...) {
		return l
	}
	gap := v.End - s.last
	if pause := (s.last - s.first) / max(1, s.count-1); pause < second/10 || gap > 2*pause || gap > window {
		return l
	}
	if said := v.text.said(); said != "" && namesPeer(said, last.Address) < 1 && v.wordless(evidence.Likely, ofAddress) != evidence.Likely {
		return l
	}
	return link{conf: evidence.Likely, gap: gap, evidence: s.evidence}
}

func absentAddressInUse(v *View) string {
	if !v.dead() || !v.Case.Covered("probe/syscall") || v.Case.Counters[evidence.CountAddrInUse] != 0 {
		return ""
	}
	for _, r := range ofPID[*evidence.AddressRefused](v, 0) {
		if r.Errno == evidence.EADDRINUSE {
			return ""
		}
	}
	return "0 addresses refused"
}

var portExhaustion = Cause{
	ID:    "port-exhaustion",
	Title: "No local port left",
	Why: "Each outgoing connection takes a local port, of about 28,000 (net.ipv4.ip_local_port_range), and keeps it for a minute after its end (TIME_WAIT). " +
		"A program that opens a connection for each request uses them up; connect() then fails with EADDRNOTAVAIL, a bind() to any port with EADDRINUSE.",
	Seen: "The refused connect or bind as for fd-limit, and the local ports in use fill the range (nine tenths of it at least). Without that count: likely at most. " +
		"EADDRNOTAVAIL for another reason (an address that is not this machine's, no IPv6) is not taken for it.",
	Advice:   "Reuse connections (keep-alive, a pool) in place of one for each request; a wider net.ipv4.ip_local_port_range and net.ipv4.tcp_tw_reuse=1 win time.",
	Rule:     rulePortExhaustion,
	Absent:   absentPortExhaustion,
	Explains: []string{"uncaught-error", "assertion", "fd-leak"},
}

// ports is the size of a range such as "32768 60999", 0 where it cannot be read.
func ports(r string) int64 {
	f := strings.FieldsFunc(r, func(c rune) bool { return c < '0' || c > '9' })
	if len(f) != 2 {
		return 0
	}
	lo, err1 := strconv.ParseInt(f[0], 10, 32)
	hi, err2 := strconv.ParseInt(f[1], 10, 32)
	if err1 != nil || err2 != nil || hi < lo {
		return 0
	}
	return hi - lo + 1
}

// rangeWords is "32768 to 60999".
func rangeWords(r string) string { return strings.Join(strings.Fields(plain(r, 20)), " to ") }

func portRefused(r *evidence.AddressRefused) bool {
	switch r.Call {
	case "connect", "sendto", "sendmsg":
		return r.Errno == evidence.EADDRNOTAVAIL
	case "bind", "listen":
		return r.Errno == evidence.EADDRINUSE && anyPort(r.Address)
	}
	return false
}

// connectionsTo counts the culprit's own connections to an address: each has a local port.
func (v *View) connectionsTo(addr string) (n int64) {
	if t := v.table(); t != nil && addr != "" {
		for _, g := range t.Groups {
			if g.Kind == evidence.FDTCP && g.Peer == addr {
				n += g.Count
			}
		}
	}
	return n
}

func rulePortExhaustion(v *View) *evidence.Finding {
	var s seen
	var last *evidence.AddressRefused
	var used int64
	for i, r := range of[*evidence.AddressRefused](v) {
		if !portRefused(r) {
			continue
		}
		s.add(v, i, 0)
		s.count = max(s.count, r.Count)
		n := r.PortsUsed
		for _, p := range r.ByPeer {
			n = max(n, p.Count)
		}
		n = max(n, v.connectionsTo(r.Address))
		if last == nil || n >= used {
			last, used = r, max(used, n)
		}
	}
	if last == nil {
		return nil
	}
	if len(s.evidence) > 3 {
		s.evidence = append(s.evidence[:1:1], s.evidence[len(s.evidence)-2:]...)
	}
	size := ports(last.PortRange)
	// Its own sockets that its end has closed may be missing from the count already.
	late := s.last > 0 && v.End-s.last < atOnce && used*4 >= size && !strings.Contains(last.Address, "[")
	if size > 0 && used > 0 && used*10 < size*9 && !late || strings.Contains(last.Address, "[") && used == 0 {
		return nil // ports were free: an address that does not exist here
	}
	words := append(append([]string{}, errnoWords[evidence.EADDRNOTAVAIL]...), errnoWords[last.Errno]...)
	l := v.link(others, func(c *evidence.FailedCall) bool {
		return c.Errno == evidence.EADDRNOTAVAIL && c.Call != "bind" || c.Errno == last.Errno && (c.Call == "bind" || c.Call == "listen") && anyPort(c.Path)
	}, words, s)
	if l.conf == "" {
		return nil
	}
	if (size == 0 || used*10 < size*9) && l.conf == evidence.Certain {
		l.conf = evidence.Likely
	}
	sum := fmt.Sprintf("%s() found no local port", plain(last.Call, 20))
	if last.Address != "" && !anyPort(last.Address) {
		sum += " for a connection to " + plain(last.Address, 60)
	}
	sum += fmt.Sprintf(" (%s) %s before it %s", last.Errno, span(l.gap), v.endWords())
	switch {
	case size > 0 && used >= size: // the count has ports outside of the range as well
		sum += fmt.Sprintf(": all %d local ports (%s) were in use", size, rangeWords(last.PortRange))
	case size > 0 && used*10 >= size*9:
		sum += fmt.Sprintf(": %d of the %d local ports (%s) were in use", used, size, rangeWords(last.PortRange))
	case size > 0:
		sum += fmt.Sprintf("; how many of the %d local ports (%s) were in use was not counted", size, rangeWords(last.PortRange))
	}
	sum += "."
	peer, n := last.Address, v.connectionsTo(last.Address)
	if len(last.ByPeer) > 0 && last.ByPeer[0].Count > n {
		peer, n = last.ByPeer[0].Name, last.ByPeer[0].Count
	}
	if n > 0 {
		sum += fmt.Sprintf(" %d connections go to %s", n, plain(peer, 60))
		for _, b := range last.ByState {
			if b.Name == "TIME_WAIT" && b.Count*2 > n && v.connectionsTo(last.Address) == 0 {
				sum += fmt.Sprintf("; %d sockets are in TIME_WAIT, closed and not yet free", b.Count)
			}
		}
		sum += "."
	}
	return &evidence.Finding{Confidence: l.conf, Title: "running out of local ports", Summary: sum, Evidence: append(l.evidence, v.deathAt()...)}
}

func absentPortExhaustion(v *View) string {
	if !v.dead() || !v.Case.Covered("probe/syscall") || v.Case.Counters[evidence.CountAddrNotAvail] != 0 {
		return ""
	}
	for _, r := range ofPID[*evidence.AddressRefused](v, 0) {
		if portRefused(r) {
			return ""
		}
	}
	return "0 connections refused a port"
}
