package diagnose

import (
	"cmp"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// link says how an error that the kernel returned hangs together with the end of the culprit. What
// counts is what the thread that ended it met last; an error that it met and lived on with is not
// its death.
type link struct {
	conf     evidence.Confidence // "": not linked
	call     *evidence.FailedCall
	said     bool  // its own last words name the error
	gap      int64 // ns from the failed call to the end
	evidence []int
}

// seen is a refusal that a probe reported by itself, beside the lists of failed calls.
type seen struct {
	first, last int64 // boot time of the first and the latest one known, 0: none
	count       int64
	evidence    []int
}

func (s *seen) add(v *View, at int, count int64) {
	t := v.boot(at)
	if s.first == 0 || t < s.first {
		s.first = t
	}
	s.last = max(s.last, t)
	s.count += count
	s.evidence = append(s.evidence, at)
}

// Windows of time between an error and the end.
const (
	atOnce = second / 10 // nothing but the way out lies between
	soon   = second
	window = 10 * second // with a message that names the error
	late   = 60 * second
)

// link looks for failed calls that match, in the ending thread and in the others, and asks the
// program's last words, which name the error in one of words.
func (v *View) link(kind linkKind, match func(*evidence.FailedCall) bool, words []string, s seen) link {
	switch v.How {
	case endError, endAbort, endFault:
	default:
		return link{} // it ended for another reason, or was not ended by itself
	}
	if v.asked >= 0 {
		return link{} // on its way out all sorts of calls fail
	}
	var best struct {
		call  *evidence.FailedCall
		at    int
		ender bool
		later int // other failed calls behind it in its thread, noise apart
		named int // how well its report names the call
	}
	said := v.text.said()
	first, over, other := s.first, false, false
	for _, t := range v.threads {
		later := 0
		for k := len(t.calls) - 1; k >= 0; k-- {
			c := &t.calls[k]
			if c.BootNanos > v.End {
				continue
			}
			if !match(c) {
				if !noise(c.Errno) {
					later++
				}
				continue
			}
			agrees := v.text.agrees(c)
			if agrees == differs && !shared(c.Errno) {
				other = true
				continue
			}
			if first == 0 || c.BootNanos < first {
				first = c.BootNanos
			}
			// A runtime that writes its report meets the error again; the call that the report names is the one.
			named := 0
			switch {
			case agrees == same, len(c.Path) > 1 && v.text.final != nil && strings.Contains(v.text.final.msg, c.Path):
				named = 3 // the error's own message, not a frame's file
			case len(c.Path) > 1 && strings.Contains(said, c.Path):
				named = 2
			case agrees == alike, saysCall(said, c.Call):
				named = 1
			}
			if best.call == nil || t.ender && !best.ender || t.ender == best.ender && (named > best.named || named == best.named && c.BootNanos > best.call.BootNanos) {
				best.call, best.at, best.ender, best.later, best.named = c, t.at, t.ender, later, named
			}
		}
	}
	l := link{call: best.call, evidence: s.evidence}
	last := s.last
	if best.call != nil {
		last = max(last, best.call.BootNanos)
		l.evidence = append(l.evidence[:len(l.evidence):len(l.evidence)], best.at)
	}
	if last == 0 || best.call == nil && (other || v.speaksOfOthers(s.evidence)) {
		return link{} // nothing was refused, or it speaks of another address or file
	}
	laterInEnder := 0 // by the ending thread, where another met the error
	for _, t := range v.threads {
		for k := range t.calls {
			c := &t.calls[k]
			if c.BootNanos <= last || c.BootNanos > v.End || match(c) {
				continue
			}
			if t.ender && !noise(c.Errno) {
				laterInEnder++
			}
			if kind == descriptors && hasAnyPrefix(c.Call, "open") && c.Errno != evidence.EMFILE && c.Errno != evidence.ENFILE {
				over = true // a descriptor was taken before the path was looked up: there was one again
			}
		}
	}
	l.gap = max(0, v.End-last)
	lived := v.End-first > 5*second // it met the first of them long before and went on
	word := v.names(words)
	if t := v.text.final; t != nil && t.lang == langPerl && best.call != nil && best.ender && best.later == 0 && v.Code == int32(best.call.Errno) && v.How == endError {
		switch said := t.msg; { // die() exits with errno, be it of long ago
		case failing.MatchString(said) || consequence.MatchString(said) || writing.MatchString(said):
			word = saysIt
		case l.gap <= second/100:
			word = saysVague
		}
	}
	l.said = word == saysIt
	switch kind {
	case descriptors:
		over = over || v.roomAtEnd()
	case addresses:
		over = v.boundElsewhere()
	}
	if over && (!l.said || v.How != endError) {
		return link{} // it had got over it
	}
	if kind != descriptors && kind != mappings && kind != tasks && v.How == endFault {
		return link{}
	}
	l.conf = v.strength(kind, best.ender, best.call, best.later, laterInEnder, l.gap, lived, word)
	if l.conf == evidence.Certain && l.said && !(best.ender && best.later == 0) && v.text.onlyMentions(best.call) {
		l.conf = evidence.Likely // "permission denied: 0 times"
	}
	return l
}

// failing says of anything that it could not be done.
var failing = newPattern(`(?i)\b(fail\w*|can ?not|can't|could ?n[o']t|could not|unable|error|impossible)\b`)

// agrees says whether its last words report that failed call: differs, where they name another path or
// address that was refused so.
func (t *text) agrees(c *evidence.FailedCall) agreement {
	best := unknown
	for i := range t.refused {
		r := &t.refused[i]
		if r.errno != c.Errno && !(r.id == noThread && c.Errno == evidence.EAGAIN) {
			continue
		}
		a := r.agrees(c)
		if a == differs && (r.as == mention || strings.Contains(r.line, base(c.Path))) {
			a = unknown
		}
		if a == differs && best == unknown || a > best {
			best = a
		}
	}
	return best
}

// onlyMentions says whether the words name the error of c somewhere, and not as what it ended for.
func (t *text) onlyMentions(c *evidence.FailedCall) bool {
	found := false
	for i := range t.refused {
		if r := &t.refused[i]; c != nil && r.errno == c.Errno {
			if r.as != mention {
				return false
			}
			found = true
		}
	}
	return found
}

// speaksOfOthers says whether its last words name another path or address than each of these refusals.
func (v *View) speaksOfOthers(refusals []int) bool {
	for _, i := range refusals {
		c := asked(v.Case.Timeline[i].Detail)
		if c == nil || shared(c.Errno) || v.text.agrees(c) != differs {
			return false
		}
	}
	return len(refusals) > 0
}

// asked is a refusal that a probe reported by itself, as a failed call; nil where d is none.
func asked(d evidence.Detail) *evidence.FailedCall {
	switch d := d.(type) {
	case *evidence.FDRefused:
		return &evidence.FailedCall{Call: d.Call, Errno: d.Errno, Path: cmp.Or(d.Path, d.Peer)}
	case *evidence.AddressRefused:
		return &evidence.FailedCall{Call: d.Call, Errno: d.Errno, Path: d.Address}
	case *evidence.ConnectFailed:
		return &evidence.FailedCall{Call: "connect", Errno: d.Errno, Path: d.Peer}
	case *evidence.ConnectionLost:
		return &evidence.FailedCall{Errno: d.Errno, Path: d.Peer}
	case *evidence.FileRefused:
		return &evidence.FailedCall{Call: d.Call, Errno: d.Errno, Path: d.Path}
	}
	return nil
}

// shared says whether an error is one of something that all calls share, so that it does not matter
// which of them met it.
func shared(e evidence.Errno) bool {
	switch e {
	case evidence.EMFILE, evidence.ENFILE, evidence.ENOMEM, evidence.EAGAIN, evidence.ENOSPC, 105 /* ENOBUFS */, 122 /* EDQUOT */ :
		return true
	}
	return false
}

// heard says whether its output was watched: then it was silent where there is none.
func (v *View) heard() bool { return v.text.seen || v.Case.Covered("output") }

// saysCall says whether words name a system call, as Go's "dial tcp …: socket: too many open files" do.
func saysCall(said, call string) bool {
	call = strings.TrimRight(strings.TrimSuffix(call, "at"), "0123456789")
	if call == "" || call == "open" { // a word of every such message
		return false
	}
	return strings.Contains(said, call+": ") || strings.Contains(said, call+"()") || strings.Contains(said, call+" ")
}

// linkKind says by what an error can be told to be over.
type linkKind int

const (
	descriptors linkKind = iota // a refused descriptor: there is room again
	addresses                   // a refused address: another was bound
	others
	tasks    // a refused process or thread
	mappings // refused memory
)

func (v *View) strength(kind linkKind, ender bool, call *evidence.FailedCall, later, laterInEnder int, gap int64, lived bool, word word) evidence.Confidence {
	isLast := ender && later == 0
	// In its own thread the call's own distance counts, not that of others' refusals.
	own := gap
	if call != nil {
		own = v.End - call.BootNanos
	}
	switch {
	case word == saysOther:
		return ""
	case v.How == endFault && (kind == mappings || kind == tasks) && v.trapped() && word == saysIt && gap <= window:
		return evidence.Certain
	case v.How == endFault && kind == tasks:
		return ""
	case v.How == endFault:
		// A result that was not checked: NULL is used right after the refusal.
		f := v.Fault
		if f == nil || !isLast || own > atOnce || kind == mappings && own > second/100 || !nullPage(f) { // memory is used as soon as it is had
			return ""
		}
		if inStdio(f.Trace) {
			return evidence.Certain
		}
		return evidence.Likely
	case word == saysIt && gap <= window:
		return evidence.Certain
	case word == saysIt && gap <= late:
		return evidence.Likely
	case word == saysIt:
		return ""
	case word == saysNothing && (kind == mappings || kind == tasks) && v.speaksOfElse():
		return ""
	case isLast && own <= atOnce && !lived && word == saysNothing:
		// It may have got over the error and ended for a reason of which nothing was seen.
		if said := v.text.said(); said != "" && !consequence.MatchString(said) || !v.heard() || kind == descriptors && !v.full() {
			return evidence.Likely
		}
		return evidence.Certain
	case isLast && own <= atOnce:
		return evidence.Likely
	case isLast && own <= soon && !lived:
		if said := v.text.said(); word == saysNothing && said != "" && !consequence.MatchString(said) {
			return evidence.Possible // it spoke, and not of that
		}
		return evidence.Likely
	case !ender && own <= soon && !lived && laterInEnder == 0:
		return evidence.Likely // another thread met it, or it was seen by its effect alone
	}
	return ""
}

// wanted is what a program speaks of that was refused memory, a process or a thread.
var wanted = newPattern(`(?i)\b(mem\w*|\w*alloc\w*|arena|heap|buffers?|stack|m?map\w*|reserv\w*|spaces?|size|large|big|grow\w*|fork\w*|process\w*|threads?|tasks?|spawn\w*|workers?|child\w*|start\w*|creat\w*|init\w*|limit\w*|out of|run\w*|exec\w*|abort\w*|fatal|panic|not|no)\b`)

// speaksOfElse says whether the last words are of something else than that something was not to be had:
// programs try for memory, processes and threads, and go on with fewer.
func (v *View) speaksOfElse() bool {
	said := v.text.said()
	return v.text.final == nil && said != "" && !wanted.MatchString(said) && !consequence.MatchString(said) && !failing.MatchString(said)
}

// trapped says whether the fault is an instruction that a program puts where it gives up, in place of
// abort(), as V8 and Chromium do.
func (v *View) trapped() bool {
	return v.Signal == evidence.SIGTRAP || v.Signal == evidence.SIGILL
}

// noise is an error that healthy programs meet at any time, also on their way out.
func noise(e evidence.Errno) bool {
	switch e {
	case evidence.ENOENT, evidence.EAGAIN, evidence.EINTR, evidence.EBADF, evidence.EINVAL, evidence.EISDIR,
		3 /* ESRCH */, 10 /* ECHILD */, 17 /* EEXIST */, 20 /* ENOTDIR */, 25 /* ENOTTY */, 29 /* ESPIPE */, 38, /* ENOSYS */
		95 /* ENOTSUP */, 61 /* ENODATA */, 107 /* ENOTCONN */, 115 /* EINPROGRESS */ :
		return true
	}
	return false
}

// movesThreads says whether the failing code and the thread that ends the process are apart in
// health: goroutines, thread pools of Node.js, Java and .NET.
func (v *View) movesThreads() bool {
	if t := v.text.final; t != nil {
		switch t.lang {
		case langGo, langJava, langNode, langDotNet:
			return true
		}
	}
	for _, e := range of[*evidence.Exec](v) {
		switch base(e.Path) {
		case "java", "node", "nodejs", "dotnet":
			return true
		}
	}
	// Go's runtime leaves no name; its frames do.
	for _, r := range of[*evidence.FDRefused](v) {
		for i := range r.Trace {
			if hasAnyPrefix(r.Trace[i].Function, "runtime.", "syscall.", "internal/runtime/") {
				return true
			}
		}
	}
	return false
}

// nullPage says whether the fault is the use of a null pointer, with an offset at most.
func nullPage(f *evidence.SignalFatal) bool {
	return f.Signal == evidence.SIGSEGV && (f.Fault == "null page" || f.Fault == "" && f.Address < 4096)
}

// inStdio says whether the innermost frame is a function that takes a stream or a directory handle,
// which opening had refused.
func inStdio(trace []evidence.Frame) bool {
	for i := range min(len(trace), 3) {
		f := trace[i].Function
		if trace[i].Own {
			return false
		}
		switch base(f) {
		case "fread", "fgets", "fgetc", "getc", "getline", "getdelim", "fscanf", "fseek", "ftell", "rewind", "feof", "ferror",
			"fwrite", "fputs", "fputc", "putc", "fprintf", "vfprintf", "fflush", "fclose", "fileno", "setvbuf", "readdir", "readdir64", "closedir":
			return true
		}
		if hasAnyPrefix(f, "_IO_", "__GI__IO_", "__isoc99_fscanf", "__isoc23_fscanf", "__vfprintf", "__readdir", "__getdelim", "__fgets", "__fread") {
			return true
		}
	}
	return false
}

// nearest orders calls by time.
func latestCall(calls []evidence.FailedCall, match func(*evidence.FailedCall) bool) *evidence.FailedCall {
	var out *evidence.FailedCall
	for i := range calls {
		if match(&calls[i]) && (out == nil || cmp.Compare(calls[i].BootNanos, out.BootNanos) >= 0) {
			out = &calls[i]
		}
	}
	return out
}

// lastOfEnder is the last failed call of the ending thread that matches, and where it stands.
func (v *View) lastOfEnder(match func(*evidence.FailedCall) bool) (*evidence.FailedCall, int) {
	for _, t := range v.threads {
		if t.ender {
			if c := latestCall(t.calls, match); c != nil {
				return c, t.at
			}
		}
	}
	return nil, -1
}
