package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var acceptOverflow = Cause{
	ID:    "accept-overflow",
	Title: "The accept queue was full",
	Why: "Connections that the kernel has taken wait in the listening socket's accept queue until the program accepts them. When it accepts too slowly, or hangs, the queue (listen()'s backlog, at most net.core.somaxconn) is full, and further connections are dropped: " +
		"the client's connect() waits, tries again, and times out. On a UNIX socket it waits, or fails with EAGAIN.",
	Seen: "connect() to a UNIX socket refused with EAGAIN, or to its own full TCP socket timed out, as the last failed call of the thread that ended the process, or named by its last words: certain. " +
		"A listening socket of the program was full and dropped connections up to its end, and its last words are of a health check, of itself or of that address that got no answer: likely. " +
		"A full queue that it does not speak of is not its death, nor are the drops of others in its network namespace.",
	Advice:   "Find what keeps the program from accepting (a worker that hangs, a lock, too few threads), and accept in a thread that does nothing else; a larger backlog and net.core.somaxconn only carry it over bursts.",
	Rule:     ruleAcceptOverflow,
	Absent:   absentAcceptOverflow,
	Explains: []string{"uncaught-error", "assertion", "connect-failure"},
}

// isUnixPath says whether the address of a connect is that of a UNIX socket.
func isUnixPath(p string) bool { return p != "" && portOf(p) == "" }

func ruleAcceptOverflow(v *View) *evidence.Finding {
	const title = "a full accept queue"
	refused := func(c *evidence.FailedCall) bool {
		return c.Call == "connect" && c.Errno == evidence.EAGAIN && isUnixPath(c.Path)
	}
	if l := v.link(others, refused, errnoWords[evidence.EAGAIN], seen{}); l.conf != "" && l.call != nil && !v.elsewhere(l.call, refused) {
		sum := fmt.Sprintf("connect() to %s was refused with EAGAIN %s before it %s: the accept queue of the server at that UNIX socket was full.", plain(l.call.Path, 80), span(l.gap), v.endWords())
		f := &evidence.Finding{Confidence: l.conf, Title: title, Summary: sum, Evidence: append(l.evidence, v.deathAt()...),
			Advice: "See why the server at " + plain(l.call.Path, 80) + " does not accept: it hangs, or has too few workers. A client that can wait tries again after a pause."}
		for _, s := range v.fullListeners() {
			if sameAddress(s.Local, l.call.Path) {
				f.Summary += " " + v.listenerWords(&s)
				f.Evidence = append(f.Evidence, s.at)
				break
			}
		}
		return f
	}
	full := v.fullListeners()
	if len(full) == 0 {
		return nil
	}
	for k := range full {
		s := &full[k]
		l := v.link(others, func(c *evidence.FailedCall) bool {
			return c.Call == "connect" && c.Errno == evidence.ETIMEDOUT && sameAddress(s.Local, c.Path)
		}, errnoWords[evidence.ETIMEDOUT], seen{})
		if l.conf == evidence.Certain && !s.sure(v) {
			l.conf = evidence.Likely
		}
		if l.conf != "" && l.call != nil {
			return &evidence.Finding{Confidence: l.conf, Title: title, Evidence: append(append(l.evidence, s.at), v.deathAt()...),
				Summary: fmt.Sprintf("Its own connect() to %s failed with ETIMEDOUT %s before it %s. %s", plain(l.call.Path, 80), span(l.gap), v.endWords(), v.listenerWords(s))}
		}
	}
	if !v.endsItself() || v.namesAnother(evidence.EAGAIN, evidence.ETIMEDOUT) {
		return nil
	}
	for k := range full {
		s := &full[k]
		n, ev := v.refusedAt(s)
		if n == 0 || !v.speaksOf(s) {
			continue
		}
		return &evidence.Finding{Confidence: evidence.Likely, Title: title, Evidence: append(append(ev, s.at), v.deathAt()...),
			Summary: fmt.Sprintf("%s It %s; its last words: %s.", v.listenerWords(s), v.endWords(), quoteLine(v.lastWords()))}
	}
	return nil
}

// fullListeners are the listening sockets of the subject whose queue was full when the culprit ended.
func (v *View) fullListeners() []socketAt {
	return slices.DeleteFunc(v.socketsAtEnd(anyPID), func(s socketAt) bool {
		return s.State != "LISTEN" || !slices.Contains(s.Signs, evidence.SignAcceptFull)
	})
}

