package diagnose

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

var systemFDLimit = Cause{
	ID:    "system-fd-limit",
	Title: "The machine is out of file handles",
	Why: "All processes of a machine share one number of open files, fs.file-max. Beyond it every open and socket fails with ENFILE, " +
		"\"Too many open files in system\", however few the failing process itself holds.",
	Seen: "The kernel refused the process a descriptor with ENFILE. Certain and likely as for fd-limit. " +
		"Likely, as a warning while the machine still has some: its open files grow, a forecast says when fs.file-max is reached, and this container holds at least half of them.",
	Advice:   "Find the process that holds them (descry top, or the largest /proc/PID/fd) and compare /proc/sys/fs/file-nr with fs.file-max; raise fs.file-max if the machine is that busy.",
	Rule:     ruleSystemFDLimit,
	Absent:   absentSystemFDLimit,
	Explains: []string{"uncaught-error", "assertion", "invalid-access"},
}

func ruleSystemFDLimit(v *View) *evidence.Finding {
	if h, at := v.forecast(evidence.LimitFileMax); h != nil {
		return v.filesWarning(h, at)
	}
	s, last := v.refusals(evidence.ENFILE)
	l := v.link(others, func(c *evidence.FailedCall) bool { return c.Errno == evidence.ENFILE }, errnoWords[evidence.ENFILE], s)
	if l.conf == "" {
		return nil
	}
	call := "A system call"
	if l.call != nil {
		call = plain(l.call.Call, 30)
	} else if last != nil {
		call = plain(last.Call, 30)
	}
	sum := fmt.Sprintf("The machine's table of open files was full: %s failed with ENFILE %s before it %s.", call, span(l.gap), v.endWords())
	if t := v.table(); t != nil && t.Open > 0 && t.SoftLimit > 0 {
		sum += fmt.Sprintf(" It held %d of its own limit of %d.", t.Open, t.SoftLimit)
	}
	return &evidence.Finding{Confidence: l.conf, Title: "the machine running out of file handles", Summary: sum, Evidence: append(l.evidence, v.deathAt()...)}
}

func absentSystemFDLimit(v *View) string {
	if !v.Case.Covered("probe/syscall") || v.Case.Counters[evidence.CountFDRefusedTable] != 0 {
		return ""
	}
	for _, r := range ofPID[*evidence.FDRefused](v, 0) {
		if r.Errno == evidence.ENFILE {
			return ""
		}
	}
	return "0 refused with ENFILE"
}
