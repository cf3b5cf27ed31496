package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// forecast is the newest forecast of one of limits that a warning is about; nil: the case is no warning of it.
func (v *View) forecast(limits ...string) (h *evidence.Headroom, at int) {
	if v.dead() {
		return nil, -1
	}
	if about := v.Case.Limit; about != "" { // it may hold forecasts of others
		if !slices.Contains(limits, about) {
			return nil, -1
		}
		limits = []string{about}
	}
	at = -1
	for i, x := range of[*evidence.Headroom](v) {
		if slices.Contains(limits, x.Limit) && x.PerSecond > 0 && x.Max > 0 {
			h, at = x, i
		}
	}
	if h != nil && v.Case.Limit == "" && v.End-v.boot(at) > int64(min(max(h.Seconds, h.SecondsHigh)+60, 1e9)*1e9) {
		return nil, -1 // of a recording that goes on: it did not come true
	}
	return h, at
}

func (v *View) memoryWarning(h *evidence.Headroom, at int) *evidence.Finding {
	g, seen := v.groupGrown(at)
	whose := "its cgroup"
	if g != nil && g.LimitPath != "" && g.LimitPath != g.Path {
		whose = "the cgroup " + plain(g.LimitPath, 80) + " above its own"
	}
	sum := fmt.Sprintf("Memory grows %s: %s of the %s that %s may have are in use, page cache not counted. %s the kernel's OOM killer kills one of its processes.",
		bytesRate(h.PerSecond), bytesOf(h.Open), bytesOf(h.Max), whose, whenFull(h))
	sum = sentences(sum, memoryShares(h))
	if all := sumOf(h.Most); len(h.Most) > 0 && len(h.Most) < mostShares && all*2 < h.Open {
		sum += fmt.Sprintf(" All its processes together have %s: the rest is of files in a tmpfs, of shared memory, or of the kernel on their behalf.", bytesOf(all))
	}
	return &evidence.Finding{Confidence: evidence.Likely, Title: "memory growing to its limit of " + bytesOf(h.Max), Summary: sum, Evidence: seen,
		Advice: "See what grows while it still lives (a heap profile of the process, /proc/PID/smaps_rollup, memory.stat of the cgroup). A restart gives back what leaked; a higher limit only makes it die later."}
}

func (v *View) tasksWarning(h *evidence.Headroom, at int) *evidence.Finding {
	g, seen := v.groupGrown(at)
	where := ""
	if g != nil && g.PidsPath != "" {
		where = " of the cgroup " + plain(g.PidsPath, 80)
	}
	sum := fmt.Sprintf("Processes and threads grow %s: %d of %d (pids.max%s). %s fork() and new threads are refused with EAGAIN.", rate(h.PerSecond), h.Open, h.Max, where, whenFull(h))
	sum = sentences(sum, taskShares(h))
	return &evidence.Finding{Confidence: evidence.Likely, Title: fmt.Sprintf("processes and threads growing to their limit of %d", h.Max), Summary: sum, Evidence: seen,
		Advice: "See what does not end (ps -eLf, or a stack dump of the process): a pool without a bound, threads that wait for ever, children that are not waited for. A higher limit (--pids-limit, TasksMax=, podPidsLimit) only makes it fail later."}
}

func (v *View) mappingsWarning(h *evidence.Headroom, at int) *evidence.Finding {
	seen := []int{at}
	if len(v.samples) > 0 {
		seen = append(seen, v.samples[0].at, v.samples[len(v.samples)-1].at)
	}
	sum := fmt.Sprintf("Mappings of %s (pid %d) grow %s: %d of the %d that a process may have (vm.max_map_count). %s mmap() is refused with ENOMEM, and so are new threads and large pieces of malloc().",
		v.processName(h), v.PID, rate(h.PerSecond), h.Open, h.Max, whenFull(h))
	return &evidence.Finding{Confidence: evidence.Likely, Title: fmt.Sprintf("mappings growing to their limit of %d", h.Max), Summary: sum, Evidence: seen,
		Advice: "See what they are (/proc/PID/maps: files mapped again and again, thread stacks, guard pages of an allocator). If so many are needed, raise vm.max_map_count (sysctl -w vm.max_map_count=262144)."}
}

