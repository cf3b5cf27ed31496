package report

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// limitRefused says a refused fork or mapping: "mmap of 477 MiB refused: ENOMEM (RLIMIT_AS: 16 MiB of 286 MiB)".
func limitRefused(d *evidence.LimitRefused) string {
	s := clean(d.Call)
	if d.Asked > 0 {
		s += " of " + bytesOf(d.Asked)
	}
	s += " refused: " + d.Errno.String()
	if d.Count > 1 {
		s += ", " + times(d.Count)
	}
	switch d.Limit {
	case "":
		return s
	case evidence.LimitAddress, evidence.LimitData, evidence.LimitLocked, evidence.LimitCommit:
		s += fmt.Sprintf(" (%s: %s of %s)", clean(d.Limit), bytesOf(d.Used), bytesOf(d.Max))
	default:
		s += fmt.Sprintf(" (%s: %d of %d)", clean(d.Limit), d.Used, d.Max)
	}
	return s
}

func cgroup(d *evidence.Cgroup) string {
	switch {
	case d.Max > 0:
		return fmt.Sprintf("its cgroup holds %s of %s", bytesOf(d.Current), bytesOf(d.Max))
	case d.PidsMax > 0:
		return fmt.Sprintf("its cgroup has %d of %d processes and threads", d.Pids, d.PidsMax)
	case d.Current > 0:
		return "its cgroup holds " + bytesOf(d.Current)
	}
	return ""
}
