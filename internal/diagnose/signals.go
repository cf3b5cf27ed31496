package diagnose

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

var seccomp = Cause{
	ID:       "seccomp",
	Title:    "A forbidden system call",
	Why:      "A seccomp filter (of the container runtime, systemd, or the program's own sandbox) does not allow a system call that the program or a library of a newer version makes, and the kernel ends it with SIGSYS.",
	Seen:     "SIGSYS made by the kernel, with the number of the call: certain.",
	Advice:   "Allow the call in the seccomp profile (securityContext.seccompProfile, --security-opt seccomp=, SystemCallFilter=), or find which update of the program or its libraries began to use it.",
	Rule:     ruleSeccomp,
	Swallows: []string{"killed"},
	Explains: []string{"uncaught-error"},
}

func ruleSeccomp(v *View) *evidence.Finding {
	f := v.Fatal
	at := v.fatalAt
	if v.How != endSeccomp {
		return nil // a handler that took it was prepared for it
	}
	conf := evidence.Certain
	if f == nil {
		conf = evidence.Likely
	}
	call := "a system call"
	title := "a forbidden system call"
	advice := ""
	if f != nil && f.Syscall != "" {
		call = plain(f.Syscall, 40) + "()"
		title = "the forbidden system call " + plain(f.Syscall, 40)
		advice = "Allow " + plain(f.Syscall, 40) + " in the seccomp profile, or find which update of the program or its libraries began to use it."
	}
	sum := fmt.Sprintf("It called %s, which a seccomp filter forbids, and the kernel sent it SIGSYS.", call)
	if f != nil {
		if fr := ownFrame(f.Trace); fr != nil {
			sum += " It was called in " + frameText(fr) + "."
		}
	}
	return &evidence.Finding{Confidence: conf, Title: title, Summary: sum, Evidence: append(v.deathAt(), at), Advice: advice}
}

// errnoEFBIG is what a write beyond the limit of file size gives where SIGXFSZ is ignored or handled.
const errnoEFBIG evidence.Errno = 27

// fileTooLarge is the limit of file size in a program that ignores SIGXFSZ, as Python does.
func (v *View) fileTooLarge() *evidence.Finding {
	if v.How != endError && v.How != endAbort {
		return nil
	}
	words := []string{"File too large", "file too large", "EFBIG", "Errno 27", "os error 27", "File size limit exceeded"}
	match := func(c *evidence.FailedCall) bool { return c.Errno == errnoEFBIG && onFiles(c.Call) }
	l := v.link(others, match, words, seen{})
	if l.call == nil || l.conf == "" {
		return nil
	}
	how, _ := v.tells(func(line string) bool { return mentions(line, words...) })
	conf := v.plainly(l, how, func(said string) bool { return v.text.final == nil && writing.MatchString(said) })
	if conf == "" {
		return nil
	}
	title, sum := "its limit of file size", "It wrote a file beyond its limit (RLIMIT_FSIZE)"
	if !v.sentByKernel(evidence.SIGXFSZ) {
		conf = capped(conf, evidence.Likely)
		title, sum = "a file that is too large", "It wrote a file beyond what its file system or its limit (RLIMIT_FSIZE) allows"
	}
	sum += fmt.Sprintf(": %s() to %s failed with EFBIG %s before it %s.", plain(l.call.Call, 30), v.target(l.call), span(l.gap), v.endWords())
	return &evidence.Finding{Confidence: conf, Title: title, Summary: sum, Evidence: append(append(l.evidence, v.sentAt(evidence.SIGXFSZ)...), v.deathAt()...),
		Advice: "Raise the limit (ulimit -f, LimitFSIZE=), or write less into one file."}
}

var resourceSignal = Cause{
	ID:     "resource-signal",
	Title:  "A resource limit's signal",
	Why:    "RLIMIT_CPU bounds the processor time of a process (SIGXCPU at the soft limit, SIGKILL at the hard one), RLIMIT_FSIZE the size of the files that it writes (SIGXFSZ).",
	Seen:   "SIGXCPU or SIGXFSZ made by the kernel: certain. A write refused with EFBIG that the last words name, with SIGXFSZ ignored: certain.",
	Advice: "Raise the limit (ulimit -t for processor time, ulimit -f for file size), or find what uses that much.",
	Rule: func(v *View) *evidence.Finding {
		if v.How != endResource {
			return v.fileTooLarge()
		}
		f := &evidence.Finding{Confidence: evidence.Certain, Title: "its limit of processor time", Evidence: v.deathAt(),
			Summary: "It used up its limit of processor time (RLIMIT_CPU), and the kernel sent it SIGXCPU."}
		if v.Exit != nil && v.Exit.UserNanos+v.Exit.SystemNanos > 0 {
			f.Summary += fmt.Sprintf(" It had used %s.", span(v.Exit.UserNanos+v.Exit.SystemNanos))
		}
		if v.Signal == evidence.SIGXFSZ {
			f.Title, f.Summary = "its limit of file size", "It wrote a file beyond its limit (RLIMIT_FSIZE), and the kernel sent it SIGXFSZ."
			if c, at := v.lastOfEnder(func(c *evidence.FailedCall) bool { return c.Errno == 27 /* EFBIG */ }); c != nil {
				f.Evidence = append(f.Evidence, at)
				if c.FD >= 0 {
					f.Summary += fmt.Sprintf(" It was a %s() to %s.", plain(c.Call, 30), v.target(c))
				}
			}
		}
		if v.Fatal == nil {
			f.Confidence = evidence.Likely
		}
		return f
	},
	Explains: []string{"uncaught-error", "assertion"},
	Swallows: []string{"killed"},
}

