package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var sendStalled = Cause{
	ID:    "send-stalled",
	Title: "A peer stopped reading",
	Why: "What a program sends waits in its send buffer until the peer has taken it. When the peer does not read, its receive buffer fills, TCP's window closes, and then the send buffer fills too: " +
		"a blocking send waits without end, a non-blocking one is refused with EAGAIN, and what the program keeps for itself piles up.",
	Seen: "The socket took nothing up to the end (the peer's window is closed, or its queue is full), and the thread that the program's own timer ended was in a send, or the last failed call is a send on that very socket: certain. " +
		"The last words are of a time-out or a slow reader in sending, or of that peer; or of a time-out alone where it had no other conversation: likely. " +
		"A slow client is no death by itself: servers have them all day, and nothing is said where the program's words are of something else.",
	Advice:   "See why the peer does not read. Send with a time limit, drop or disconnect a peer that does not keep up, and let no other work wait for it.",
	Rule:     ruleSendStalled,
	Absent:   absentSendStalled,
	Explains: []string{"uncaught-error", "assertion", "killed", "connection-loss"},
}

var sends = []string{"write", "writev", "sendto", "sendmsg", "sendmmsg", "sendfile", "splice", "pwritev2"}

// stalled says whether a socket takes nothing for its peer's sake. A full queue alone is what every
// fast sender has; one that only waits for a lost peer's acknowledgement is another matter.
func stalled(s *evidence.Socket) bool {
	if s.State == "LISTEN" || s.Retransmits > 0 && s.SendWindow > 0 {
		return false
	}
	switch s.Protocol {
	case evidence.FDTCP:
		return slices.Contains(s.Signs, evidence.SignZeroWindow) || slices.Contains(s.Signs, evidence.SignSendFull) && s.Unacked == 0
	case evidence.FDUnix:
		return slices.Contains(s.Signs, evidence.SignSendFull) || slices.Contains(s.Signs, evidence.SignPeerFull)
	}
	return false
}

func ruleSendStalled(v *View) *evidence.Finding {
	var full []socketAt
	for _, s := range v.socketsAtEnd(v.own) {
		if stalled(s.Socket) {
			full = append(full, s)
		} else if f := v.refusedAtOnce(&s); f != nil {
			return f
		}
	}
	if len(full) == 0 || v.asked >= 0 {
		return nil
	}
	worst := &full[0]
	for k := range full {
		if full[k].FullNanos > worst.FullNanos {
			worst = &full[k]
		}
	}
	switch v.How {
	case endTimer, endOutside:
		return v.sendingAtEnd(worst, full)
	case endError, endAbort:
	default:
		return nil
	}
	for k := range full {
		s := &full[k]
		refused := func(c *evidence.FailedCall) bool {
			return c.FD == s.FD && slices.Contains(sends, c.Call) && (c.Errno == evidence.EAGAIN || c.Errno == evidence.ETIMEDOUT)
		}
		words := append(append([]string{}, errnoWords[evidence.EAGAIN]...), errnoWords[evidence.ETIMEDOUT]...)
		if l := v.link(others, refused, words, seen{}); l.conf != "" && l.call != nil {
			return &evidence.Finding{Confidence: l.conf, Title: stalledTitle, Evidence: append(append(l.evidence, s.at), v.deathAt()...),
				Summary: fmt.Sprintf("%s %s() on it failed with %s %s before it %s.", v.stalledWords(s), plain(l.call.Call, 20), l.call.Errno, span(l.gap), v.endWords())}
		}
	}
	if s := v.blockedSocket(full); s != nil && s.sure(v) && v.stood(s) >= second && v.text.final == nil { // a watchdog of its own gave up
		return &evidence.Finding{Confidence: evidence.Likely, Title: stalledTitle, Evidence: append([]int{s.at}, v.deathAt()...),
			Summary: fmt.Sprintf("%s A thread was waiting in a write to it when it %s.", v.stalledWords(s), v.endWords())}
	}
	if v.namesAnother(evidence.EAGAIN, evidence.ETIMEDOUT) ||
		v.elsewhere(&evidence.FailedCall{Errno: evidence.EAGAIN}, func(c *evidence.FailedCall) bool {
			return slices.Contains(sends, c.Call) || slices.Contains(receives, c.Call)
		}) {
		return nil
	}
	for k := range full {
		if s := &full[k]; v.speaksOfSending(s) {
			return &evidence.Finding{Confidence: evidence.Likely, Title: stalledTitle, Evidence: append([]int{s.at}, v.deathAt()...),
				Summary: fmt.Sprintf("%s It %s; its last words: %s.", v.stalledWords(s), v.endWords(), quoteLine(v.lastWords()))}
		}
	}
	return nil
}

