package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// Where failed system calls were not watched, as in the first life of a container, there are the program's own words and
// what the kernel, or descry right afterwards, found it to have. Both together make a cause likely: neither does alone.

// unwatched says whether the failed calls of its last seconds were not watched, and it ended by itself.
func (v *View) unwatched() bool {
	for _, c := range v.Case.Coverage {
		if c.Source == "probe/syscall" && c.Missing == "" && (c.Partial == "" || v.watchedLast(&c)) {
			return false
		}
	}
	return v.asked < 0 && (v.How == endError || v.How == endAbort) && len(v.threads) == 0
}

// notWatched ends what is judged so.
const notWatched = "Failed system calls were not watched."

// itSays begins with the program's words.
func itSays(line string) string { return "It says " + quoteLine(strings.TrimPrefix(line, ": ")) + "." }

// fullUnseen is a program that ended in error with every descriptor in use that it may have, and said nothing of another matter.
func (v *View) fullUnseen() *evidence.Finding {
	if !v.unwatched() || !v.heard() || v.Exit == nil || v.Exit.FDs == nil {
		return nil
	}
	t := v.Exit.FDs
	if t.SoftLimit <= 0 || t.Open < t.SoftLimit || t.Partial != "" {
		return nil
	}
	word := v.names(errnoWords[evidence.EMFILE])
	if said := v.text.said(); word == saysOther || v.text.final != nil && word != saysIt || said != "" && word != saysIt && !consequence.MatchString(said) {
		return nil
	}
	sum := fmt.Sprintf("When it %s, all %d descriptors that it may have were in use.", v.endWords(), t.SoftLimit)
	group, of := v.dominant()
	if group != nil {
		sum = sentences(sum, groupWords(group, of)+".")
	}
	soft, hard, _ := v.limits(nil)
	return &evidence.Finding{Confidence: evidence.Likely, Title: "running out of file descriptors", Summary: sentences(sum, notWatched),
		Evidence: v.deathAt(), Advice: sentences(groupAdvice(group), raise(soft, hard))}
}

// pidLimitUnseen is a program that says that it got no process or thread, in a cgroup that was refused some.
func (v *View) pidLimitUnseen() *evidence.Finding {
	if !v.unwatched() {
		return nil
	}
	how, line := v.tells(func(s string) bool { return mentions(s, threadWords...) || cannotFork.MatchString(s) })
	if how != toldLast {
		return nil
	}
	var last *evidence.Cgroup
	at, before := -1, int64(0)
	for i, g := range of[*evidence.Cgroup](v) {
		if v.End-v.boot(i) > window { // what was refused by then is another matter
			before = g.PidsHits
		}
		last, at = g, i
	}
	if last == nil || last.PidsHits <= before || last.PidsMax <= 0 {
		return nil
	}
	return &evidence.Finding{Confidence: evidence.Likely, Title: "running out of processes and threads", Evidence: append(v.deathAt(), at),
		Summary: sentences(itSays(line), fmt.Sprintf("Its cgroup may have %d processes and threads (pids.max), and was refused more %s.", last.PidsMax, times(last.PidsHits-before)), notWatched),
		Advice:  pidAdvice(&evidence.LimitRefused{Limit: evidence.LimitPids})}
}

// inotifyFull says whether its user had all the inotify instances that it may have.
func (v *View) inotifyFull() bool {
	e := v.atEnd()
	return e != nil && e.InotifyMax > 0 && e.Inotify >= e.InotifyMax
}

// atEnd is what the kernel knew of the culprit at its end, nil where that is not known.
func (v *View) atEnd() *evidence.AtEnd {
	if v.Exit == nil {
		return nil
	}
	return v.Exit.AtEnd
}