var shutdownTimeout = Cause{
	ID:    "shutdown-timeout",
	Title: "It did not end when asked",
	Why: "A container runtime ends a program with SIGTERM and, when it has not ended within the grace period (10 s with docker, 30 s in Kubernetes), with SIGKILL. " +
		"A program as process 1 ignores SIGTERM unless it handles it; a shell that runs it does not pass the signal on; or the shutdown itself takes too long.",
	Seen:     "SIGTERM and then SIGKILL, both from another process, and the time between: certain, with less than a second between likely.",
	Advice:   "Handle SIGTERM and end within the grace period; start the program with exec in a shell script so that it gets the signal itself; or lengthen the grace period.",
	Rule:     ruleShutdownTimeout,
	Swallows: []string{"killed"},
}

func ruleShutdownTimeout(v *View) *evidence.Finding {
	if v.How != endOutside || v.Signal != evidence.SIGKILL || interrupted(v) {
		return nil
	}
	at := -1
	var term *evidence.SignalSent
	for _, pid := range append([]int32{v.PID}, v.Passed...) {
		for i, s := range ofPID[*evidence.SignalSent](v, pid) {
			if s.Signal == evidence.SIGTERM && s.Sender != v.PID && s.Sender != 0 && at < 0 {
				at, term = i, s
			}
		}
	}
	if at < 0 {
		return nil
	}
	gap := v.End - v.boot(at)
	conf, title := evidence.Certain, "a shutdown that took too long"
	if gap > 600*second || v.Fatal == nil {
		conf = evidence.Likely
	}
	if gap < soon { // hardly a time to end in
		conf, title = evidence.Likely, "SIGKILL "+span(gap)+" after SIGTERM"
	}
	sum := fmt.Sprintf("It was asked to end with SIGTERM by %s, had not ended %s later, and was killed with SIGKILL", who(term.From()), span(gap))
	if v.Sender != nil && v.Sender.PID != term.Sender {
		sum += " by " + who(v.Sender)
	}
	sum += "."
	if term.Ignored {
		sum += " It ignores SIGTERM."
	}
	ev := append(v.deathAt(), at)
	return &evidence.Finding{Confidence: conf, Title: title, Summary: sum, Evidence: append(ev, v.sentAt(v.Signal)...)}
}

// sentAt gives the latest sending of a signal to the culprit.
func (v *View) sentAt(sig evidence.Signal) []int {
	at := -1
	for i, s := range of[*evidence.SignalSent](v) {
		if s.Signal == sig {
			at = i
		}
	}
	if at < 0 {
		return nil
	}
	return []int{at}
}

func interrupted(v *View) bool { return v.Case.Death != nil && v.Case.Death.Interrupted }

var killed = Cause{
	ID:     "killed",
	Title:  "Ended by a signal from outside",
	Why:    "Another process sent it a signal: a person, a supervisor, a container runtime, a deployment tool. The program itself did nothing wrong that was seen.",
	Seen:   "The fatal signal and its sender, from the kernel: certain. A program that ended itself after SIGTERM or SIGINT is counted here as well, certain where its exit code says so (128+n).",
	Advice: "See what the sender is and why it ended the program.",
	Rule:   ruleKilled,
	Weak:   true,

	Swallows: []string{"exit-error"},
}

func ruleKilled(v *View) *evidence.Finding {
	f := ruleEnded(v)
	if f == nil || v.Case.Death == nil || !v.Case.Death.Restarted || len(v.Passed) > 0 {
		return f
	}
	f.Summary = sentences(f.Summary, "The container was then started again in the same pod, which is done where a liveness or startup probe fails; the pod's events say which.")
	f.Advice = "See by the pod's events which probe failed, and whether the program hung or the probe asks for too much."
	return f
}

