package diagnose

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

var nodeMemory = Cause{
	ID:    "node-memory",
	Title: "The machine ran out of memory",
	Why: "When the whole machine has no memory left, the kernel's OOM killer chooses one process of all and kills it with SIGKILL: mostly a large one, by its oom_score. " +
		"The one that is killed need not be the one that took the memory; a container within its limit is killed as well.",
	Seen:     "The kernel chose the process as an OOM victim, no cgroup above it was at its limit at that moment, and it died of SIGKILL: certain.",
	Advice:   "See what takes the machine's memory (the kernel's log has a table of all processes at that moment: dmesg). Give containers memory limits and requests, so that the one that grows is killed; oom_score_adj decides who is chosen first.",
	Rule:     ruleNodeMemory,
	Absent:   absentNodeMemory,
	Swallows: []string{"killed", "shutdown-timeout", "memory-limit"},
	Explains: []string{"broken-pipe", "uncaught-error"},
}

func ruleNodeMemory(v *View) *evidence.Finding {
	f, at := v.oomKill()
	if f == nil || at < 0 {
		return nil
	}
	o := v.Case.Timeline[at].Detail.(*evidence.OOM)
	if !o.GlobalKnown || !o.Global {
		return nil
	}
	f.Title = "the machine running out of memory"
	f.Summary += " No cgroup that it is in was at its limit: the whole machine was out of memory"
	total, least := v.machineMemory()
	if total > 0 {
		f.Summary += fmt.Sprintf(" (it has %s", bytesOf(total))
		if least >= 0 {
			f.Summary += fmt.Sprintf(", and %s were to be had when it was last looked at", bytesOf(least))
		}
		f.Summary += ")"
	}
	f.Summary += "."
	if rss := v.rssAtOOM(o); rss > 0 && total > 0 && rss*4 < total {
		f.Summary += fmt.Sprintf(" It had %s itself: others took the rest.", bytesOf(rss))
	}
	return f
}

// machineMemory is the machine's memory and what was available when it was last sampled, -1 where it was not.
func (v *View) machineMemory() (total, available int64) {
	available = -1
	for _, m := range ofPID[*evidence.Machine](v, 0) {
		if m.MemTotal > 0 {
			total = m.MemTotal
			if !m.Last || available < 0 { // after the kill there is room again
				available = m.MemAvailable
			}
		}
	}
	return total, available
}

func absentNodeMemory(v *View) string {
	if !v.dead() || !v.Case.Covered("probe/oom") || v.Case.Counters[evidence.CountOOM] != 0 || v.Case.Death.OOMKilled {
		return ""
	}
	for range ofPID[*evidence.OOM](v, 0) {
		return ""
	}
	if total, available := v.machineMemory(); total > 0 && available >= 0 {
		return fmt.Sprintf("no OOM kill, %s of the machine's %s to be had", bytesOf(available), bytesOf(total))
	}
	return ""
}