// refusedAt counts the connections that a listening socket dropped since the run began, and where that was seen.
func (v *View) refusedAt(s *socketAt) (n int64, ev []int) {
	for i, d := range ofPID[*evidence.Drop](v, 0) {
		if d.Reason == evidence.DropAcceptFull && (d.Inode != 0 && d.Inode == s.Inode || d.Inode == 0 && d.Local == s.Local) && d.Count > n {
			n, ev = d.Count, []int{i}
		}
	}
	if s.DropsGained > n {
		n, ev = s.DropsGained, nil
	}
	for i, w := range ofPID[*evidence.Network](v, 0) {
		if n == 0 && w.ListenOverflows > 0 && !w.Shared && (w.NetNS == s.NetNS || s.NetNS == 0) {
			n, ev = w.ListenOverflows, []int{i}
		}
	}
	return n, ev
}

func (v *View) listenerWords(s *socketAt) string {
	whose := "its listening socket"
	if p := v.processWords(s.pid); p != "" {
		whose = "the listening socket of " + p
	}
	sum := fmt.Sprintf("The accept queue of %s %s was full (%d waiting, the backlog is %d)", whose, plain(s.Local, 80), s.AcceptQ, s.Backlog)
	if s.FullNanos >= second/2 {
		sum += " for " + span(s.FullNanos)
	}
	if n, _ := v.refusedAt(s); n > 0 {
		noun := "attempts to connect"
		if n == 1 {
			noun = "attempt to connect"
		}
		sum += fmt.Sprintf(", and %d %s were dropped", n, noun)
		if n == 1 {
			sum = strings.TrimSuffix(sum, "were dropped") + "was dropped"
		}
	}
	return sum + "."
}

// selfWords are how a program speaks of asking itself.
var selfWords = newPattern(`(?i)\b(health\w*|liveness|livez|readiness|readyz|alive|self[- ]?(check|test|probe)\w*|own (port|endpoint|address|server|socket|health\w*)|myself|itself|localhost)\b`)

var queueWords = newPattern(`(?i)\b(accept|listen\w*|backlog|connection) (queue|backlog)\b|\bbacklog\b`)

// speaksOf says whether the last words are of an answer that did not come from the program's own
// listening socket.
func (v *View) speaksOf(s *socketAt) bool {
	words := v.lastWords()
	var before []string // lines of one report
	if v.text.final == nil {
		before = v.text.last[:min(3, len(v.text.last))]
	}
	if queueWords.MatchString(words) && reported(words, compile(`(?i)\b(full|overflow\w*|exceeded|exhausted)\b`)) {
		return true
	}
	if !v.saysWaited() && !slices.ContainsFunc(before, func(l string) bool {
		return reported(l, waitWords) && selfWords.MatchString(l) && selfWords.MatchString(words)
	}) {
		return false
	}
	if selfWords.MatchString(words) {
		return true
	}
	if p := portOf(s.Local); p != "" && mentions(words, s.Local, "port "+p, ":"+p) {
		return true
	}
	name := strings.ToLower(strings.TrimSuffix(v.comm(s.pid), "-server"))
	return s.pid != v.PID && len(name) > 3 && strings.Contains(strings.ToLower(words), name)
}

func absentAcceptOverflow(v *View) string {
	if !v.Case.Covered("sample/network") || !v.Case.Covered("probe/sockets") {
		return ""
	}
	last := false
	for _, w := range ofPID[*evidence.Network](v, 0) {
		if w.ListenOverflows != 0 {
			return ""
		}
		last = last || w.Last
	}
	for _, d := range ofPID[*evidence.Drop](v, 0) {
		if d.Reason == evidence.DropAcceptFull {
			return ""
		}
	}
	for _, s := range ofPID[*evidence.Sockets](v, 0) {
		for k := range s.Sockets {
			if slices.Contains(s.Sockets[k].Signs, evidence.SignAcceptFull) || s.Sockets[k].State == "LISTEN" && s.Sockets[k].DropsGained > 0 {
				return ""
			}
		}
	}
	for _, t := range v.threads {
		for k := range t.calls {
			if c := &t.calls[k]; c.Call == "connect" && c.Errno == evidence.EAGAIN {
				return ""
			}
		}
	}
	if !last {
		return ""
	}
	return "0 connections dropped from accept queues"
}