// inotifyUnseen is a program that says that too much is open, or speaks of watching, with descriptors to spare, whose user has no
// inotify instance left.
func (v *View) inotifyUnseen() *evidence.Finding {
	if !v.unwatched() || !v.inotifyFull() || v.full() {
		return nil
	}
	words := slices.Concat(errnoWords[evidence.EMFILE], []string{"inotify", "watcher"})
	how, line := v.tells(func(s string) bool { return mentions(s, words...) })
	if how != toldLast {
		return nil
	}
	e := v.atEnd()
	sum := fmt.Sprintf("Its user had %d of the %d inotify instances that all its processes together may have (fs.inotify.max_user_instances).", e.Inotify, e.InotifyMax)
	if t := v.Exit.FDs; t != nil && t.SoftLimit > 0 {
		sum = sentences(sum, fmt.Sprintf("Descriptors were free: %d of %d open.", t.Open, t.SoftLimit))
	}
	return &evidence.Finding{Confidence: evidence.Likely, Title: "running out of inotify instances", Evidence: v.deathAt(),
		Summary: sentences(itSays(line), sum, notWatched),
		Advice:  "Raise fs.inotify.max_user_instances on the machine (sysctl -w fs.inotify.max_user_instances=…), or watch fewer files. A higher nofile limit does not help."}
}

// mappingUnseen is a program that says that it got no memory, and had as good as all of its limit of address space.
func (v *View) mappingUnseen() *evidence.Finding {
	e := v.atEnd()
	if !v.unwatched() || e == nil || e.AddressLimit <= 0 || e.AddressPeak <= 0 || e.AddressPeak < e.AddressLimit/10*9 || v.ownLimit() {
		return nil
	}
	how, line := v.tells(func(s string) bool { return mentions(s, memoryWords...) || mentions(s, "MemoryError", "bad_alloc") })
	if how != toldLast {
		return nil
	}
	return &evidence.Finding{Confidence: evidence.Likely, Title: "its limit of address space", Evidence: v.deathAt(),
		Summary: sentences(itSays(line), fmt.Sprintf("Its limit of address space (RLIMIT_AS) was %s, and it had %s of that at most.", bytesOf(e.AddressLimit), bytesOf(e.AddressPeak)), notWatched),
		Advice:  mappingAdvice(&evidence.LimitRefused{Limit: evidence.LimitAddress})}
}

// pipeUnseen is a program that says that a reader was gone, and had a process read from a pipe which had ended.
func (v *View) pipeUnseen() *evidence.Finding {
	if !v.unseen(evidence.EPIPE) || v.onPipe(v.Exit, 0) {
		return nil
	}
	at := -1
	for i, e := range ofPID[*evidence.Exit](v, 0) {
		o := &v.Case.Timeline[i]
		if e.Parent == v.PID && o.PID != v.PID && o.BootNanos <= v.End && v.End-o.BootNanos < window && v.onPipe(e, 0) {
			at = i
		}
	}
	if at < 0 {
		return nil
	}
	o := &v.Case.Timeline[at]
	e := o.Detail.(*evidence.Exit)
	how := fmt.Sprintf("exited with code %d", e.ExitCode)
	if e.Signal != 0 {
		how = "died of " + e.Signal.String()
	}
	return &evidence.Finding{Confidence: evidence.Likely, Title: "a broken pipe", Evidence: append(v.deathAt(), at),
		Summary: sentences(itSays(v.text.final.typ+": "+v.text.final.msg), fmt.Sprintf("%s (pid %d), which it had started with a pipe to read from, %s %s before it %s.", plain(o.Comm, 40), o.PID, how, span(v.End-o.BootNanos), v.endWords()), notWatched)}
}

// onPipe says whether a descriptor of a process was a pipe at its end.
func (v *View) onPipe(e *evidence.Exit, fd int32) bool {
	if e == nil || e.FDs == nil {
		return false
	}
	return slices.ContainsFunc(e.FDs.Groups, func(g evidence.FDGroup) bool { return g.Kind == evidence.FDPipe && g.Lowest == fd })
}
