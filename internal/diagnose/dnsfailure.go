package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var dnsFailure = Cause{
	ID:    "dns-failure",
	Title: "A name did not resolve",
	Why: "Before a program connects to a name it asks a name server (port 53, the addresses in /etc/resolv.conf). Where that does not answer, cannot be reached, refuses (REFUSED), fails (SERVFAIL) or says that there is no such name (NXDOMAIN), " +
		"there is nothing to connect to. A name with few dots is first tried with each search domain behind it (search, ndots), so that one name may become a dozen questions.",
	Seen: "The questions of the program and their answers, as packets of its own cgroup. The last try for a name came to nothing in all its forms, and the program's last words name it or say that a name did not resolve: certain. " +
		"It ended at once after it, without a word of another error: likely. A form with a search domain that is refused while another is answered, or a name without an IPv6 address, is health. " +
		"Where the packets were not watched, or the C library failed without asking anybody: likely at most. Multicast DNS, DNS over TLS and HTTPS, and names that a local service resolves (nscd, systemd-resolved over its socket) are not seen.",
	Advice:   "Ask the same name server for the same name (dig @SERVER NAME), from the same network namespace; see /etc/resolv.conf and the host line of /etc/nsswitch.conf.",
	Rule:     ruleDNSFailure,
	Absent:   absentDNSFailure,
	Explains: []string{"uncaught-error", "assertion", "exit-error", "connect-failure", "file-missing", "permission"},
	Swallows: []string{"connect-failure"}, // to the name server
}

func ruleDNSFailure(v *View) *evidence.Finding {
	if v.How != endError && v.How != endAbort || v.asked >= 0 {
		return nil
	}
	all := v.lookups()
	names := gather(all)
	said := v.text.said()
	var best *sought
	quoted := false
	for _, s := range names { // the last one counts, and one that is named before all others
		if q := s.quotedIn(said); s.unresolved() && (q || !quoted) {
			best, quoted = s, q
		}
	}
	un := v.unreachables()
	switch {
	case best != nil:
		if f := v.notResolved(best, quoted, all, un); f != nil {
			return f
		}
	case len(un) > 0:
		if f := v.serverUnreachable(un); f != nil {
			return f
		}
	}
	return v.resolverSilent(all)
}

// saysName tells what the last words make of a name that did not resolve.
func (v *View) saysName(quoted bool) word {
	said := v.text.said()
	if mentions(said, nameWords...) && (quoted || !otherResolve(said)) || quoted && resolving.MatchString(said) {
		return saysIt
	}
	return v.names(dnsWords)
}

// otherResolve says that something else than a name was not resolved: a conflict, a dependency.
func otherResolve(said string) bool {
	return !mentions(said, dnsWords...) && containsAny(strings.ToLower(said), "could not resolve dep", "could not resolve conf", "could not resolve entry", "could not resolve all", "could not resolve mod", "could not resolve merge",
		"could not resolve ref", "could not resolve placeholder", "could not resolve plugin", "could not resolve import", "could not resolve \"", "could not resolve type", "could not resolve './", "could not resolve: ", "could not resolve symbol")
}

// strengthOfName is the confidence that what failed at boot is the end's cause. waiting: it still had
// no answer.
func (v *View) strengthOfName(boot int64, quoted, latest, waiting bool) evidence.Confidence {
	gap := v.End - boot
	said := v.text.said()
	w := v.saysName(quoted)
	if otherResolve(said) && !quoted {
		return ""
	}
	if w == saysIt { // it may have warned of it, and ended for something else
		switch made := v.afterWords(ofConnection, func(s string) bool {
			return mentions(s, nameWords...) || resolving.MatchString(s) || quoted && v.quotes(s)
		}); {
		case made == elsewhere, made == perhaps && gap > soon && !waiting && v.warnedOnly():
			return ""
		case made == perhaps:
			return min2(evidence.Likely, v.strengthOfWords(w, boot, quoted, latest, waiting))
		}
		return v.strengthOfWords(w, boot, quoted, latest, waiting)
	}
	conf := v.strengthOfWords(w, boot, quoted, latest, waiting)
	if conf != "" && !quoted && w == saysNothing {
		conf = v.wordless(conf, ofName)
	}
	return conf
}

