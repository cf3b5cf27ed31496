package report

import (
	"fmt"
	"math"
	"path"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// Headline is the answer in one line: "cart died of a select() overflow (certain)". It is clean and
// not bounded in width.
func Headline(c *evidence.Case) string {
	name := subject(c)
	if c.Kind == evidence.CaseChildDeath && c.Death != nil {
		child := "a process"
		if c.Death.Comm != "" {
			child = clean(c.Death.Comm)
		}
		name = fmt.Sprintf("%s, a child of %s,", child, name)
		if c.Death.PID != 0 {
			name = fmt.Sprintf("%s (pid %d), a child of %s,", child, c.Death.PID, subject(c))
		}
	}
	if len(c.Findings) == 0 {
		switch d := c.Death; {
		case d == nil:
			return name + ": no end is recorded, and nothing that explains one"
		case d.Signal != 0:
			return fmt.Sprintf("%s died of %s, unexplained", name, d.Signal)
		case d.ExitCode == 0:
			return name + " ended with exit code 0"
		default:
			return fmt.Sprintf("%s exited with code %d, unexplained", name, d.ExitCode)
		}
	}
	f := &c.Findings[0]
	title := clean(f.Title)
	if title == "" {
		title = clean(f.Cause)
	}
	sure := ""
	if f.Confidence != "" {
		sure = " (" + clean(string(f.Confidence)) + ")"
	}
	switch {
	case c.Death == nil && !c.WithdrawnAt.IsZero():
		return name + " had " + title + sure + ", and no longer has"
	case c.Death == nil:
		return name + " has " + title + sure
	case f.Cause == "finished" && len(c.Symptoms) > 0 && c.Symptoms[0].Kind == "garbled-output":
		return name + " ended with exit code 0, but its output turned to garbage"
	case f.Cause == "finished":
		return name + " ended with exit code 0"
	case f.Cause == "exit-error":
		return fmt.Sprintf("%s exited with code %d; nothing seen says why", name, c.Death.ExitCode)
	case f.Cause == "start-failure" && c.Death.NotStarted:
		if len(c.Subject.Command) > 0 {
			name = middle(clean(c.Subject.Command[0]), 60)
		}
		return name + " could not be started" + sure
	case f.Cause == "killed":
		return name + " was ended by " + title + sure
	case f.Cause == "memory-limit":
		return name + " was killed by " + title + sure
	}
	return name + " died of " + title + sure
}

// subject names whose case it is.
func subject(c *evidence.Case) string {
	s := &c.Subject
	switch {
	case s.Pod != "":
		name := s.Pod
		if s.Namespace != "" {
			name = s.Namespace + "/" + name
		}
		if s.Container != "" {
			name += " (" + s.Container + ")"
		}
		return middle(clean(name), 80)
	case s.Unit != "":
		return middle(clean(path.Base(s.Unit)), 80)
	case len(s.Command) > 0 && s.Command[0] != "":
		return middle(clean(c.Program()), 40) + inContainer(s)
	case s.ContainerID != "":
		return "a program" + inContainer(s)
	case c.Death != nil && c.Death.Comm != "":
		return clean(c.Death.Comm)
	}
	return "the program"
}

// inContainer names a container that nobody has told the name of.
func inContainer(s *evidence.Subject) string {
	switch {
	case s.ContainerID == "":
		return ""
	case s.Container != "":
		return " in container " + middle(clean(s.Container), 40)
	}
	return " in container " + clean(s.ContainerID[:min(12, len(s.ContainerID))])
}

// aboutSubject is what is told of a subject of a node: where it ran, what of, and how often it was restarted.
func aboutSubject(c *evidence.Case) string {
	s := &c.Subject
	if s.ContainerID == "" && s.Unit == "" && s.Pod == "" {
		return ""
	}
	var out []string
	put := func(form, v string) {
		if v != "" {
			out = append(out, fmt.Sprintf(form, middle(clean(v), 80)))
		}
	}
	pod := s.Pod
	if pod != "" && s.Namespace != "" {
		pod = s.Namespace + "/" + pod
	}
	kind := "container %s"
	if s.Init {
		kind = "init container %s"
	}
	put("unit %s", s.Unit)
	put("pod %s", pod)
	if pod == "" {
		put("pod %s", s.PodUID)
	}
	put(kind, strings.TrimSpace(s.Container+" "+s.ContainerID[:min(12, len(s.ContainerID))]))
	put("image %s", s.Image)
	put("node %s", s.Node)
	if len(s.Command) > 0 {
		put("command %s", strings.Join(s.Command, " "))
	}
	if s.RestartCount > 0 {
		out = append(out, "restarted "+times(s.RestartCount)+" before")
	}
	return strings.Join(out, ", ")
}

// sinceOpened says what came after the case was opened.
func sinceOpened(c *evidence.Case) string {
	var out []string
	if !c.WithdrawnAt.IsZero() {
		out = append(out, "The warning no longer holds since "+c.WithdrawnAt.UTC().Format("15:04:05 MST")+".")
	}
	if c.More != nil && c.More.Count > 0 {
		what := "deaths"
		if c.Kind == evidence.CaseWarning {
			what = "warnings"
		}
		out = append(out, fmt.Sprintf("It had %d more such %s, the last at %s, which have no case of their own.", c.More.Count, what, c.More.LastAt.UTC().Format("2006-01-02 15:04:05 MST")))
	}
	return strings.Join(out, " ")
}

// Warning is the one line on standard error while a program runs. softLimit is RLIMIT_NOFILE of
// the process, 0 where not known.
func Warning(h *evidence.Headroom, softLimit int64) string {
	if what, ok := bounded[h.Limit]; ok {
		s := "descry: " + what.grow(h) + ": full"
		if h.Seconds > 0 {
			s += " in about " + about(h.Seconds)
		}
		return s + what.most(h)
	}
	s := fmt.Sprintf("descry: descriptors grow %s, %d of %d", rate(h.PerSecond), h.Open, h.Max)
	if h.Limit == "fd_setsize" {
		s = fmt.Sprintf("descry: descriptors grow %s, %d", rate(h.PerSecond), h.Open)
		if softLimit > 0 {
			s += fmt.Sprintf(" of %d", softLimit)
		}
		s += fmt.Sprintf("; this program uses select(), which overflows at %d", h.Max)
		if h.Seconds <= 0 {
			s += ": it is there"
		}
	}
	switch {
	case h.Seconds > 0 && h.Limit == "fd_setsize":
		s += ": in about " + about(h.Seconds)
	case h.Seconds > 0:
		s += ": full in about " + about(h.Seconds)
	case h.Limit != "fd_setsize":
		s += ": full"
	}
	if h.Group != nil {
		s += " (" + group(h.Group) + ")"
	}
	return s
}

// Withdrawn is the line that takes a warning back.
func Withdrawn(h *evidence.Headroom) string {
	if what, ok := bounded[h.Limit]; ok {
		return fmt.Sprintf("descry: %s no longer %s: %s of %s", what.name, what.verb, what.value(h.Open), what.value(h.Max))
	}
	if h.Limit == "fd_setsize" {
		return fmt.Sprintf("descry: descriptors no longer grow: highest %d; select() overflows at %d", h.Open, h.Max)
	}
	return fmt.Sprintf("descry: descriptors no longer grow: %d of %d", h.Open, h.Max)
}

// bounded are the limits of a forecast that are not of descriptors, by what they bound.
var bounded = map[string]boundedBy{
	evidence.LimitPids:     {"its cgroup's tasks", "grow", false},
	evidence.LimitMemory:   {"its cgroup's memory", "grows", true},
	evidence.LimitMappings: {"its mappings", "grow", false},
	evidence.LimitFileMax:  {"open files of the machine", "grow", false},
}

type boundedBy struct {
	name, verb string
	bytes      bool
}

func (b boundedBy) value(n int64) string {
	if b.bytes {
		return bytesOf(n)
	}
	return fmt.Sprint(n)
}

// most is who holds most: " (most: python3, pid 12, has 104 MiB)".
func (b boundedBy) most(h *evidence.Headroom) string {
	if len(h.Most) == 0 {
		return ""
	}
	s := &h.Most[0]
	who := fmt.Sprintf("pid %d", s.PID)
	if s.PID == 0 {
		who = fmt.Sprintf("%d processes", s.Processes)
	}
	return fmt.Sprintf(" (most: %s, %s, has %s)", middle(clean(s.Name), 60), who, b.value(s.Value))
}

// grow is "its cgroup's tasks grow 0.2/s, 250 of 300".
func (b boundedBy) grow(h *evidence.Headroom) string {
	by := rate(h.PerSecond)
	if b.bytes {
		by = bytesOf(int64(min(max(h.PerSecond, 0), 1e18))) + "/s"
	}
	return fmt.Sprintf("%s %s %s, %s of %s", b.name, b.verb, by, b.value(h.Open), b.value(h.Max))
}

// Safe makes foreign text fit for a terminal, on one line: control characters and what else does
// not show itself are escaped.
func Safe(s string) string { return clean(s) }

// group says what a group of descriptors holds: "tcp CLOSE_WAIT to 10.0.3.7:5432".
func group(g *evidence.FDGroup) string {
	s := string(g.Kind)
	if g.State != "" {
		s += " " + g.State
	}
	switch {
	case g.Peer != "":
		s += " to " + g.Peer
	case g.Local != "":
		s += " on " + g.Local
	case g.Path != "":
		s += " " + g.Path
	}
	return middle(clean(s), 120)
}

// rate is "0.5/s", "30/min" where a second is too short.
func rate(perSecond float64) string {
	switch {
	case math.IsNaN(perSecond) || math.IsInf(perSecond, 0):
		return "fast"
	case perSecond >= 10:
		return fmt.Sprintf("%.0f/s", perSecond)
	case perSecond >= 0.1:
		return fmt.Sprintf("%.1f/s", perSecond)
	}
	return fmt.Sprintf("%.1f/min", perSecond*60)
}

// about is a forecast's time, no more exact than it is.
func about(seconds float64) string {
	switch {
	case math.IsNaN(seconds) || seconds > 3e8:
		return "years"
	case seconds < 1:
		return "1 s"
	case seconds < 100:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds < 100*60:
		return fmt.Sprintf("%.0f min", seconds/60)
	case seconds < 48*3600:
		return fmt.Sprintf("%.0f h", seconds/3600)
	}
	return fmt.Sprintf("%.0f days", seconds/86400)
}

// relative is a time before the end: "-20m", "-2m12s", "-2.1s", "-0.9ms", "0s".
func relative(ns int64) string {
	sign := "-"
	if ns < 0 { // behind the end
		sign, ns = "+", -ns
		if ns < 0 {
			return "?"
		}
	}
	switch s := ns / 1e9; {
	case ns < 50_000:
		return "0s"
	case ns < 10e6:
		return fmt.Sprintf("%s%.1fms", sign, float64(ns)/1e6)
	case ns < 1e9:
		return fmt.Sprintf("%s%dms", sign, ns/1e6)
	case s < 60:
		return fmt.Sprintf("%s%.1fs", sign, float64(ns)/1e9)
	case s < 600:
		return fmt.Sprintf("%s%dm%02ds", sign, s/60, s%60)
	case s < 3600:
		return fmt.Sprintf("%s%dm", sign, s/60)
	case s < 48*3600:
		return fmt.Sprintf("%s%dh%02dm", sign, s/3600, s%3600/60)
	default:
		return fmt.Sprintf("%s%dd%dh", sign, s/86400, s%86400/3600)
	}
}

// sourceName is what made an observation, for people.
func sourceName(s evidence.Source) string {
	switch s {
	case evidence.SourceSample:
		return "sweep"
	case "":
		return ""
	}
	return clean(string(s))
}

// causeNames are the causes in words, for what is ruled out.
var causeNames = map[string]string{
	"fd-limit": "descriptor limit", "system-fd-limit": "the machine's file table", "inotify-limit": "inotify limits",
	"fd-leak": "descriptor leak", "select-overflow": "select() overflow", "stdio-replaced": "standard streams",
	"address-in-use": "address in use", "port-exhaustion": "local ports", "memory-limit": "memory", "output-stalled": "stalled output",
	"dns-failure": "DNS", "connect-failure": "failed connections", "connection-loss": "lost connections", "disk-full": "disk",
	"receive-overflow": "receive buffers", "accept-overflow": "accept queues", "send-stalled": "send queues", "socket-memory": "memory for sockets",
	"mapping-limit": "mappings", "node-memory": "the machine's memory", "pid-limit": "processes", "permission": "permissions", "file-missing": "missing files", "file-truncated": "truncated files", "resource-signal": "CPU time and file size",
}

// watched are the sources of coverage in words.
var watched = map[string]string{
	"probe/process": "processes", "probe/signal": "signals and their senders", "probe/syscall": "failed system calls", "probe/oom": "OOM kills",
	"recording": "the run's end", "probe": "everything in the kernel", "probe/fork": "new processes", "probe/exit": "how processes end", "probe/sweep": "sweeps in the kernel", "probe/exec": "executed programs", "probe/select": "select()", "probe/stdio": "standard streams", "probe/write": "writes to the output",
	"probe/dns": "names asked of DNS", "probe/drop": "sockets' full buffers", "probe/sockets": "sockets' queues", "probe/socket-end": "sockets' queues at the end", "sample/network": "network counters", "sample/machine": "the machine's memory",
	"probe/container": "how containers begin", "probe/adopt": "containers that ran before",
	"probe/connect": "connections that fail", "probe/tcp": "connections that are lost",
	"sample/cgroup": "what its cgroup holds", "sample": "descriptors over time", "output": "the output",
}

func plural(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func join(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, " ")
}
