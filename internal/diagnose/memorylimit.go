package diagnose

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

var memoryLimit = Cause{
	ID:    "memory-limit",
	Title: "Killed for memory",
	Why: "When a container (its cgroup) reaches its memory limit and nothing can be given back, the kernel's OOM killer kills a process of it with SIGKILL, or all of them (memory.oom.group). " +
		"The limit may be that of a cgroup above its own: a pod, a slice. The program gets no chance to say anything.",
	Seen: "The kernel chose the process as an OOM victim and it died of SIGKILL: certain. Whose limit it was is told by the cgroups above the victim at that moment; where none was at its limit it is node-memory. " +
		"Likely, as a warning while it lives: the cgroup's memory without page cache grows, and a forecast says when the limit is reached.",
	Advice:   "Compare what it needs at its peak with its limit (memory.max of its cgroup); raise the limit, or bound its caches and heap (-Xmx, GOMEMLIMIT, --max-old-space-size).",
	Rule:     ruleMemoryLimit,
	Absent:   absentMemoryLimit,
	Swallows: []string{"killed", "shutdown-timeout"},
	Explains: []string{"broken-pipe", "uncaught-error"},
}

func ruleMemoryLimit(v *View) *evidence.Finding {
	if h, at := v.forecast(evidence.LimitMemory); h != nil {
		return v.memoryWarning(h, at)
	}
	f, at := v.oomKill()
	if f == nil {
		return nil
	}
	var o *evidence.OOM
	if at >= 0 {
		o = v.Case.Timeline[at].Detail.(*evidence.OOM)
	}
	switch {
	case o != nil && o.GlobalKnown && o.Global:
		return nil // node-memory
	case o != nil && o.Max > 0:
		whose := "its cgroup"
		if o.Cgroup != "" {
			whose += " " + plain(o.Cgroup, 80)
		}
		if o.Above > 0 {
			whose = "the cgroup " + plain(o.Cgroup, 80) + " above its own"
		}
		f.Summary += fmt.Sprintf(" The memory limit of %s is %s, and %s of it were used up.", whose, bytesOf(o.Max), bytesOf(o.Used))
		f.Title = "its memory limit of " + bytesOf(o.Max)
		if o.Above > 0 {
			f.Title = fmt.Sprintf("the memory limit of %s of a cgroup above its own", bytesOf(o.Max))
		}
		if rss := v.rssAtOOM(o); rss > 0 && rss*2 < o.Max {
			f.Summary += " The rest was of other processes in it, of files in a tmpfs, or of the kernel on their behalf."
		}
	case o != nil && o.GlobalKnown:
		f.Summary += " Its cgroup had reached its memory limit."
	}
	if g := v.cgroup(); g != nil && g.Max > 0 && (o == nil || o.Max == 0) {
		f.Summary += fmt.Sprintf(" The limit of its cgroup is %s.", bytesOf(g.Max))
	}
	return f
}

// oomKill is an end that the OOM killer brought about: of the culprit, or of a child that the culprit
// ended for. at is the kernel's choice, -1 where only the runtime tells of it.
func (v *View) oomKill() (f *evidence.Finding, at int) {
	const title = "the kernel's OOM killer"
	if v.How == endOOM {
		at := v.oomAt()
		sum, conf := "The kernel's OOM killer killed it (SIGKILL).", evidence.Certain
		if at < 0 {
			conf = evidence.Likely // the runtime says so; the kernel's choice was not seen
			sum = "It was killed for memory (SIGKILL), as the runtime says."
		}
		var o *evidence.OOM
		if at >= 0 {
			o = v.Case.Timeline[at].Detail.(*evidence.OOM)
		}
		if rss := v.rssAtOOM(o); rss > 0 {
			sum += fmt.Sprintf(" It had %s in memory.", bytesOf(rss))
		}
		return &evidence.Finding{Confidence: conf, Title: title, Summary: sum, Evidence: append(v.deathAt(), at)}, at
	}
	if v.How != endError {
		return nil, -1
	}
	// A child was chosen and the parent ended for it.
	for i := range ofPID[*evidence.OOM](v, 0) {
		o := &v.Case.Timeline[i]
		if gap := v.End - o.BootNanos; o.PID != v.PID && gap >= 0 && gap < soon && v.parentOf(o.PID) == v.PID {
			return &evidence.Finding{Confidence: evidence.Likely, Title: title,
				Summary:  fmt.Sprintf("The kernel's OOM killer killed its child %s (pid %d), and %s later it %s.", plain(o.Comm, 20), o.PID, span(gap), v.endWords()),
				Evidence: append(v.deathAt(), i)}, i
		}
	}
	return nil, -1
}

// rssAtOOM is what the culprit had in memory at its most, as far as that was seen.
func (v *View) rssAtOOM(o *evidence.OOM) (rss int64) {
	if v.How != endOOM {
		if o != nil {
			rss = o.RSSBytes
		}
		return rss
	}
	if v.Case.Death != nil && len(v.Passed) == 0 {
		rss = v.Case.Death.MaxRSSBytes
	}
	if v.Exit != nil {
		rss = max(rss, v.Exit.MaxRSSBytes)
	}
	if o != nil {
		rss = max(rss, o.RSSBytes)
	}
	return rss
}

// cgroup is the last sample of the culprit's cgroup, or of another of the tree with a limit.
func (v *View) cgroup() (out *evidence.Cgroup) {
	own := false
	for i, g := range ofPID[*evidence.Cgroup](v, 0) {
		is := v.Case.Timeline[i].PID == v.PID
		if out == nil || is || !own && (g.Max > 0 || g.PidsMax > 0) {
			out, own = g, own || is
		}
	}
	return out
}

func (v *View) parentOf(pid int32) int32 {
	for _, e := range ofPID[*evidence.Exit](v, pid) {
		if e.Parent != 0 {
			return e.Parent
		}
	}
	for i, f := range ofPID[*evidence.Fork](v, 0) {
		if f.Child == pid {
			return v.Case.Timeline[i].PID
		}
	}
	return 0
}

func absentMemoryLimit(v *View) string {
	if !v.dead() || !v.Case.Covered("probe/oom") || v.Case.Counters[evidence.CountOOM] != 0 || v.Case.Death.OOMKilled {
		return ""
	}
	for range ofPID[*evidence.OOM](v, 0) {
		return ""
	}
	s := "no OOM kill"
	if g := v.cgroup(); g != nil && g.Max > 0 {
		most := max(g.Current, g.Peak)
		return s + fmt.Sprintf(", its cgroup held %d%% of %s at its peak", min(100, most*100/g.Max), bytesOf(g.Max))
	}
	if v.Exit != nil && v.Exit.MaxRSSBytes > 0 {
		s += fmt.Sprintf(", %s in memory at most", bytesOf(v.Exit.MaxRSSBytes))
	}
	return s
}
