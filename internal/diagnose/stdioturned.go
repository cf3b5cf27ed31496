package diagnose

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// enotsock is the error of a socket's call on what is none.
const enotsock = evidence.Errno(88)

// stillUsed is the other way round, where nothing went into the log or was not seen to: the number of a standard
// descriptor was given to a socket, then the log was put back there, and who held the number for the socket met that.
func (v *View) stillUsed() *evidence.Finding {
	if v.How != endError && v.How != endAbort {
		return nil
	}
	var ender *thread
	for i := range v.threads {
		if v.threads[i].ender {
			ender = &v.threads[i]
		}
	}
	if ender == nil {
		return nil
	}
	last := latestCall(ender.calls, func(c *evidence.FailedCall) bool {
		return c.BootNanos <= v.End && (!noise(c.Errno) || c.Errno == enotsock)
	})
	if last == nil || last.Errno != enotsock || last.FD < 0 || last.FD > 2 || v.End-last.BootNanos > soon || v.names([]string{"ENOTSOCK", "Socket operation on non-socket"}) == saysOther || v.text.final != nil && !ofWire.MatchString(v.text.final.typ+" "+v.text.final.msg) {
		return nil
	}
	closed, given, back := -1, -1, -1
	var was *evidence.Stdio
	for k, s := range of[*evidence.Stdio](v) {
		switch {
		case s.FD != last.FD || v.boot(k) > last.BootNanos:
		case s.Action == "closed":
			closed = k
		case s.Action == "allocated":
			given, back, was = k, -1, s
		case s.Action == "replaced" && given >= 0:
			back = k
		}
	}
	if given < 0 || back < 0 || !isSocket(was.Is) {
		return nil
	}
	conf := evidence.Likely
	if v.End-last.BootNanos <= atOnce {
		conf = evidence.Certain
	}
	what := kindWords(was.Is)
	if was.Peer != "" {
		what += " to " + plain(was.Peer, 60)
	}
	ev := []int{given, back, ender.at}
	if closed >= 0 {
		ev = append(ev, closed)
	}
	return &evidence.Finding{Confidence: conf, Title: stream(last.FD) + " mixed up with " + kindWords(was.Is), Evidence: append(ev, v.deathAt()...),
		Summary: fmt.Sprintf("Descriptor %d (%s) was closed and its number given to %s, by %s(); later %s was put back there, by %s(). What holds the number for the connection still used it: %s failed with ENOTSOCK %s before it %s.",
			last.FD, stream(last.FD), what, plain(was.Call, 30), stream(last.FD), plain(v.Case.Timeline[back].Detail.(*evidence.Stdio).Call, 30), plain(last.Call, 30), span(v.End-last.BootNanos), v.endWords())}
}

// turnedAtEnd is a standard output or error that is a connection at the end, and was none when the program began, where
// how it came to that was not seen. Alone that is nothing: a program may have put it there. That the peer hung up, or that it got
// what it did not understand, tells that it was not meant to have what is printed.
func (v *View) turnedAtEnd() *evidence.Finding {
	if v.Exit == nil || v.How != endError && v.How != endAbort && v.How != endPipe || v.passes(v.PID) {
		return nil
	}
	for range of[*evidence.Stdio](v) {
		return nil // it was seen, and tells more
	}
	var one *evidence.StdioTurned
	for i := range v.Exit.Stdio {
		s := &v.Exit.Stdio[i]
		if s.Is == s.Was || s.Is == "" {
			continue
		}
		if one != nil || !isSocket(s.Is) || s.FD == 0 || s.Was == "" || isSocket(s.Was) {
			return nil // several, as a daemon does on purpose
		}
		one = s
	}
	if one == nil {
		return nil
	}
	how := ""
	switch {
	case v.How == endPipe:
		how = "A write to a connection that the peer had closed ended it"
	case v.text.final != nil && ofWire.MatchString(v.text.final.typ+" "+v.text.final.msg):
		how = "Its last words are an error of a connection"
	case v.text.final != nil:
		return nil
	case one.State == "CLOSE_WAIT" || one.State == "PEER_CLOSED" || one.State == "CLOSE":
		how = "The peer has hung up"
	default:
		return nil
	}
	what := kindWords(one.Is)
	if one.Peer != "" {
		what += " to " + plain(one.Peer, 60)
	}
	return &evidence.Finding{Confidence: evidence.Likely, Title: stream(one.FD) + " replaced by " + kindWords(one.Is), Evidence: v.deathAt(),
		Summary: fmt.Sprintf("Descriptor %d (%s) was a %s when the program began and is %s at its end: what it prints goes there. %s, and it %s. How the number came to that was not seen.",
			one.FD, stream(one.FD), plain(string(one.Was), 20), what, how, v.endWords())}
}
