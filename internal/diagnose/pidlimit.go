package diagnose

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

var pidLimit = Cause{
	ID:    "pid-limit",
	Title: "No process or thread could be made",
	Why: "fork() and clone() were refused with EAGAIN: the user has as many processes and threads as it may have (RLIMIT_NPROC, ulimit -u; it counts all of the user's, in whatever container), " +
		"the cgroup has (pids.max of a container, TasksMax= of a systemd unit), or the machine (kernel.threads-max, kernel.pid_max). Threads count as processes do. Zombies that nobody waits for count, too.",
	Seen: "The refused fork or clone, with the limit and the count as the kernel had them at that moment. Certain: the program's last words name it, or it is the last call that failed in the thread that ended the process, at once before its end and without another word. " +
		"Likely: it was the last that failed and the words are of something else, or another thread met it shortly before the end; or, where system calls were not watched, its last words are of it and its cgroup has counted refused forks. A fork that was refused and then went well is no death. " +
		"Likely, as a warning while it lives: the cgroup's tasks grow, and a forecast says when pids.max is reached.",
	Advice:   "See what makes so many processes or threads (ps -eLf, by user or cgroup): a pool without a bound, children that are not waited for. If so many are needed, raise the limit.",
	Rule:     rulePidLimit,
	Absent:   absentPidLimit,
	Explains: []string{"uncaught-error", "assertion", "invalid-access", "start-failure"},
}

func isSpawnRefused(c *evidence.FailedCall) bool {
	return c.Errno == evidence.EAGAIN && evidence.Spawns(c.Call)
}

func rulePidLimit(v *View) *evidence.Finding {
	if h, at := v.forecast(evidence.LimitPids); h != nil {
		return v.tasksWarning(h, at)
	}
	s, last := v.refusedLimit(func(r *evidence.LimitRefused) bool { return r.Spawn() && r.Errno == evidence.EAGAIN })
	l := v.link(tasks, isSpawnRefused, threadWords, s)
	if l.conf == "" {
		if f := v.startedRefused(); f != nil {
			return f
		}
		return v.pidLimitUnseen()
	}
	if l.said && v.How == endError && v.text.final == nil && v.lastLineOfElse() {
		return nil // a warning on the way
	}
	if last == nil && l.call == nil {
		return nil
	}
	if l.conf == evidence.Possible && l.call != nil && l.call.Count >= 10 {
		l.conf = evidence.Likely // it tried again and again, and gave up
	}
	call := ""
	if last != nil {
		call = last.Call
	}
	if l.call != nil {
		call = l.call.Call
	}
	what, title := "a process or thread", "running out of processes and threads"
	sum := fmt.Sprintf("It was refused %s", what)
	if s.count > 1 {
		sum += " " + times(s.count)
	}
	advice := ""
	if last != nil {
		if w := limitWords(last); w != "" {
			sum += ": " + w
		}
		advice = pidAdvice(last)
	}
	sum += fmt.Sprintf(". %s() failed with EAGAIN %s before it %s.", plain(call, 20), span(l.gap), v.endWords())
	return &evidence.Finding{Confidence: l.conf, Title: title, Summary: sum, Evidence: append(l.evidence, v.deathAt()...), Advice: advice}
}

// lastLineOfElse says whether the very last line is of something else than that something could not be had.
func (v *View) lastLineOfElse() bool {
	s := v.text.lastLine()
	return !mentions(s, threadWords...) && !wanted.MatchString(s) && !consequence.MatchString(s) && !failing.MatchString(s) && !followUp.MatchString(s)
}

// startedRefused is a process that it had started, which was refused one and failed for it, as its last words say.
func (v *View) startedRefused() *evidence.Finding {
	how, _ := v.tells(func(line string) bool { return mentions(line, threadWords...) || cannotFork.MatchString(line) })
	if how == toldNot || v.asked >= 0 || v.How != endError && v.How != endAbort {
		return nil
	}
	at := -1
	var last *evidence.LimitRefused
	for i, r := range ofPID[*evidence.LimitRefused](v, 0) {
		if o := &v.Case.Timeline[i]; r.Spawn() && r.Errno == evidence.EAGAIN && v.failedChild(o.PID) && v.End-o.BootNanos >= 0 && v.End-o.BootNanos < window {
			at, last = i, r
		}
	}
	if last == nil {
		return nil
	}
	o := &v.Case.Timeline[at]
	sum := fmt.Sprintf("In %s (pid %d), which it had started and which failed: a process or thread was refused", plain(o.Comm, 40), o.PID)
	if w := limitWords(last); w != "" {
		sum += ": " + w
	}
	sum += fmt.Sprintf(". %s() failed with EAGAIN %s before it %s.", plain(last.Call, 20), span(v.End-o.BootNanos), v.endWords())
	return &evidence.Finding{Confidence: evidence.Likely, Title: "running out of processes and threads", Summary: sum, Evidence: append(v.deathAt(), at), Advice: pidAdvice(last)}
}

// cannotFork is what shells say.
var cannotFork = newPattern(`(?i)\b(cannot fork|can't fork|fork: )`)

func pidAdvice(r *evidence.LimitRefused) string {
	switch r.Limit {
	case evidence.LimitProcesses:
		return fmt.Sprintf("See what user %d runs (ps -eLf); the count is over all its programs and containers. If they are all needed, raise the limit (ulimit -u, LimitNPROC=, nproc in limits.conf), or run this under a user of its own.", r.UID)
	case evidence.LimitPids:
		return "See what runs in that cgroup (its cgroup.threads): a pool without a bound, children that are not waited for. If they are all needed, raise the limit (--pids-limit, TasksMax=, podPidsLimit of the kubelet)."
	case evidence.LimitThreadsMax, evidence.LimitPidMax:
		return fmt.Sprintf("See which program of the machine has so many (ps -eLf); raise %s if they are all needed.", r.Limit)
	}
	return ""
}

func absentPidLimit(v *View) string {
	if !v.dead() || !v.Case.Covered("probe/syscall") || v.Case.Counters[evidence.CountForksRefused] != 0 {
		return ""
	}
	for _, r := range ofPID[*evidence.LimitRefused](v, 0) {
		if r.Spawn() {
			return ""
		}
	}
	if c, _ := v.lastOfEnder(isSpawnRefused); c != nil {
		return ""
	}
	s := "no fork refused"
	if g := v.cgroup(); g != nil && g.PidsMax > 0 {
		s += fmt.Sprintf(", %d of %d tasks in its cgroup", g.Pids, g.PidsMax)
	}
	return s
}
