package diagnose

import (
	"fmt"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var brokenPipe = Cause{
	ID:    "broken-pipe",
	Title: "The reader was gone",
	Why: "A write to a pipe or socket whose other end is closed ends the writer with SIGPIPE, or fails with EPIPE where that signal is ignored. " +
		"The other end closed because it had enough (head), died, or timed out.",
	Seen:     "The process died of SIGPIPE of its own write: certain. EPIPE as the last failed call of the thread that ended it, on stdout or stderr, or named in its last words: certain. On another descriptor without a word it tells nothing: servers meet it all the time. Likely: system calls were not watched, a runtime's final report names it, and a process that it fed over a pipe had ended.",
	Advice:   "See why the reader went away first. A program that must survive it ignores SIGPIPE and handles EPIPE.",
	Rule:     ruleBrokenPipe,
	Absent:   nil,
	Explains: []string{"uncaught-error", "assertion"},
}

// ofPipe are words of what cannot be done without a reader.
var ofPipe = anyOf{ofConnection, newPattern(`(?i)(\b(pipe|writ\w+|output|print\w*|stdout|stderr|flush\w*|stream|close\w*|lost|gone|log\w*|send\w*)\b)`)}

func ruleBrokenPipe(v *View) *evidence.Finding {
	epipe := func(c *evidence.FailedCall) bool { return c.Errno == evidence.EPIPE && c.BootNanos <= v.End }
	if v.How == endPipe {
		conf := evidence.Certain
		if v.Fatal == nil {
			conf = evidence.Likely
		}
		sum := "It wrote to a pipe or socket whose reader was gone, and died of SIGPIPE."
		ev := v.deathAt()
		if c, at := v.lastOfEnder(epipe); c != nil && v.End-c.BootNanos < soon {
			ev = append(ev, at)
			if v.neverConnected(c) != nil {
				return nil // it never had a reader
			}
			sum = fmt.Sprintf("It wrote to %s, whose reader was gone (%s, EPIPE), and died of SIGPIPE.", v.target(c), plain(c.Call, 30))
		} else if i, w := v.refusedWrite(evidence.EPIPE); w != nil && v.End-v.boot(i) < soon {
			ev = append(ev, i)
			sum = fmt.Sprintf("It wrote to %s, whose reader was gone, and died of SIGPIPE.", stream(w.FD))
		}
		return &evidence.Finding{Confidence: conf, Title: "a broken pipe", Summary: sum, Evidence: ev}
	}
	if v.How != endError && v.How != endAbort {
		return nil
	}
	var s seen
	i, w := v.refusedWrite(evidence.EPIPE)
	if w != nil {
		s.add(v, i, w.Count)
	}
	l := v.link(others, epipe, errnoWords[evidence.EPIPE], s)
	if l.conf == "" {
		return v.pipeUnseen()
	}
	switch {
	case !l.said:
		l.conf = v.wordless(l.conf, ofPipe)
	default:
		switch v.afterWords(ofPipe, func(s string) bool { return mentions(s, errnoWords[evidence.EPIPE]...) }) {
		case elsewhere:
			l.conf = ""
		case perhaps:
			l.conf = min2(l.conf, evidence.Likely)
		}
	}
	if l.conf == "" {
		return nil
	}
	onStd := w != nil || l.call != nil && (l.call.FD == 1 || l.call.FD == 2)
	if !onStd && !l.said {
		return nil // servers meet EPIPE of clients that left at any time
	}
	to := stream(1)
	switch {
	case l.call != nil:
		to = v.target(l.call)
	case w != nil:
		to = stream(w.FD)
	}
	return &evidence.Finding{Confidence: l.conf, Title: "a broken pipe",
		Summary:  fmt.Sprintf("It wrote to %s, whose reader was gone (EPIPE), and %s later it %s.", to, span(l.gap), v.endWords()),
		Evidence: append(l.evidence, v.deathAt()...)}
}

// target names the descriptor of a call with what is known of it.
func (v *View) target(c *evidence.FailedCall) string {
	if c.FD < 0 {
		return "a pipe or socket"
	}
	s := stream(c.FD)
	if c.FD > 2 {
		s = fmt.Sprintf("descriptor %d", c.FD)
		if t := v.table(); t != nil {
			for i := range t.Groups {
				if g := &t.Groups[i]; g.Count == 1 && g.Lowest == c.FD && g.Highest == c.FD {
					s += " (" + plain(g.What(), 80) + ")"
				}
			}
		}
	}
	if c.Path != "" {
		s += " (" + plain(c.Path, 80) + ")"
	}
	return s
}

func (v *View) refusedWrite(e evidence.Errno) (int, *evidence.WriteRefused) {
	at := -1
	var last *evidence.WriteRefused
	for i, w := range of[*evidence.WriteRefused](v) {
		if w.Errno == e {
			at, last = i, w
		}
	}
	return at, last
}

var outputStalled = Cause{
	ID:    "output-stalled",
	Title: "Its output was not taken",
	Why: "Standard output or error is a pipe with room for 64 KiB as a rule. When its reader (a log collector, a terminal, the next command) does not keep up, a write waits, and the program with it; " +
		"where the pipe was made non-blocking (by the program, its runtime, or another process that shares it), the write is cut short or refused with EAGAIN, and lines are torn or lost.",
	Seen: "A refused write to standard output or error followed by the end: certain where the program's last words name the error, likely at once before its end. " +
		"Killed from outside while a thread had waited in such a write for seconds and the pipe was full: likely.",
	Advice:   "See why the reader of its output is slow or stopped. Do not set O_NONBLOCK on standard output and error: it is shared with everyone who has the same pipe. Log with a bound and drop what does not fit.",
	Rule:     ruleOutputStalled,
	Absent:   absentOutputStalled,
	Explains: []string{"uncaught-error", "killed", "shutdown-timeout", "assertion"},
}

// untaken says whether what the output goes to was seen to take none of it.
func (v *View) untaken(stream string) bool {
	for _, s := range ofPID[*evidence.OutputStalled](v, 0) {
		if s.Stream == stream {
			return true
		}
	}
	return false
}

func ruleOutputStalled(v *View) *evidence.Finding {
	switch v.How {
	case endOutside, endTimer, endSelf:
		return stalledAtEnd(v)
	case endError:
		if f := stalledAtEnd(v); f != nil && v.asked < 0 && v.text.final == nil {
			return f // a watchdog of its own gave up
		}
	}
	if v.How != endError && v.How != endAbort || v.asked >= 0 {
		return nil
	}
	i, w := v.refusedWrite(evidence.EAGAIN)
	if w == nil || w.FDKind == evidence.FDTCP && v.Case.Covered("probe/sockets") {
		return nil // a peer at its stdout that does not read is send-stalled's
	}
	gap := v.End - v.boot(i)
	// "Resource temporarily unavailable" is also said of fork and of locks; the write was refused, too.
	word := v.names(errnoWords[evidence.EAGAIN])
	conf := evidence.Confidence("")
	switch {
	case word == saysIt && gap < window:
		conf = evidence.Certain
	case word == saysNothing && gap < atOnce && (len(v.text.last) == 0 || w.FD == 1 && (v.untaken("stdout") || w.Count >= 3) && v.text.silent("stderr")):
		conf = evidence.Likely // it gave up without a word
		if v.untaken(stream(w.FD)) && v.endedBy(v.Case.Timeline[i].TID) {
			conf = evidence.Certain // and by the thread whose writes were refused
		}
	}
	if conf == "" {
		return nil
	}
	sum := fmt.Sprintf("Its %s was full and not taken: a write of %s was refused with EAGAIN %s before it %s.", stream(w.FD), bytesOf(w.Asked), span(gap), v.endWords())
	if w.Count > 1 {
		sum += fmt.Sprintf(" In all %d writes were refused", w.Count)
		if w.Lost > 0 {
			sum += fmt.Sprintf(" and %s lost", bytesOf(w.Lost))
		}
		sum += "."
	}
	return &evidence.Finding{Confidence: conf, Title: "a stalled output", Summary: sum, Evidence: append(v.deathAt(), i)}
}

// stalledAtEnd is a program that hung in a write to its output until it was killed.
func stalledAtEnd(v *View) *evidence.Finding {
	if len(v.samples) == 0 || interrupted(v) && v.Signal == evidence.SIGINT && len(v.samples) < 5 {
		return nil
	}
	last := v.samples[len(v.samples)-1]
	if v.End-last.boot > 5*second || len(last.Blocked) == 0 {
		return nil
	}
	b := last.Blocked[0]
	for _, x := range last.Blocked {
		if x.Nanos > b.Nanos {
			b = x
		}
	}
	// How long it waited: as a sweep says, or as sweeps in a row show.
	since, ev := last.boot, []int{last.at}
	for i := len(v.samples) - 1; i >= 0; i-- {
		if !blockedOn(v.samples[i].Process, b.TID, b.FD) {
			break
		}
		since = v.samples[i].boot
	}
	wait := max(b.Nanos, last.boot-since)
	if wait < second || wait < 3*second && v.How == endOutside {
		return nil
	}
	full := false
	for _, p := range last.Output {
		full = full || p.FD == b.FD && p.Slots > 0 && p.Used >= p.Slots
	}
	if !full {
		return nil
	}
	sum := fmt.Sprintf("It hung: a thread had waited %s in a write to its %s, a full pipe that nobody read, when ", span(wait+max(0, v.End-last.boot)), stream(b.FD))
	switch v.How {
	case endOutside:
		sum += fmt.Sprintf("%s ended it with %s.", orSomeone(who(v.Sender)), v.Signal)
	case endTimer:
		sum += fmt.Sprintf("its own timer ended it (%s).", v.Signal)
	default:
		sum += fmt.Sprintf("it %s.", v.endWords())
	}
	for i, s := range ofPID[*evidence.OutputStalled](v, 0) {
		if v.End-v.boot(i) < late {
			sum += fmt.Sprintf(" What descry passes the output on to had not taken it for %s.", span(s.Nanos))
			ev = append(ev, i)
			break
		}
	}
	return &evidence.Finding{Confidence: evidence.Likely, Title: "a stalled output", Summary: sum, Evidence: append(append(v.deathAt(), ev...), v.sentAt(v.Signal)...)}
}

func orSomeone(s string) string {
	if s == "" {
		return "someone"
	}
	return s
}

func blockedOn(p *evidence.Process, tid, fd int32) bool {
	for _, b := range p.Blocked {
		if b.TID == tid && b.FD == fd {
			return true
		}
	}
	return false
}

func absentOutputStalled(v *View) string {
	if !v.dead() || !v.Case.Covered("probe/syscall") || !v.Case.Covered("sample") {
		return ""
	}
	if v.Case.Counters[evidence.CountWriteShort] != 0 || v.Case.Counters[evidence.CountWriteRefused] != 0 {
		return ""
	}
	for _, o := range v.Case.Timeline {
		switch d := o.Detail.(type) {
		case *evidence.WriteShort, *evidence.WriteRefused, *evidence.OutputStalled:
			return ""
		case *evidence.Process:
			if len(d.Blocked) > 0 {
				return ""
			}
		}
	}
	return "no write to standard output or error was cut short, refused or blocked"
}

func quoteLine(s string) string { return `"` + strings.ReplaceAll(plain(s, 160), `"`, `'`) + `"` }

// endedBy says whether a thread is known to have ended the process.
func (v *View) endedBy(tid int32) bool {
	for _, t := range v.threads {
		if t.ender && tid != 0 && v.Case.Timeline[t.at].TID == tid {
			return true
		}
	}
	return false
}
