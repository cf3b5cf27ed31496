package diagnose

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// refusedLimit gathers the refusals of the culprit that match: when, how many, and the last one that
// tells which limit did it.
func (v *View) refusedLimit(match func(*evidence.LimitRefused) bool) (s seen, last *evidence.LimitRefused) {
	count := map[string]int64{}
	for i, r := range of[*evidence.LimitRefused](v) {
		if !match(r) {
			continue
		}
		s.add(v, i, 0)
		k := r.Call + r.Errno.String()
		count[k] = max(count[k], r.Count, 1)
		if last == nil || r.Limit != "" || last.Limit == "" && r.Max == 0 {
			last = r
		}
	}
	for _, n := range count {
		s.count += n
	}
	if len(s.evidence) > 3 {
		s.evidence = append(s.evidence[:1:1], s.evidence[len(s.evidence)-2:]...)
	}
	return s, last
}

// limitWords says which limit it was, for a sentence after what was refused.
func limitWords(r *evidence.LimitRefused) string {
	where := ""
	if r.Cgroup != "" {
		where = " of its cgroup " + plain(r.Cgroup, 80)
	}
	switch r.Limit {
	case "":
		return ""
	case evidence.LimitProcesses:
		return fmt.Sprintf("user %d may have %d processes and threads (RLIMIT_NPROC), and had %d", r.UID, r.Max, r.Used)
	case evidence.LimitPids:
		return fmt.Sprintf("the limit of processes and threads%s (pids.max) is %d, and there were %d", where, r.Max, r.Used)
	case evidence.LimitThreadsMax, evidence.LimitPidMax:
		return fmt.Sprintf("the whole machine had %d processes and threads, and may have %d (%s)", r.Used, r.Max, r.Limit)
	case evidence.LimitAddress:
		return fmt.Sprintf("its address space is limited to %s (RLIMIT_AS), and %s of it were in use", bytesOf(r.Max), bytesOf(r.Used))
	case evidence.LimitData:
		return fmt.Sprintf("its data is limited to %s (RLIMIT_DATA), and %s were in use", bytesOf(r.Max), bytesOf(r.Used))
	case evidence.LimitLocked:
		return fmt.Sprintf("it may lock %s in memory (RLIMIT_MEMLOCK), and had locked %s", bytesOf(r.Max), bytesOf(r.Used))
	case evidence.LimitMappings:
		return fmt.Sprintf("a process may have %d mappings (vm.max_map_count), and it had %d", r.Max, r.Used)
	case evidence.LimitCommit:
		return fmt.Sprintf("the machine gives out no more than %s (vm.overcommit_memory=2), and %s were given out", bytesOf(r.Max), bytesOf(r.Used))
	case evidence.LimitOvercommit:
		return fmt.Sprintf("the machine has %s with swap, and the kernel does not promise more than that at once (vm.overcommit_memory)", bytesOf(r.Max))
	}
	return fmt.Sprintf("%s is %d, and %d were in use", plain(r.Limit, 40), r.Max, r.Used)
}

// ownLimits are the words of runtimes that have come to a limit of their own, not the kernel's.
func (v *View) ownLimit() bool {
	return containsAny(v.text.said(), "Java heap space", "GC overhead limit", "Requested array size exceeds VM limit", "OutOfMemoryError: Metaspace", "Compressed class space",
		"Direct buffer memory", "direct memory", "heap limit", "Allowed memory size", "invalid array length", "Invalid array length", "Invalid string length", "invalid table size")
}