func ruleEnded(v *View) *evidence.Finding {
	f := &evidence.Finding{Confidence: evidence.Certain, Title: v.Signal.String(), Evidence: append(v.deathAt(), v.sentAt(v.Signal)...)}
	switch v.How {
	case endOutside:
		by := who(v.Sender)
		switch {
		case interrupted(v):
			f.Title = "an interrupt from the terminal"
			f.Summary = fmt.Sprintf("You ended it from the terminal (%s).", v.Signal)
			f.Advice = "Nothing to do: this was you."
			return f
		case v.Sender != nil && v.Sender.PID == 0:
			f.Title = v.Signal.String() + " from the kernel"
			f.Summary = fmt.Sprintf("The kernel sent it %s", v.Signal)
			if v.Signal == evidence.SIGINT || v.Signal == evidence.SIGQUIT || v.Signal == evidence.SIGHUP {
				f.Title = v.Signal.String() + " from the terminal"
				f.Summary = fmt.Sprintf("%s came from its terminal: a key was pressed or the terminal was closed", v.Signal)
			}
			f.Summary += "."
			if v.Signal == evidence.SIGKILL && v.Exit != nil {
				f.Summary += fmt.Sprintf(" It had used %s of processor time.", span(v.Exit.UserNanos+v.Exit.SystemNanos))
			}
			f.Advice = "If nobody did that on purpose, see what the terminal or the machine did at that time."
			if v.Signal == evidence.SIGKILL {
				f.Advice = "The kernel does so where the hard limit of CPU time is reached (ulimit -t, LimitCPU=), the cgroup is ended (cgroup.kill) or the first process of its pid namespace has ended."
			}
		case passedOn(v.Sender):
			f.Title = v.Signal.String() + " from outside"
			f.Summary = fmt.Sprintf("Somebody sent %s to descry run, which passed it on; who it was is not seen.", v.Signal)
			f.Advice = "Find who ended it: a person, a supervisor, a time limit."
		case by != "":
			f.Title = fmt.Sprintf("%s from %s", v.Signal, short(v.Sender))
			f.Summary = fmt.Sprintf("%s sent it %s.", by, v.Signal)
			f.Advice = fmt.Sprintf("See why %s ended it.", short(v.Sender))
			if v.inTree() {
				f.Summary += " That process belongs to the same command."
			}
		default:
			f.Confidence = evidence.Likely
			f.Title = v.Signal.String() + " from outside"
			f.Summary = fmt.Sprintf("It was ended by %s; who sent it was not seen.", v.Signal)
			if v.Signal == evidence.SIGKILL && v.Case.Covered("probe/signal") && v.Case.Covered("probe/oom") {
				f.Summary = "It was ended by SIGKILL, and no process was seen to send it: the kernel itself does so in the strict mode of seccomp."
			}
			if v.Signal == evidence.SIGKILL && !v.Case.Covered("probe/oom") {
				f.Summary += " It may also have been the kernel's OOM killer, which was not watched."
				f.Advice = "Look into the kernel's log (dmesg) for an OOM kill."
			}
		}
		return f
	case endSelf:
		f.Title = "a signal to itself: " + v.Signal.String()
		f.Summary = fmt.Sprintf("It sent %s to itself.", v.Signal)
		f.Advice = "Look for kill() or raise() in the program and what leads there."
		return f
	case endTimer:
		f.Title = "a timer of its own"
		f.Summary = fmt.Sprintf("A timer that it had set itself ran out (%s), and it has no handler for that signal.", v.Signal)
		f.Advice = "Look for alarm() or setitimer(): something took longer than the time that was set."
		return f
	case endError:
		if v.asked < 0 {
			return nil
		}
		s, ok := v.Case.Timeline[v.asked].Detail.(*evidence.SignalSent)
		if !ok {
			return nil
		}
		if v.Code != 128+int32(s.Signal) {
			f.Confidence = evidence.Likely
		}
		from := s.From()
		by := who(from)
		f.Title = fmt.Sprintf("%s from %s", s.Signal, short(from))
		switch {
		case s.Sender == 0:
			by, f.Title = "its terminal", s.Signal.String()+" from the terminal"
		case passedOn(from):
			by, f.Title = "somebody, through descry run", s.Signal.String()+" from outside"
		}
		f.Summary = fmt.Sprintf("It was asked to end with %s by %s, and %s later it %s.", s.Signal, by, span(v.End-v.boot(v.asked)), v.endWords())
		if interrupted(v) {
			f.Title = "an interrupt from the terminal"
			f.Summary = fmt.Sprintf("You ended it from the terminal (%s), and %s later it %s.", s.Signal, span(v.End-v.boot(v.asked)), v.endWords())
		}
		f.Evidence = append(v.deathAt(), v.asked)
		f.Advice = "Nothing is wrong if that was meant."
		return f
	}
	return nil
}

// passedOn says whether the sender is descry run, which sends only what it is sent.
func passedOn(s *evidence.Sender) bool { return s != nil && s.Command == evidence.PassedOn }

// short names a sender for a headline.
func short(s *evidence.Sender) string {
	switch {
	case s == nil:
		return "outside"
	case s.PID == 0:
		return "the kernel"
	case s.Comm != "":
		return plain(s.Comm, 20)
	}
	return fmt.Sprintf("process %d", s.PID)
}

// inTree says whether the sender of the fatal signal belongs to the subject.
func (v *View) inTree() bool {
	for _, s := range of[*evidence.SignalSent](v) {
		if s.Signal == v.Signal && s.SenderInTree && v.Sender != nil && s.Sender == v.Sender.PID {
			return true
		}
	}
	return false
}
