package diagnose

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

var inotifyLimit = Cause{
	ID:    "inotify-limit",
	Title: "Out of inotify instances or watches",
	Why: "inotify has limits of its own, per user and not per process: fs.inotify.max_user_instances (often 128) and fs.inotify.max_user_watches. " +
		"All containers that run as the same user share them. inotify_init then fails with EMFILE, which programs report as \"Too many open files\" " +
		"though descriptors are free, and inotify_add_watch with ENOSPC, which they report as \"No space left on device\" though the disk is not full.",
	Seen:     "inotify_init or inotify_add_watch was refused while the process had descriptors to spare. Certain and likely as for fd-limit; likely, too, where system calls were not watched, the last words are of it, and its user had no instance left at its end.",
	Advice:   "Raise fs.inotify.max_user_instances or fs.inotify.max_user_watches on the machine (sysctl), or watch fewer files: descriptors are not the matter, so a higher nofile limit does not help.",
	Rule:     ruleInotifyLimit,
	Absent:   absentInotifyLimit,
	Explains: []string{"uncaught-error", "assertion", "fd-leak"},
}

func ruleInotifyLimit(v *View) *evidence.Finding {
	var s seen
	var last *evidence.InotifyRefused
	words := append([]string{"inotify", "watcher"}, errnoWords[evidence.EMFILE]...)
	for i, r := range of[*evidence.InotifyRefused](v) {
		if r.Errno == evidence.EMFILE && r.SoftLimit > 0 && r.Open >= r.SoftLimit {
			continue // the descriptor table itself
		}
		s.add(v, i, 0)
		s.count = max(s.count, r.Count)
		last = r
	}
	if last == nil {
		return v.inotifyUnseen() // the call alone does not tell which limit it was
	}
	if last.Errno == evidence.ENOSPC {
		words = append([]string{"inotify", "watcher"}, errnoWords[evidence.ENOSPC]...)
	}
	l := v.link(others, func(c *evidence.FailedCall) bool {
		return isInotify(c.Call) && (c.Errno == evidence.EMFILE || c.Errno == evidence.ENOSPC)
	}, words, s)
	if l.conf == "" {
		return nil
	}
	what, limit, n := "inotify instances", "fs.inotify.max_user_instances", last.MaxInstances
	if last.Errno == evidence.ENOSPC {
		what, limit, n = "inotify watches", "fs.inotify.max_user_watches", last.MaxWatches
	}
	sum := fmt.Sprintf("Its user's %s were used up", what)
	if n > 0 {
		sum += fmt.Sprintf(" (%s = %d, shared by all processes of that user)", limit, n)
	}
	sum += fmt.Sprintf(": %s failed with %s %s before it %s.", plain(last.Call, 30), last.Errno, span(l.gap), v.endWords())
	if last.SoftLimit > 0 {
		sum += fmt.Sprintf(" Descriptors were free: %d of %d open.", last.Open, last.SoftLimit)
	}
	advice := fmt.Sprintf("Raise %s on the machine (sysctl -w %s=…), or watch fewer files. A higher nofile limit does not help.", limit, limit)
	return &evidence.Finding{Confidence: l.conf, Title: "running out of " + what, Summary: sum, Evidence: append(l.evidence, v.deathAt()...), Advice: advice}
}

func absentInotifyLimit(v *View) string {
	if !v.Case.Covered("probe/syscall") || v.Case.Counters[evidence.CountInotifyRefused] != 0 {
		return ""
	}
	for range ofPID[*evidence.InotifyRefused](v, 0) {
		return ""
	}
	return "0 refused"
}