// ofName are words of what cannot be done without an address.
var ofName = anyOf{ofConnection, consequence}

// quotes says whether a line has one of the names that were asked for.
func (v *View) quotes(line string) bool {
	for _, l := range v.lookups() {
		if l.outcome != "" && hasName(strings.ToLower(line), strings.ToLower(l.Name)) {
			return true
		}
	}
	return false
}

// warnedOnly says whether its very last line is a warning.
func (v *View) warnedOnly() bool {
	s := v.text.lastLine()
	return livedOn.MatchString(s) && !phpLine.MatchString(s)
}

// strengthOfWords is strengthOfName by what the last words are known to say.
func (v *View) strengthOfWords(w word, boot int64, quoted, latest, waiting bool) evidence.Confidence {
	gap := v.End - boot
	said := v.text.said()
	switch w {
	case saysIt:
		switch {
		case !v.lastWord() && v.failedSince(boot):
			return "" // other words follow, and another error
		case !v.lastWord() && latest && gap <= soon:
			return evidence.Likely
		case !v.lastWord():
			return ""
		case gap <= window && (quoted || latest), quoted && gap <= late, waiting && latest && gap <= late:
			return evidence.Certain
		case gap <= late && latest:
			return evidence.Likely
		}
	case saysVague:
		if quoted && gap <= window || latest && (gap <= soon || waiting) {
			return evidence.Likely
		}
	case saysNothing:
		switch {
		case quoted && (gap <= window || waiting):
			return evidence.Likely
		case !latest || v.failedSince(boot):
		case (gap <= soon || waiting) && (said == "" || consequence.MatchString(said)), gap <= atOnce && !v.speaksOfFiles():
			return evidence.Likely
		}
	}
	return ""
}

// speaksOfFiles says whether the last line ends in an error that no lookup of a name has.
func (v *View) speaksOfFiles() bool {
	for _, e := range []evidence.Errno{evidence.EACCES, evidence.EPERM, evidence.EROFS, evidence.ENOSPC, evidence.EDQUOT} {
		if asErrno(v.text.lastLine(), e) {
			return true
		}
	}
	return false
}

// lastWord says whether a name that did not resolve is the very last thing it speaks of: a runtime's
// report, or the last line, which may go on over some.
func (v *View) lastWord() bool {
	if v.text.final != nil || len(v.text.last) == 0 {
		return true
	}
	for i, line := range v.text.last[:min(3, len(v.text.last))] {
		if mentions(line, nameWords...) || resolving.MatchString(line) {
			return true
		}
		if i == 0 && !hasAnyPrefix(line, " ", "\t") && !consequence.MatchString(line) {
			return false
		}
	}
	return false
}

// failedSince says whether the thread that ended it met another error after boot.
func (v *View) failedSince(boot int64) bool {
	for _, t := range v.threads {
		for k := range t.calls {
			c := &t.calls[k]
			if !t.ender || c.BootNanos <= boot || c.BootNanos > v.End || c.Searching() || dnsPort(c.Path) {
				continue
			}
			if !noise(c.Errno) && c.Errno != evidence.ECONNREFUSED || hasAnyPrefix(c.Call, "open") {
				return true
			}
		}
	}
	return false
}