// refusedAtOnce is a program that takes a single EAGAIN for an error: its send queue was full as it ended,
// whether or not the peer would have read on.
func (v *View) refusedAtOnce(s *socketAt) *evidence.Finding {
	if !s.AtDeath || s.State == "LISTEN" || s.Retransmits > 0 || !slices.Contains(s.Signs, evidence.SignSendFull) || !v.endsItself() || !v.saysBlocked(s) ||
		v.namesAnother(evidence.EAGAIN) {
		return nil
	}
	to := "its peer"
	if s.Peer != "" {
		to = plain(s.Peer, 80)
	}
	return &evidence.Finding{Confidence: evidence.Likely, Title: "a full send queue", Evidence: append([]int{s.at}, v.deathAt()...),
		Summary: fmt.Sprintf("The send queue to %s on descriptor %d was full (%s, the buffer is %s) when it %s; its last words: %s.", to, s.FD, bytesOf(s.SendMemory), bytesOf(s.SendBuf), v.endWords(), quoteLine(v.lastWords())),
		Advice:  "EAGAIN of a non-blocking send is no error: wait with poll() until there is room, with a bound in time, and send the rest then."}
}

const stalledTitle = "a peer that stopped reading"

// elsewhere says whether the error of a call was met again after it, in the last second, by a call of
// another sort: "Resource temporarily unavailable" is said of forks and locks as well.
func (v *View) elsewhere(than *evidence.FailedCall, match func(*evidence.FailedCall) bool) bool {
	for _, t := range v.threads {
		for k := range t.calls {
			if c := &t.calls[k]; c.Errno == than.Errno && !match(c) && c.BootNanos > than.BootNanos && c.BootNanos <= v.End && v.End-c.BootNanos < soon {
				return true
			}
		}
	}
	return false
}

// sendingAtEnd is a program that was in a send when its own timer or somebody ended it.
func (v *View) sendingAtEnd(worst *socketAt, full []socketAt) *evidence.Finding {
	if interrupted(v) || v.How == endOutside && (worst.FullNanos < 3*second || v.Signal == evidence.SIGINT || v.Signal == evidence.SIGHUP) {
		return nil
	}
	var trace []evidence.Frame
	if v.Fatal != nil {
		trace = v.Fatal.Trace
	}
	blocked := v.blockedSocket(full)
	if blocked != nil {
		worst = blocked
	} else if !inSend(trace) || len(v.samples) > 0 && len(v.samples[len(v.samples)-1].Blocked) > 0 {
		return nil // or in a write to its output
	}
	conf, how := evidence.Certain, fmt.Sprintf("its own timer ended it (%s)", v.Signal)
	if !worst.sure(v) {
		conf = evidence.Likely
	}
	if v.How == endOutside {
		conf, how = evidence.Likely, fmt.Sprintf("%s ended it with %s", orSomeone(who(v.Sender)), v.Signal)
	}
	return &evidence.Finding{Confidence: conf, Title: stalledTitle, Evidence: append(append([]int{worst.at}, v.deathAt()...), v.sentAt(v.Signal)...),
		Summary: fmt.Sprintf("%s It was waiting in a send when %s.", v.stalledWords(worst), how)}
}

// blockedSocket is the socket at standard output or error that a thread waited in a write to, as the
// last sweep saw it.
func (v *View) blockedSocket(full []socketAt) *socketAt {
	if len(v.samples) == 0 {
		return nil
	}
	last := v.samples[len(v.samples)-1]
	for k := range full {
		for _, b := range last.Blocked {
			if b.FD == full[k].FD && v.End-last.boot <= sampled {
				return &full[k]
			}
		}
	}
	return nil
}

// inSend says whether a stack stands in a call that sends: the C library's function for it is among
// its innermost frames.
func inSend(trace []evidence.Frame) bool {
	for i := range min(len(trace), 3) {
		if trace[i].Own || trace[i].Guess {
			return false
		}
		switch strings.TrimPrefix(strings.TrimLeft(strings.TrimPrefix(trace[i].Function, "__libc_"), "_"), "GI__") {
		case "send", "sendto", "sendmsg", "sendmmsg", "write", "writev", "sendfile", "sendfile64", "splice":
			return true
		}
	}
	return false
}

func (v *View) stalledWords(s *socketAt) string {
	to := "its peer"
	switch {
	case s.Peer != "" && s.Local != "":
		to = fmt.Sprintf("the peer %s of %s", plain(s.Peer, 80), plain(s.Local, 80))
	case s.Peer != "":
		to = "the peer " + plain(s.Peer, 80)
	case s.Local != "":
		to = "the peer of " + plain(s.Local, 80)
	}
	sum := fmt.Sprintf("%s took no more on descriptor %d (%s)", strings.ToUpper(to[:1])+to[1:], s.FD, kindWords(s.Protocol)[2:])
	if s.FullNanos >= second/10 {
		sum += " for " + span(s.FullNanos)
	}
	switch {
	case s.Protocol == evidence.FDTCP && s.SendWindow == 0 && s.SendQ > 0:
		sum += fmt.Sprintf(": its window was closed, with %s waiting", bytesOf(s.SendQ))
	case s.PeerBacklog > 0 && s.PeerQueue >= s.PeerBacklog:
		sum += fmt.Sprintf(": its queue was full, with %d messages waiting", s.PeerQueue)
	case s.SendQ > 0:
		sum += fmt.Sprintf(": %s waited in the send queue", bytesOf(s.SendQ))
		if s.SendBuf > 0 {
			sum += fmt.Sprintf(" (the buffer is %s)", bytesOf(s.SendBuf))
		}
	}
	return sum + "."
}