func (v *View) filesWarning(h *evidence.Headroom, at int) *evidence.Finding {
	if len(h.Most) == 0 {
		return nil // whose they are is not known
	}
	part := h.Most[0].Value * 100 / max(h.Open, 1)
	sum := fmt.Sprintf("The machine's open files grow %s: %d of %d (fs.file-max). %s every open and socket on the machine fails with ENFILE. This holds most of them: %d descriptors in %d processes, about %d%%.",
		rate(h.PerSecond), h.Open, h.Max, whenFull(h), h.Most[0].Value, h.Most[0].Processes, min(part, 100))
	var others []string
	for _, s := range largest(h)[1:] {
		others = append(others, fmt.Sprintf("%s has %d", plain(s.Name, 60), s.Value))
	}
	sum = sentences(sum, sentence(others))
	return &evidence.Finding{Confidence: evidence.Likely, Title: fmt.Sprintf("most of the machine's open files, which grow to their limit of %d", h.Max), Summary: sum, Evidence: []int{at}}
}

// groupGrown is the last sample of the cgroup, and what shows its growth: the first and last sample, and the forecast at.
func (v *View) groupGrown(at int) (last *evidence.Cgroup, seen []int) {
	first, newest := -1, -1
	for i, g := range of[*evidence.Cgroup](v) {
		if first < 0 {
			first = i
		}
		last, newest = g, i
	}
	return last, []int{first, newest, at}
}

// processName is what the process of a warning is called.
func (v *View) processName(h *evidence.Headroom) string {
	if len(h.Most) > 0 && h.Most[0].Name != "" {
		return plain(h.Most[0].Name, 40)
	}
	return plain(v.Name, 40)
}

// mostShares are the shares that are told.
const mostShares = 3

func sumOf(all []evidence.Share) (n int64) {
	for _, s := range all {
		n += s.Value
	}
	return n
}

// largest are the shares that are worth telling.
func largest(h *evidence.Headroom) (out []evidence.Share) {
	for i, s := range h.Most {
		if i < mostShares && s.Value*20 >= h.Most[0].Value {
			out = append(out, s)
		}
	}
	return out
}

// memoryShares is "python3 (pid 12) has 104 MiB in memory, with what it shares, sh (pid 9) 8 MiB."
func memoryShares(h *evidence.Headroom) string {
	var out []string
	for i, s := range largest(h) {
		has, in := "", ""
		if i == 0 {
			has, in = "has ", " in memory, with what it shares"
		}
		out = append(out, fmt.Sprintf("%s (pid %d) %s%s%s", plain(s.Name, 40), s.PID, has, bytesOf(s.Value), in))
	}
	return sentence(out)
}

// taskShares is "254 are threads of java (pid 12), 20 are processes called sh."
func taskShares(h *evidence.Headroom) string {
	var out []string
	for _, s := range largest(h) {
		name := plain(s.Name, 40)
		switch {
		case s.Processes > 1 && s.Value > s.Processes:
			out = append(out, fmt.Sprintf("%d are threads of %d processes called %s", s.Value, s.Processes, name))
		case s.Processes > 1:
			out = append(out, fmt.Sprintf("%d are processes called %s", s.Value, name))
		case s.Value > 1:
			out = append(out, fmt.Sprintf("%d are threads of %s (pid %d)", s.Value, name, s.PID))
		default:
			out = append(out, fmt.Sprintf("1 is %s (pid %d)", name, s.PID))
		}
	}
	return sentence(out)
}

func sentence(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + "."
}

// whenFull is "At this rate it is reached in about 5 min (3 min to 9 min), and then", for the beginning of a sentence.
func whenFull(h *evidence.Headroom) string {
	if h.Seconds <= 0 {
		return "It is full: now"
	}
	s := "At this rate that is reached in about " + seconds(h.Seconds)
	if h.SecondsLow > 0 && h.SecondsHigh > h.SecondsLow {
		s += fmt.Sprintf(" (%s to %s)", seconds(h.SecondsLow), seconds(h.SecondsHigh))
	}
	return s + "; then"
}

// seconds is a time of a forecast in words.
func seconds(s float64) string { return span(int64(min(max(s, 0), 1e9) * float64(time.Second))) }

func bytesRate(perSecond float64) string {
	if perSecond < 1024 {
		return bytesOf(int64(perSecond*60)) + "/min"
	}
	return bytesOf(int64(min(perSecond, 1e18))) + "/s"
}