// notResolved is a name whose last try came to nothing.
func (v *View) notResolved(s *sought, quoted bool, all []lookup, un []unreachable) *evidence.Finding {
	try := s.try()
	end := try[len(try)-1]
	latest := true
	for _, l := range all {
		if l.outcome == "" && l.boot > end.boot && l.pid == end.pid {
			latest = false
		}
	}
	waiting := false
	var wait int64
	for _, l := range try {
		if l.outcome == unanswered {
			wait = max(wait, l.wait)
			waiting = waiting || l.wait >= second/2
		}
	}
	kind := worst(try)
	if kind == unanswered && !waiting && v.saysName(quoted) != saysIt {
		return nil // it has hardly asked
	}
	if kind == truncated && !mentions(v.text.said(), nameWords...) && !quoted {
		return nil // many take what there is
	}
	var helped evidence.Confidence
	var helper []int
	if end.pid != v.PID && !slices.Contains(v.Passed, end.pid) {
		helped, helper = v.helperFailed(end.pid, end.boot, func(s string) bool { return mentions(s, nameWords...) || quotesAny(s, try) })
		if helped == "" && v.saysName(quoted) != saysIt {
			return nil // another process's
		}
	}
	conf := v.strengthOfName(end.boot, quoted, latest, waiting)
	if helped.Rank() > conf.Rank() {
		conf = helped
	}
	if conf != evidence.Certain && v.asked < 0 && v.saidAbove(end.boot, func(s string) bool { return mentions(s, nameWords...) && quotesAny(s, try) }) {
		conf = evidence.Certain
	}
	if conf == "" {
		return nil
	}
	if conf == evidence.Certain && s.partly() {
		conf = evidence.Likely // an address was found, and the library made an error of the other one
	}
	if len(s.name) == 0 {
		s.name = "a name that could not be read"
	}
	name := plain(s.name, 80)
	f := &evidence.Finding{Confidence: conf, Title: "a failed DNS lookup of " + plain(s.name, 50)}
	server := serversOf(try)
	switch kind {
	case portClosed:
		f.Summary = fmt.Sprintf("Nobody listens at the name server's address %s (ECONNREFUSED), which it asked for %s.", server, name)
		f.Advice = "Start the name server, or name the right one in /etc/resolv.conf; where that file is missing or empty, 127.0.0.1 is asked."
	case unanswered:
		f.Summary = fmt.Sprintf("The name server %s did not answer: it was asked for %s %s%s.", server, name, times(packets(try)), overTime(wait))
		f.Advice = "See whether the name server is up and whether packets to its port 53 get there and back (network policies, firewalls, the DNS service's own overload); check /etc/resolv.conf."
	case truncated:
		f.Summary = fmt.Sprintf("The answer of name server %s for %s is too long for a datagram, and asking again over TCP failed", server, name)
		for _, u := range un {
			if u.tcp && v.End-u.boot < late {
				f.Summary += fmt.Sprintf(" (%s)", u.errno)
				f.Evidence = append(f.Evidence, u.at)
				break
			}
		}
		f.Summary += "."
		f.Advice = "Let TCP to port 53 through, and have the name server answer there."
	case "NXDOMAIN":
		f.Summary = fmt.Sprintf("The name server %s said that %s does not exist (NXDOMAIN).", server, name)
		f.Advice = "Check the name's spelling, and that it is there in that server's view; in a cluster, the service and its namespace, and the search and ndots lines of /etc/resolv.conf."
	case noRecord:
		f.Summary = fmt.Sprintf("The name server %s knows %s, but has no record of the type that was asked for (%s).", server, name, typesOf(try))
		f.Advice = "Add the record, or ask for a type that is there: a name may have an IPv6 address and no IPv4 one, or the other way round."
	case "REFUSED":
		f.Summary = fmt.Sprintf("The name server %s refused to answer for %s (REFUSED).", server, name)
		f.Advice = "Such a server does not answer strangers, or not for that name: name the right one in /etc/resolv.conf, or allow this client there."
	case "ENETUNREACH", "EHOSTUNREACH", "EACCES", "EPERM", "ETIMEDOUT":
		f.Summary = fmt.Sprintf("The name server %s, which it asked for %s, cannot be reached (%s).", server, name, kind)
		f.Advice = "Check /etc/resolv.conf, the route to that address, and firewalls."
	default:
		f.Summary = fmt.Sprintf("The name server %s could not answer for %s (%s).", server, name, plain(kind, 20))
		f.Advice = "See that server's log: as a rule it cannot reach, or does not believe (DNSSEC), the servers that know the name."
	}
	if forms := formsOf(try); len(forms) > 1 {
		f.Summary += fmt.Sprintf(" It was asked for in %d forms along the search path: %s.", len(forms), plain(strings.Join(forms[:min(4, len(forms))], ", "), 200))
		if len(forms) >= 3 && kind == "NXDOMAIN" {
			f.Advice += " A dot at the name's end, or a lower ndots, spares the questions along the search path."
		}
	}
	gap := v.End - end.boot
	if kind == unanswered {
		gap -= min(gap, end.wait)
	}
	if gap > 0 {
		f.Summary += fmt.Sprintf(" %s later it %s.", strings.ToUpper(span(gap)[:1])+span(gap)[1:], v.endWords())
	}
	for _, l := range try[max(0, len(try)-3):] {
		f.Evidence = append(f.Evidence, l.at)
	}
	f.Evidence = append(append(f.Evidence, helper...), v.deathAt()...)
	return f
}