// sendWords are how programs speak of sending, peerWords of whom they send to, readWords of waiting for
// something to come.
var (
	sendWords = compile(`(?i)\b(write|writes|writing|written|wrote|send|sends|sending|sent|sendall|flush\w*|push\w*|feeds?|dump\w*|upload\w*|publish\w*|broadcast\w*|deliver\w*|transmit\w*|drain\w*|socketWrite\w*)\b`)
	peerWords = compile(`(?i)\b(clients?|subscribers?|consumers?|peers?|readers?|receivers?|downstream|sinks?|followers?|replicas?)\b`,
		`(?i)\b(back-?pressure|slow|pending|output|send (queue|buffer)|high[- ]?water\w*|buffered)\b`)
	readWords = compile(`(?i)\b(read|reads|reading|recv|receiv(e|es|ing)|connect\w*|dial\w*|lookup|resolv\w*|quer(y|ies)|locks?|acquir\w*|wait\w* for|response|repl(y|ies))\b`)
)

// blockWords are how programs say that a send would wait.
var blockWords = compile(`(?i)\b(would block|wouldblock|EWOULDBLOCK|EAGAINWaitWritable|WantWrite\w*|back-?pressure|(send|write|output) (queue|buffer)\w* (is )?(full|exceeded|overflow\w*|limit)|too slow|slow (client|consumer|reader|subscriber|peer))\b`,
	`(?i)\b(not|n't) (keep\w* up|take|read|drain\w*|consum\w*)\b`)

// saysBlocked says whether the last words are of a send that would have had to wait.
func (v *View) saysBlocked(s *socketAt) bool {
	words := v.lastWords()
	whole := words
	if v.text.final != nil {
		whole = v.text.final.whole
	}
	return (mentions(words, errnoWords[evidence.EAGAIN]...) || reported(words, blockWords)) && s.sure(v) && (v.stood(s) >= second/10 || s.AtDeath) &&
		!reported(whole, notSend)
}

var notSend = compile(`(?i)\b(fork\w*|clone|spawn\w*|thread\w*|locks?|flock)\b`)

// speaksOfSending says whether the last words are of a send that did not get on.
func (v *View) speaksOfSending(s *socketAt) bool {
	if v.saysBlocked(s) {
		return true
	}
	words := v.lastWords()
	whole := words
	if v.text.final != nil {
		whole = v.text.final.whole
	}
	if !v.saysWaited() && !v.dumpsHung() {
		return false
	}
	if p := portOf(s.Peer); p != "" && mentions(words, s.Peer, ":"+p) {
		return true
	}
	if v.stood(s) < second/2 {
		return false
	}
	if s.FullNanos > 300*second {
		return false // it had lived with that for longer than a time limit is
	}
	if reported(words, sendWords) || v.text.final != nil && sendFrame.MatchString(whole) {
		return true
	}
	return reported(words, peerWords) && !reported(words, readWords) || s.sure(v) && v.onlyConversation(s)
}

// sendFrame is a call that sends, in a report's quoted source or frames.
var sendFrame = newPattern(`(?i)\b(sendall|send|sendto|sendmsg|socketWrite0?|write|writeBytes|flush|write_nonblock|sendfile)\b\(`)

// dumpsHung says whether the last words are the stacks that Python's faulthandler dumps of what hangs.
func (v *View) dumpsHung() bool {
	for _, s := range v.text.streams {
		for _, l := range s.all[max(0, len(s.all)-40):] {
			if strings.HasPrefix(l, "Timeout (") && strings.HasSuffix(l, ")!") {
				return true
			}
		}
	}
	return false
}

// onlyConversation says whether a socket is the only connection of its process, a pair of UNIX sockets
// apart, by which many a library wakes itself.
func (v *View) onlyConversation(s *socketAt) bool {
	n, known := int64(0), false
	for _, b := range s.of.ByState {
		known = true
		switch b.Name {
		case "tcp LISTEN", "unix LISTEN":
		case "unix ESTABLISHED":
			if s.Protocol == evidence.FDUnix || b.Count != 2 {
				n += b.Count
			}
		default:
			n += b.Count
		}
	}
	return known && n == 1
}

func absentSendStalled(v *View) string {
	if !v.Case.Covered("probe/sockets") {
		return ""
	}
	for _, s := range ofPID[*evidence.Sockets](v, 0) {
		for k := range s.Sockets {
			for _, sign := range s.Sockets[k].Signs {
				switch sign {
				case evidence.SignSendFull, evidence.SignZeroWindow, evidence.SignPeerFull:
					return ""
				}
			}
		}
		if s.Telling > int64(len(s.Sockets)) {
			return ""
		}
	}
	return "no send queue was seen full"
}
