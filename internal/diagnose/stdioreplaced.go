package diagnose

import (
	"fmt"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var stdioReplaced = Cause{
	ID:    "stdio-replaced",
	Title: "Standard input, output or error became something else",
	Why: "Descriptor 0, 1 or 2 was closed, often by a close() too many, and the next open or socket was given its number: the lowest that is free. " +
		"From then on log lines go into that socket or file, its data goes into the log, or the program ends when the stranger is closed.",
	Seen: "The descriptor was closed after the start and then allocated to a socket, pipe or file. Certain: and a call on that descriptor is the last that failed in the thread that ended the process, or the fatal SIGPIPE came of a write to it. " +
		"Certain, too: its own text was seen to go into what had taken the number, and then that peer broke off or its last words name that file; " +
		"or the log was put back and the stranger's owner wrote its data into it, by the thread that ended it, or met there that it is no socket any more. Likely: it ended with an error within seconds, and nothing else was seen to fail; or, where system calls were not watched, standard output or error alone is a connection at the end that it was not when the program began, and the peer has hung up. Unlinked to the end it is told as a symptom. Daemons that point 0 to 2 at /dev/null or a log file by dup2 do it on purpose and are not accused.",
	Advice:   "Do not close descriptors 0 to 2: point them at /dev/null with dup2 where they are not wanted. Look for a close() of a descriptor that was already closed, or of -1 or 0 that was never opened.",
	Rule:     ruleStdioReplaced,
	Absent:   absentStdioReplaced,
	Explains: []string{"broken-pipe", "uncaught-error", "output-stalled", "connection-loss"},
}

// replaced is a standard descriptor that became something else by accident.
type replaced struct {
	at     int // of its allocation
	closed int // of the close before it, -1 where not seen
	*evidence.Stdio
}

// accidents are the standard descriptors that are strangers at the end.
func (v *View) accidents() []replaced {
	var out []replaced
	for fd := range int32(3) {
		r := replaced{at: -1, closed: -1}
		for i, s := range of[*evidence.Stdio](v) {
			if s.FD != fd {
				continue
			}
			switch s.Action {
			case "closed":
				if r.Stdio != nil && v.dead() && v.End-v.boot(i) < atOnce {
					continue // runtimes close what they held on the way out
				}
				r = replaced{at: -1, closed: i}
			case "allocated":
				r = replaced{at: i, closed: r.closed, Stdio: s}
			default: // put there on purpose
				r = replaced{at: -1, closed: -1}
			}
		}
		if r.Stdio == nil || onPurpose(r.Stdio) {
			continue
		}
		out = append(out, r)
	}
	return out
}

// onPurpose says whether what a closed descriptor was given to is what a daemon wants: close(1) and
// open("/dev/null") or of its log is the old way to point it there.
func onPurpose(s *evidence.Stdio) bool {
	switch s.Is {
	case evidence.FDTTY, evidence.FDDevice:
		return true
	case evidence.FDFile:
		p := strings.ToLower(s.Path)
		return p == "" || containsAny(p, "log", ".out", ".err", "/dev/", "stdout", "stderr")
	case evidence.FDTCP, evidence.FDUDP, evidence.FDUnix, evidence.FDSocket, evidence.FDPipe, evidence.FDFIFO, evidence.FDNetlink, evidence.FDRawSocket, evidence.FDPacket:
		return false
	}
	return true
}

func ruleStdioReplaced(v *View) *evidence.Finding {
	if !v.dead() || v.asked >= 0 {
		return nil
	}
	if f := v.strangersData(); f != nil {
		return f
	}
	if f := v.stillUsed(); f != nil {
		return f
	}
	for _, r := range v.accidents() {
		conf, how, ev := v.brokeOn(r)
		if conf == "" {
			continue
		}
		what := kindWords(r.Is)
		switch {
		case r.Peer != "":
			what += " to " + plain(r.Peer, 60)
		case r.Path != "" && r.Is == evidence.FDFile:
			what += ", " + plain(r.Path, 80)
		}
		sum := fmt.Sprintf("Descriptor %d (%s) was closed and its number given to %s, by %s(); what the program meant for %s went there. %s, and it %s.",
			r.FD, stream(r.FD), what, plain(r.Call, 30), stream(r.FD), how, v.endWords())
		if w, at := v.astray(r); w != nil {
			to := "it"
			if w.Peer != "" && r.Peer == "" {
				to += " (" + plain(w.Peer, 60) + ")"
			}
			sum += fmt.Sprintf(" Thread %d%s was seen to write %s to %s.", v.Case.Timeline[at].TID, inFrame(w.Trace), quotedLine(w.Data), to)
			ev = append(ev, at)
			if conf == evidence.Likely && (v.namesTarget(r) || v.hungUp(w, at)) {
				conf = evidence.Certain
			}
		}
		ev = append(ev, r.at)
		if r.closed >= 0 {
			ev = append(ev, r.closed)
			if d, ok := v.Case.Timeline[r.closed].Detail.(*evidence.Stdio); ok {
				if f := ownFrame(d.Trace); f != nil && f.Own {
					sum += " It was closed in " + frameText(f) + "."
				}
			}
		}
		return &evidence.Finding{Confidence: conf, Title: stream(r.FD) + " replaced by " + kindWords(r.Is), Summary: sum, Evidence: append(ev, v.deathAt()...)}
	}
	return v.turnedAtEnd()
}

// brokeOn says whether the culprit ended because of that descriptor.
func (v *View) brokeOn(r replaced) (evidence.Confidence, string, []int) {
	onIt := func(c *evidence.FailedCall) bool {
		return c.FD == r.FD && c.BootNanos >= v.boot(r.at) && c.BootNanos <= v.End && ioCall(c.Call)
	}
	switch v.How {
	case endPipe:
		if c, at := v.lastOfEnder(func(c *evidence.FailedCall) bool { return c.Errno == evidence.EPIPE }); c != nil {
			if onIt(c) && v.End-c.BootNanos < soon {
				return evidence.Certain, fmt.Sprintf("%s on it failed with EPIPE", plain(c.Call, 30)), []int{at}
			}
			return "", "", nil // another descriptor's pipe broke
		}
	case endError, endAbort:
		if f := v.tookOver(r); f != "" {
			return evidence.Likely, f, nil
		}
		for _, t := range v.threads {
			if !t.ender {
				continue
			}
			last := latestCall(t.calls, func(c *evidence.FailedCall) bool { return c.BootNanos <= v.End && !noise(c.Errno) || onIt(c) })
			if last == nil || !onIt(last) || v.End-last.BootNanos > soon || v.names(errnoWords[last.Errno]) == saysOther {
				return "", "", nil
			}
			conf := evidence.Certain
			if v.End-last.BootNanos > atOnce && v.names(errnoWords[last.Errno]) != saysIt {
				conf = evidence.Likely
			}
			return conf, fmt.Sprintf("%s on it failed with %s", plain(last.Call, 30), last.Errno), []int{t.at}
		}
	default:
		return "", "", nil
	}
	for i, w := range of[*evidence.WriteRefused](v) {
		if w.FD == r.FD && v.boot(i) >= v.boot(r.at) && w.Errno != evidence.EAGAIN && v.End-v.boot(i) < soon {
			return evidence.Likely, fmt.Sprintf("A write to it failed with %s", w.Errno), []int{i}
		}
	}
	return "", "", nil
}

// tookOver says whether the program ended in error soon after one of its output streams had become
// a stranger, where nothing else was seen: what it printed damaged a file or went to a peer, or its
// last words did. A daemon that closes all three is left alone where sockets took the numbers.
func (v *View) tookOver(r replaced) string {
	if r.FD == 0 || v.How != endError || v.End-v.boot(r.at) > window {
		return ""
	}
	if v.text.final != nil {
		// Its last words name what its own words went into, or an error of a connection where they went
		// over one.
		w, at := v.astray(r)
		if w == nil || !v.namesTarget(r) && !v.hungUp(w, at) && !(isSocket(r.Is) && !v.lostAny() && ofWire.MatchString(v.text.final.typ+" "+v.text.final.msg)) {
			return ""
		}
		return fmt.Sprintf("That was %s before its end, and its last words are an error of it", span(v.End-v.boot(r.at)))
	}
	closed := 0
	for _, s := range of[*evidence.Stdio](v) {
		if s.Action == "closed" {
			closed |= 1 << (s.FD & 7)
		}
	}
	if closed&7 == 7 && isSocket(r.Is) {
		return ""
	}
	for _, t := range v.threads { // an error on something else tells more
		if c := latestCall(t.calls, func(c *evidence.FailedCall) bool {
			return !noise(c.Errno) && c.BootNanos <= v.End && v.End-c.BootNanos < soon
		}); t.ender && c != nil {
			return ""
		}
	}
	return fmt.Sprintf("That was %s before its end, and nothing else was seen to fail", span(v.End-v.boot(r.at)))
}

func ioCall(call string) bool {
	switch call {
	case "read", "readv", "recvfrom", "recvmsg", "write", "writev", "sendto", "sendmsg", "pwrite64", "pread64", "fsync", "lseek":
		return true
	}
	return false
}

func absentStdioReplaced(v *View) string {
	if !v.dead() || !v.Case.Covered("probe/syscall") || v.PID == 0 {
		return ""
	}
	for range of[*evidence.Stdio](v) {
		return ""
	}
	return "descriptors 0 to 2 were never closed or replaced"
}