// quotesAny says whether a line has one of the names.
func quotesAny(line string, try []lookup) bool {
	line = strings.ToLower(line)
	return slices.ContainsFunc(try, func(l lookup) bool { return hasName(line, strings.ToLower(l.Name)) })
}

// partly says whether some form was answered with something shortly before.
func (s *sought) partly() bool {
	for _, l := range s.all {
		if l.outcome == "" && s.last()-l.boot < 2*second {
			return true
		}
	}
	return false
}

// worst is the outcome that tells most of why a try came to nothing.
func worst(try []lookup) string {
	rank := func(o string) int {
		switch o {
		case noRecord:
			return 1
		case "NXDOMAIN":
			return 2
		case truncated:
			return 3
		case unanswered:
			return 5
		case portClosed:
			return 6
		}
		return 4
	}
	out := ""
	for _, l := range try {
		if l.outcome == unanswered && l.wait < second/2 && len(try) > 1 { // cut short by the end
			continue
		}
		if out == "" || rank(l.outcome) > rank(out) {
			out = l.outcome
		}
	}
	if out == "" {
		return unanswered
	}
	return out
}

// packets counts those that nothing came back for.
func packets(try []lookup) (n int64) {
	for _, l := range try {
		if l.outcome == unanswered {
			n += int64(l.Retries) + 1
		}
	}
	return n
}

func overTime(wait int64) string {
	if wait < second {
		return ""
	}
	return " and waited for " + span(wait)
}

