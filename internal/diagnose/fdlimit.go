package diagnose

import (
	"fmt"
	"strings"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

var fdLimit = Cause{
	ID:    "fd-limit",
	Title: "Out of file descriptors",
	Why: "Every open file, socket, pipe and event loop is a descriptor, and a process may hold as many as its soft RLIMIT_NOFILE says. " +
		"Beyond it open, socket, accept, pipe and their like fail with EMFILE, \"Too many open files\". Three ways lead there: a leak (what is opened is not closed), " +
		"a burst of load, or a limit that is too low for what the program does.",
	Seen: "The kernel refused the process a descriptor with EMFILE. Certain: the program's own last words name the error, or the refused call is the last that failed in the thread that ended the process, " +
		"at once before its end, which came without a word and with the table still full. Likely: it was the last that failed and the program's words are of something else; the refusal was shortly before the end, in another thread, or after it had been met and survived before; " +
		"or, where system calls were not watched, a runtime's final report names it, or every descriptor was in use at the end of a program that said nothing of another matter. " +
		"A program that met EMFILE and lived on, and was then ended by something else, did not die of it.",
	Advice:   "Close what is opened, also on error paths; if so many are needed, raise the soft limit (ulimit -n, LimitNOFILE=) up to the hard one.",
	Rule:     ruleFDLimit,
	Absent:   absentFDLimit,
	Explains: []string{"uncaught-error", "assertion", "invalid-access", "broken-pipe", "start-failure"},
	Swallows: []string{"fd-leak"},
}

func isInotify(call string) bool { return hasAnyPrefix(call, "inotify_") }

// matchesEMFILE leaves out calls for which EMFILE means another limit.
func matchesEMFILE(c *evidence.FailedCall) bool {
	return c.Errno == evidence.EMFILE && !isInotify(c.Call) && c.Call != "perf_event_open" && c.Call != "io_uring_register"
}

// refusals sums the refusals with errno. Each observation carries the count of its call so far.
func (v *View) refusals(errno evidence.Errno) (s seen, last *evidence.FDRefused) {
	count := map[string]int64{}
	for i, r := range of[*evidence.FDRefused](v) {
		if r.Errno != errno || errno == evidence.EMFILE && r.Open > 0 && r.SoftLimit > 0 && r.Open*10 < r.SoftLimit*9 && !duplicates(r.Call) {
			continue // descriptors were free: another limit of that call
		}
		s.add(v, i, 0)
		count[r.Call] = max(count[r.Call], r.Count, 1)
		last = r
	}
	for _, n := range count {
		s.count += n
	}
	if len(s.evidence) > 3 {
		s.evidence = append(s.evidence[:1:1], s.evidence[len(s.evidence)-2:]...)
	}
	return s, last
}

// duplicates says whether a call asks for a descriptor above a given one: it is refused with room
// below that.
func duplicates(call string) bool { return hasAnyPrefix(call, "fcntl", "dup") }

func ruleFDLimit(v *View) *evidence.Finding {
	s, last := v.refusals(evidence.EMFILE)
	l := v.link(descriptors, matchesEMFILE, errnoWords[evidence.EMFILE], s)
	if l.conf == "" {
		return v.fdLimitUnseen()
	}
	soft, hard, open := v.limits(last)
	if last == nil && l.call != nil && soft > 0 {
		if t := v.table(); t != nil && t.Open*10 < soft*9 && !l.said {
			return nil // a refusal with descriptors to spare
		}
	}
	call := ""
	switch {
	case l.call != nil:
		call = plain(l.call.Call, 30)
		if l.call.Path != "" {
			call += "(" + plain(l.call.Path, 80) + ")"
		}
	case last != nil:
		call = plain(last.Call, 30)
	}
	count := s.count
	if v.Exit != nil && last != nil {
		count = max(count, v.Exit.RefusedFDs)
	}
	sum := "It was refused a descriptor"
	if count > 1 {
		sum = fmt.Sprintf("It was refused descriptors %s", times(count))
	}
	if soft > 0 {
		sum += fmt.Sprintf(": its limit of %d was used up", soft)
		if open > 0 && open != soft && open >= soft*9/10 {
			sum += fmt.Sprintf(" (%d open)", open)
		}
	}
	if l.call == nil && last != nil && last.InMessage {
		sum += fmt.Sprintf(". Descriptors that were passed to it in a message (%s) were lost %s before it %s.", call, span(l.gap), v.endWords())
	} else {
		sum += fmt.Sprintf(". %s failed with EMFILE %s before it %s.", call, span(l.gap), v.endWords())
	}

	g := v.grown(soft)
	group, of := v.dominant()
	how, advice := "", ""
	switch {
	case g.shape == "leak":
		how = fmt.Sprintf("This is a leak: descriptors grew steadily, %s over %s, from %d to %d", rate(g.perSecond), span(g.last.boot-g.first.boot), g.first.Open, g.last.Open)
		if group != nil {
			how += "; " + groupWords(group, of)
		}
		how += "."
		advice = sentences(groupAdvice(group), "A higher limit only makes it die later.")
		if group == nil {
			advice = "Find what is opened and never closed; a higher limit only makes it die later."
		}
	case g.shape == "burst":
		how = fmt.Sprintf("It was a burst: from %d to %d descriptors within %s", g.from, g.last.Open, span(g.inTime))
		if group != nil {
			how += "; " + groupWords(group, of)
		}
		how += "."
		advice = sentences("Bound how many connections or files are open at once, and let the rest wait.", raise(soft, hard))
	default:
		if group != nil {
			how = groupWords(group, of) + "."
			advice = sentences(groupAdvice(group), raise(soft, hard))
		} else {
			advice = sentences(raise(soft, hard), "If the number grows without bound, find what is opened and never closed.")
		}
		if soft > 0 && soft <= 256 {
			how = sentences(how, fmt.Sprintf("A limit of %d is low.", soft))
			if group == nil || group.Path == "" && group.Peer == "" && group.OpenedBy == "" {
				advice = sentences(raise(soft, hard), groupAdvice(group))
			}
		}
	}
	return &evidence.Finding{Confidence: l.conf, Title: "running out of file descriptors", Summary: sentences(sum, how),
		Evidence: append(l.evidence, append(g.evidence, v.deathAt()...)...), Advice: advice}
}

// unseen says whether a runtime's final report names an error in a program whose system calls were
// not watched: then its word is what there is.
func (v *View) unseen(errno evidence.Errno) bool {
	t := v.text.final
	return t != nil && t.fits(v) && !t.thread && v.unwatched() && v.names(errnoWords[errno]) == saysIt
}

// watchedLast says whether a source that did not watch throughout did so for the last seconds, in which
// what a program ends of is met.
func (v *View) watchedLast(c *evidence.Coverage) bool {
	d := v.Case.Death
	return d == nil || d.At.Sub(c.From) >= 5*time.Second
}

func (v *View) fdLimitUnseen() *evidence.Finding {
	if !v.unseen(evidence.EMFILE) || v.names(errnoWords[evidence.ENFILE]) == saysIt || containsAny(strings.ToLower(v.text.final.whole), "inotify", "watch", "fsnotify", "fsevent") {
		return v.fullUnseen() // those have limits of their own
	}
	if v.inotifyFull() && !v.full() {
		return nil
	}
	soft, hard, _ := v.limits(nil)
	sum := "It says that it was refused a descriptor: " + quoteLine(strings.TrimPrefix(v.text.final.typ+": "+v.text.final.msg, ": "))
	if soft > 0 {
		sum += fmt.Sprintf("; its limit was %d", soft)
	}
	sum += ". Failed system calls were not watched."
	group, of := v.dominant()
	if group != nil {
		sum += " " + groupWords(group, of) + "."
	}
	return &evidence.Finding{Confidence: evidence.Likely, Title: "running out of file descriptors", Summary: sum, Evidence: v.deathAt(),
		Advice: sentences(groupAdvice(group), raise(soft, hard))}
}

// limits gives the soft and hard limit and the number open when it was refused, 0 where not known.
func (v *View) limits(last *evidence.FDRefused) (soft, hard, open int64) {
	if t := v.table(); t != nil {
		soft, hard = t.SoftLimit, t.HardLimit
	}
	for _, s := range v.samples {
		if s.HardLimit > 0 {
			hard = s.HardLimit
		}
		if soft == 0 {
			soft = s.SoftLimit
		}
	}
	if last != nil {
		open = last.Open
		if last.SoftLimit > 0 {
			soft = last.SoftLimit
		}
	}
	return soft, hard, open
}

func raise(soft, hard int64) string {
	switch {
	case soft <= 0:
		return "If it needs so many, raise the limit (ulimit -n, LimitNOFILE=)."
	case hard > soft:
		return fmt.Sprintf("If it needs so many, raise the soft limit: ulimit -n %d is allowed without privileges (the hard limit).", hard)
	case hard == soft:
		return fmt.Sprintf("The hard limit is %d as well: more needs privileges (LimitNOFILE=, --ulimit nofile=).", hard)
	}
	return fmt.Sprintf("If it needs more than %d, raise the limit (ulimit -n, LimitNOFILE=).", soft)
}

// endWords says how the culprit ended, for the end of a sentence: "exited with code 1".
func (v *View) endWords() string {
	switch {
	case v.Signal != 0 && v.How == endAbort:
		return "aborted itself (SIGABRT)"
	case v.Signal != 0 && v.How == endFault:
		return "crashed (" + v.Signal.String() + ")"
	case v.Signal != 0:
		return "died of " + v.Signal.String()
	}
	return fmt.Sprintf("exited with code %d", v.Code)
}

// deathAt gives the observations of the end itself.
func (v *View) deathAt() []int {
	var out []int
	for _, i := range []int{v.faultAt, v.fatalAt, v.exitAt} {
		if i >= 0 {
			out = append(out, i)
		}
	}
	return out
}

// full says whether the culprit's table had no room left at its end, or almost none.
func (v *View) full() bool {
	t := v.table()
	return t != nil && t.SoftLimit > 0 && t.Open >= t.SoftLimit-2
}

func absentFDLimit(v *View) string {
	if !v.Case.Covered("probe/syscall") || v.Case.Counters[evidence.CountFDRefused] != 0 || v.PID == 0 {
		return ""
	}
	for range ofPID[*evidence.FDRefused](v, 0) {
		return ""
	}
	if l, _ := v.lastOfEnder(matchesEMFILE); l != nil {
		return ""
	}
	s := "0 refused"
	if v.full() {
		return "" // what comes in a message and finds no room is dropped, and no call fails
	}
	if t := v.table(); t != nil && t.SoftLimit > 0 {
		s += fmt.Sprintf(", %d of %d open at death", t.Open, t.SoftLimit)
		if t.Highest >= 0 {
			s += fmt.Sprintf(", highest %d", t.Highest)
		}
	}
	return s
}