func serversOf(try []lookup) string {
	var out []string
	for _, l := range try {
		if s := plain(l.Server, 60); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if len(out) > 3 {
		out = append(out[:3], "others")
	}
	return strings.Join(out, ", ")
}

func typesOf(try []lookup) string {
	var out []string
	for _, l := range try {
		if l.Type != "" && !slices.Contains(out, l.Type) {
			out = append(out, plain(l.Type, 10))
		}
	}
	return strings.Join(out, ", ")
}

func formsOf(try []lookup) []string {
	var out []string
	for _, l := range try {
		if n := strings.ToLower(l.Name); n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// serverUnreachable is a name server that could not even be asked.
func (v *View) serverUnreachable(un []unreachable) *evidence.Finding {
	u := un[len(un)-1]
	conf := v.strengthOfName(u.boot, hasName(strings.ToLower(v.text.said()), strings.ToLower(u.server)), true, false)
	if conf == "" {
		return nil
	}
	return &evidence.Finding{Confidence: conf, Title: "an unreachable name server",
		Summary: fmt.Sprintf("The name server %s cannot be reached: %s() failed with %s %s before it %s.", plain(u.server, 60), plain(u.call, 20), u.errno, span(v.End-u.boot), v.endWords()),
		Advice:  "Check /etc/resolv.conf (where it is missing or empty, 127.0.0.1 is asked), the route to that address, and firewalls.", Evidence: append(v.deathAt(), u.at)}
}

// resolverSilent is a program that says a name did not resolve while nobody was seen to be asked.
func (v *View) resolverSilent(all []lookup) *evidence.Finding {
	said := v.text.said()
	if v.How != endError || !mentions(said, nameWords...) || otherResolve(said) || v.text.final != nil && !v.text.final.fits(v) {
		return nil
	}
	words := v.text.lastLine()
	if t := v.text.final; t != nil {
		words = strings.TrimPrefix(t.typ+": "+t.msg, ": ")
	}
	f := &evidence.Finding{Confidence: evidence.Likely, Title: "a name that did not resolve", Evidence: v.deathAt()}
	watched := false
	for _, c := range v.Case.Coverage {
		watched = watched || c.Source == "probe/dns" && c.Missing == "" && (c.Partial == "" || v.watchedLast(&c))
	}
	if !watched {
		f.Summary = "It says that a name did not resolve: " + quoteLine(words) + ". What it asked the name servers was not watched."
		return f
	}
	if len(all) > 0 || v.Case.Counters[evidence.CountDNSAsked] != 0 {
		return nil // what it asked for was answered
	}
	why, at := v.localResolver()
	if why == "" {
		return nil
	}
	f.Summary = fmt.Sprintf("It says that a name did not resolve: %s. It asked no name server; %s.", quoteLine(words), why)
	f.Advice = "See the hosts line of /etc/nsswitch.conf (without dns no name server is asked), /etc/hosts and /etc/resolv.conf as the program sees them."
	f.Evidence = append(f.Evidence, at)
	return f
}

// localResolver finds the trace that a C library's resolver leaves where it asks nobody.
func (v *View) localResolver() (why string, at int) {
	for i, t := range ofPID[*evidence.ThreadFailures](v, 0) {
		for _, c := range t.Calls {
			if c.BootNanos > v.End || v.End-c.BootNanos > window {
				continue
			}
			switch {
			case c.Path == "/etc/resolv.conf" || c.Path == "/etc/hosts" || c.Path == "/etc/nsswitch.conf":
				return fmt.Sprintf("opening %s failed with %s %s before the end", c.Path, c.Errno, span(v.End-c.BootNanos)), i
			case strings.HasSuffix(c.Path, "/nscd/socket"):
				why, at = fmt.Sprintf("its C library looked for a local name service (%s, %s) %s before the end, as it does before it resolves", plain(c.Path, 60), c.Errno, span(v.End-c.BootNanos)), i
			case strings.HasPrefix(c.Path, "/run/systemd/resolve/"):
				return fmt.Sprintf("systemd-resolved could not be asked (%s, %s)", plain(c.Path, 60), c.Errno), i
			}
		}
	}
	return why, at
}

func absentDNSFailure(v *View) string {
	n := v.Case.Counters
	if !v.dead() || !v.Case.Covered("probe/dns") || !v.Case.Covered("probe/syscall") || n[evidence.CountDNSFailed]+n[evidence.CountDNSUnanswered] != 0 || len(v.unreachables()) > 0 || mentions(v.text.said(), nameWords...) {
		return ""
	}
	asked := n[evidence.CountDNSAsked]
	if asked == 0 {
		if n[evidence.CountDNSEncrypted]+n[evidence.CountDNSMulticast] != 0 {
			return ""
		}
		return "it asked no name server"
	}
	s := fmt.Sprintf("0 of %d lookups failed", asked)
	if slow := n[evidence.CountDNSSlowest]; slow >= second/2 {
		s += fmt.Sprintf(", the slowest took %s", span(slow))
	}
	return s
}
