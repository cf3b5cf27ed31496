package report

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// row is one line of the story.
type row struct {
	boot   int64
	when   string
	what   string
	source string
	score  int
}

const maxRows = 12

// end is the boot time that the story counts back from.
func end(c *evidence.Case) int64 {
	if c.Death != nil && c.Death.BootNanos != 0 {
		return c.Death.BootNanos
	}
	t := int64(0)
	for i := range c.Timeline {
		t = max(t, c.Timeline[i].BootNanos)
	}
	return t
}

// story picks what tells most: first what the findings cite, then what is decisive, at most
// maxRows, in order of time. Alike observations stand together in one row.
func story(c *evidence.Case) []row {
	cited := map[int]int{}
	for k, f := range c.Findings {
		for _, i := range f.Evidence {
			cited[i] = max(cited[i], 100-10*min(k, 3))
		}
	}
	for _, s := range c.Symptoms {
		for _, i := range s.Evidence {
			cited[i] = max(cited[i], 60)
		}
	}
	fatal := map[int32]bool{}
	for i := range c.Timeline {
		if _, ok := c.Timeline[i].Detail.(*evidence.SignalFatal); ok {
			fatal[c.Timeline[i].PID] = true
		}
	}
	if c.Death != nil && c.Death.NotStarted {
		return nil // all that was seen is the process that was to become it
	}
	var rows []row
	at := map[string]int{} // key of alike ones → row
	for i := range c.Timeline {
		o := &c.Timeline[i]
		if o.Detail == nil {
			continue
		}
		if cited[i] == 0 && besides(c, o) {
			continue
		}
		if t, ok := o.Detail.(*evidence.ThreadFailures); ok {
			rows = append(rows, failures(c, o, t, cited[i])...)
			continue
		}
		if e, ok := o.Detail.(*evidence.Exit); ok && fatal[o.PID] && e.Signal != 0 {
			continue // the signal says it
		}
		what, key, base := describe(o)
		if o.PID != c.Subject.PID && (c.Death == nil || o.PID != c.Death.PID) && everyday(o) {
			base = 0
		}
		if handled(o, fatal) {
			base = 0
		}
		if c.Death == nil && len(c.Findings) == 0 && base == 0 && o.PID == c.Subject.PID {
			base = 1 // all that there is
		}
		score := max(base, cited[i])
		if what == "" || score <= 0 {
			continue
		}
		r := row{boot: o.BootNanos, what: what, source: whoSaw(c, o), score: score}
		pid := o.PID
		if e, ok := o.Detail.(*evidence.Exit); ok && cited[i] == 0 && e.Signal == 0 && pid != c.Subject.PID {
			pid, key = 0, clean(o.Comm)+what // helpers that a script starts again and again
		}
		key = fmt.Sprintf("%d %s %s", pid, o.Kind(), key)
		if k, ok := at[key]; ok && cited[i] == 0 || ok && rows[k].what == what {
			// The latest of alike ones carries the count.
			if rows[k].score < r.score {
				rows[k].score = r.score
			}
			if o.Kind() != evidence.KindProcess {
				rows[k].what = what
			}
			continue
		}
		at[key] = len(rows)
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b row) int { return -cmp.Compare(a.score, b.score) })
	if len(rows) > maxRows {
		rows = rows[:maxRows]
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.boot, b.boot) })
	zero := end(c)
	for i := range rows {
		rows[i].when = relative(zero - rows[i].boot)
	}
	return rows
}

// besides says that an observation which no finding cites is no part of the story: others that
// ended well, and failed calls where the death is explained without them or not theirs.
func besides(c *evidence.Case, o *evidence.Observation) bool {
	main := c.Subject.PID
	if c.Death != nil && c.Death.PID != 0 {
		main = c.Death.PID
	}
	switch d := o.Detail.(type) {
	case *evidence.Exit:
		return o.PID != main && (d.ExitCode == 0 || d.Signal == 0 && told(c))
	case *evidence.Stdio:
		return d.Action == "replaced" || d.Action == "closed" && !missed(c, o, d) // put there on purpose, or nobody wanted it any more
	case *evidence.ConnectFailed:
		return nameCache(d.Peer)
	case *evidence.DNSFailed: // a name without an IPv6 address
		return d.RCode == "NOERROR" && !d.Truncated && told(c)
	case *evidence.ExecFailed: // on the way along PATH
		return d.Path == "" || foundLater(c, o, d) || d.Errno == evidence.ENOENT && !slices.ContainsFunc(c.Timeline, func(later evidence.Observation) bool {
			e, ok := later.Detail.(*evidence.Exit)
			return ok && later.PID == o.PID && (e.ExitCode == 126 || e.ExitCode == 127)
		})
	case *evidence.ThreadFailures:
		return o.PID != main || told(c) || len(c.Findings) > 0 && c.Findings[0].Confidence == evidence.Certain
	}
	return false
}

// nameCache says whether a path is the socket of the C library's name cache, which it tries first always
// and which need not be there.
func nameCache(path string) bool { return strings.HasSuffix(path, "/nscd/socket") }

// missed says whether a standard descriptor that was closed became something else, or was used all the
// same: many programs close theirs on the way out, and shells before they put another there.
func missed(c *evidence.Case, o *evidence.Observation, closed *evidence.Stdio) bool {
	return slices.ContainsFunc(c.Timeline, func(later evidence.Observation) bool {
		if later.PID != o.PID || later.BootNanos < o.BootNanos && later.Detail.Kind() != evidence.KindThreadFailures {
			return false
		}
		switch d := later.Detail.(type) {
		case *evidence.Stdio:
			return d.FD == closed.FD && d.Action == "allocated"
		case *evidence.ThreadFailures:
			return slices.ContainsFunc(d.Calls, func(f evidence.FailedCall) bool {
				return f.Errno == evidence.EBADF && f.FD == closed.FD && f.BootNanos >= o.BootNanos && !strings.HasPrefix(f.Call, "close")
			})
		}
		return false
	})
}

// foundLater says whether a program that could not be executed was found elsewhere along PATH.
func foundLater(c *evidence.Case, o *evidence.Observation, d *evidence.ExecFailed) bool {
	return slices.ContainsFunc(c.Timeline, func(later evidence.Observation) bool {
		e, ok := later.Detail.(*evidence.Exec)
		return ok && later.PID == o.PID && later.BootNanos >= o.BootNanos && path.Base(e.Path) == path.Base(d.Path)
	})
}

// whoSaw is the source of an observation, with the process and thread where they are not the main ones.
func whoSaw(c *evidence.Case, o *evidence.Observation) string {
	s := sourceName(o.Source)
	if o.PID != 0 && o.PID != c.Subject.PID {
		if comm := middle(clean(o.Comm), 15); comm != "" {
			s += fmt.Sprintf(", %s (pid %d)", comm, o.PID)
		} else {
			s += fmt.Sprintf(", pid %d", o.PID)
		}
	}
	if o.TID != 0 && o.TID != o.PID {
		s += fmt.Sprintf(", thread %d", o.TID)
	}
	return s
}

// failures are the last failed calls of a thread, each at its own time: of the ending thread the
// last three, of another only where a finding cites it.
func failures(c *evidence.Case, o *evidence.Observation, t *evidence.ThreadFailures, cited int) []row {
	n := 1
	if t.Ender {
		n = 2
	}
	if cited > 0 {
		n = 3
	}
	if !t.Ender && cited == 0 {
		return nil
	}
	var out []row
	named := func(f *evidence.FailedCall) bool { // by the answer
		return cited > 0 && f.Path != "" && len(c.Findings) > 0 && strings.Contains(c.Findings[0].Summary, f.Path)
	}
	answer := cited > 0 && slices.ContainsFunc(t.Calls, func(f evidence.FailedCall) bool { return named(&f) })
	for k := len(t.Calls) - 1; k >= 0 && len(out) < n; k-- {
		f := &t.Calls[k]
		if answer && !named(f) && len(c.Findings) > 0 && c.Findings[0].Cause != "exit-error" {
			continue // what failed beside it
		}
		if slices.ContainsFunc(c.Timeline, func(r evidence.Observation) bool {
			return r.PID == o.PID && max(r.BootNanos-f.BootNanos, f.BootNanos-r.BootNanos) < 1e6 && tells(r.Detail, f)
		}) {
			continue
		}
		if nameCache(f.Path) && !named(f) {
			continue
		}
		if f.Errno == evidence.EINVAL && strings.HasPrefix(f.Call, "readlink") { // what it looked at is no link
			continue
		}
		if f.Searching() && !named(f) && (cited == 0 || slices.ContainsFunc(t.Calls, func(f evidence.FailedCall) bool { return named(&f) }) || slices.ContainsFunc(t.Calls, func(f evidence.FailedCall) bool { return !f.Searching() })) {
			continue
		}
		score := 40
		if cited > 0 {
			score = cited - 5*len(out)
		}
		what := clean(f.Call)
		if f.Path != "" {
			what += "(" + middle(clean(f.Path), 50) + ")"
		} else if f.FD >= 0 && f.FD < 1<<30 {
			what += fmt.Sprintf(" on descriptor %d", f.FD)
		}
		what += " failed: " + f.Errno.String()
		if f.Count > 1 {
			what += fmt.Sprintf(", %s in a row", times(f.Count))
		}
		r := row{boot: f.BootNanos, what: what, source: whoSaw(c, o), score: score}
		out = append(out, r)
	}
	return out
}

// told says whether a cause was found that is more than how it ended.
func told(c *evidence.Case) bool {
	return len(c.Findings) > 0 && c.Findings[0].Cause != "exit-error" && c.Findings[0].Cause != "killed" && c.Findings[0].Cause != "finished"
}

// tells says whether an observation of its own tells of that failed call.
func tells(d evidence.Detail, f *evidence.FailedCall) bool {
	switch d := d.(type) {
	case *evidence.FDRefused:
		return d.Call == f.Call && d.Errno == f.Errno && (d.Path == "" || d.Path == f.Path)
	case *evidence.AddressRefused:
		return d.Call == f.Call && d.Errno == f.Errno
	case *evidence.ConnectFailed:
		return f.Call == "connect" && d.Errno == f.Errno && d.Peer == f.Path
	case *evidence.LimitRefused:
		return d.Call == f.Call && d.Errno == f.Errno
	case *evidence.InotifyRefused:
		return d.Call == f.Call && d.Errno == f.Errno
	case *evidence.FileRefused:
		return d.Call == f.Call && d.Errno == f.Errno && d.Path != "" && (f.Path == "" || f.Path == d.Path)
	}
	return false
}

// everyday is what children do all the time.
func everyday(o *evidence.Observation) bool {
	switch d := o.Detail.(type) {
	case *evidence.Exit:
		return d.ExitCode == 0
	case *evidence.Stdio:
		return true
	}
	return false
}

// runtimes' faults: Java's and others' use them in health, so they tell something only where a
// finding cites them.
func handled(o *evidence.Observation, fatal map[int32]bool) bool {
	switch d := o.Detail.(type) {
	case *evidence.SignalCaught:
		return true
	case *evidence.SignalSent:
		return !fatal[o.PID] && (d.Sender == 0 && d.Code > 0 || d.Sender == o.PID) // and threads wake each other by signals
	}
	return false
}

// describe says an observation in a few words, with a key that alike ones share, and how much it
// tells where nothing cites it; 0: only when cited.
func describe(o *evidence.Observation) (what, key string, score int) {
	switch d := o.Detail.(type) {
	case *evidence.Exec:
		return "executed " + middle(clean(d.Path), 60), d.Path, 0
	case *evidence.ExecFailed:
		return fmt.Sprintf("could not execute %s: %s", middle(clean(d.Path), 60), d.Errno), d.Path, 50
	case *evidence.Exit:
		if d.Signal != 0 {
			return "died of " + d.Signal.String(), "", 55
		}
		return fmt.Sprintf("exited with code %d", d.ExitCode), "", 55
	case *evidence.SignalSent:
		by := fmt.Sprintf("process %d", d.Sender)
		switch {
		case d.Sender == 0:
			by = "the kernel"
		case d.Sender < 0:
			by = "a process that is not known"
		case d.SenderComm != "":
			by = fmt.Sprintf("%s (pid %d)", clean(d.SenderComm), d.Sender)
		}
		s := fmt.Sprintf("%s sent by %s", d.Signal, by)
		if d.Ignored {
			s += ", ignored"
		}
		score := 30
		switch d.Signal {
		case evidence.SIGTERM, evidence.SIGKILL, evidence.SIGINT, evidence.SIGQUIT, evidence.SIGABRT:
			score = 50
		}
		return s, s, score
	case *evidence.SignalFatal:
		return fault(d), d.Signal.String(), 70
	case *evidence.SignalCaught:
		return fault(&d.SignalFatal) + ", taken by a handler", d.Signal.String(), 25
	case *evidence.OOM:
		s := "chosen by the kernel's OOM killer"
		if d.GlobalKnown && d.Global {
			s += ": the machine is out of memory"
		} else if d.GlobalKnown {
			s += ": its cgroup is at its limit"
			if d.Max > 0 {
				s += " of " + bytesOf(d.Max)
			}
		}
		return s, "", 90
	case *evidence.FDRefused:
		s := fmt.Sprintf("%s refused a descriptor: %s", clean(d.Call), d.Errno)
		if d.Path != "" {
			s += " for " + middle(clean(d.Path), 40)
		}
		if d.Count > 1 {
			s += ", " + times(d.Count)
		}
		if d.Open > 0 && d.SoftLimit > 0 {
			s += fmt.Sprintf(" (%d of %d open)", d.Open, d.SoftLimit)
		}
		return s, d.Call + d.Errno.String(), 50
	case *evidence.FDGrown:
		s := fmt.Sprintf("descriptor %d", d.FD)
		if d.FDKind != "" {
			s += ": " + join(string(d.FDKind), d.State, d.Peer, d.Path)
		}
		return middle(clean(s), 70) + in(d.Trace), "", 0
	case *evidence.InotifyRefused:
		return fmt.Sprintf("%s refused: %s, %s", clean(d.Call), d.Errno, times(max(d.Count, 1))), d.Call, 50
	case *evidence.AddressRefused:
		what := fmt.Sprintf("%s(%s) refused: %s", clean(d.Call), middle(clean(d.Address), 50), d.Errno)
		if d.Count > 1 {
			what += ", " + times(d.Count) + " in all"
		}
		return what, d.Call + d.Address + d.Errno.String(), 45
	case *evidence.LimitRefused:
		score := 0 // runtimes try what they can have
		if d.Spawn() {
			score = 40
		}
		return limitRefused(d), d.Call + d.Errno.String() + d.Limit, score
	case *evidence.Cgroup:
		return cgroup(d), "", 0
	case *evidence.Step:
		return step(d), d.Stream + d.Why, 5
	case *evidence.FileRefused:
		return fileRefused(d), d.Call + d.Errno.String() + d.Path, fileScore(d.Errno)
	case *evidence.FileLooked:
		return fileLooked(d), d.Path, 0
	case *evidence.SelectBeyond:
		s := clean(d.Call) + "() beyond FD_SETSIZE" // a count alone says no more
		if d.NFDs != 0 {
			s = fmt.Sprintf("%s() with nfds %d", clean(d.Call), d.NFDs)
		}
		switch {
		case d.Proof == "bit beyond the set":
			s += fmt.Sprintf(", the bit of descriptor %d is set beyond the set", d.BitFD)
		case d.Distance > 0:
			s += fmt.Sprintf(", sets %d bytes apart", d.Distance)
		}
		if d.Count > 1 {
			s += ", " + times(d.Count)
		}
		return s + in(d.Trace), d.Proof, 50
	case *evidence.Stdio:
		s := fmt.Sprintf("descriptor %d %s by %s", d.FD, clean(d.Action), clean(d.Call))
		if d.Is != "" {
			s += ": now " + middle(clean(join(string(d.Is), d.Peer, d.Path)), 50)
		}
		return s + in(d.Trace), fmt.Sprint(d.FD, d.Action), 30
	case *evidence.WriteShort:
		return fmt.Sprintf("a write to descriptor %d took %d of %d bytes, %s", d.FD, d.Written, d.Asked, times(max(d.Count, 1))), fmt.Sprint(d.FD), 30
	case *evidence.WriteRefused:
		return fmt.Sprintf("a write to descriptor %d refused: %s, %s", d.FD, d.Errno, times(max(d.Count, 1))), fmt.Sprint(d.FD, d.Errno), 35
	case *evidence.Process:
		s := fmt.Sprintf("descriptors %d", d.Open)
		if d.SoftLimit > 0 {
			s += fmt.Sprintf(" of %d", d.SoftLimit)
		}
		for _, b := range d.Blocked {
			s += fmt.Sprintf(", thread %d waits in a write to descriptor %d", b.TID, b.FD)
			break
		}
		return s, "", 0
	case *evidence.Garbled:
		s := fmt.Sprintf("%s turned to garbage: %s", clean(d.Stream), plural(d.Length, "byte"))
		if d.LooksLike != "" {
			s += ", looks like " + clean(d.LooksLike)
		}
		return s + writtenBy(d), d.Stream + fmt.Sprint(d.Writer != nil), 50
	case *evidence.Written:
		return wentAstray(d), fmt.Sprint(d.FD, d.Odd), 40
	case *evidence.Foreign:
		return fmt.Sprintf("%s holds text in %s, not UTF-8", clean(d.Stream), clean(d.Encoding)), d.Stream, 5
	case *evidence.Torn:
		return tornLine(d), d.Stream, 30
	case *evidence.OutputStalled:
		return fmt.Sprintf("its %s was not taken for %.1f s", clean(d.Stream), float64(d.Nanos)/1e9), d.Stream, 35
	case *evidence.OutputHeld:
		var who []string
		for _, h := range d.Holders[:min(3, len(d.Holders))] {
			who = append(who, fmt.Sprintf("%s (pid %d)", middle(clean(h.Command), 30), h.PID))
		}
		return "its output is still held by " + strings.Join(who, ", "), "", 40
	case *evidence.Headroom:
		if what, ok := bounded[d.Limit]; ok {
			return what.grow(d) + ": full in about " + about(d.Seconds) + what.most(d), d.Limit, 45
		}
		if d.Limit == "fd_setsize" {
			return fmt.Sprintf("descriptors grow %s, highest %d: at %d, where select() overflows, in about %s", rate(d.PerSecond), d.Open, d.Max, about(d.Seconds)), d.Limit, 45
		}
		return fmt.Sprintf("descriptors grow %s, %d of %d: full in about %s", rate(d.PerSecond), d.Open, d.Max, about(d.Seconds)), d.Limit, 45
	case *evidence.Container:
		return container(o.PID, d), d.Action, containerTells(d)
	case *evidence.DNSAnswered:
		return dnsAnswered(d), d.Name, slowAnswer(d)
	case *evidence.DNSFailed:
		score := 35
		if d.RCode == "NXDOMAIN" || d.RCode == "NOERROR" { // healthy programs meet them along the search path
			score = 15
		}
		return dnsFailed(d), d.Name + d.RCode, score
	case *evidence.DNSUnanswered:
		return dnsUnanswered(d), d.Name + d.Server, 35
	case *evidence.Drop:
		return drop(d), d.Reason + d.Local + d.Peer, 35
	case *evidence.Sockets:
		key := ""
		if len(d.Sockets) > 0 {
			key = fmt.Sprint(d.Sockets[0].Inode)
		}
		return sockets(d), key, 0
	case *evidence.Network:
		return network(d), "", 0
	case *evidence.Machine:
		return machine(d), "", 0
	case *evidence.ConnectFailed:
		score := 35
		if d.AtOnce && d.Protocol != evidence.FDTCP { // daemons of the C library's, the order of addresses
			score = 0
		}
		return connectFailed(d), d.Peer + d.Errno.String(), score
	case *evidence.ConnectMade:
		return "connected to " + middle(clean(d.Peer), 60), d.Peer, 0
	case *evidence.ConnectionLost:
		if d.Accepted { // clients leave as they please
			return connectionLost(d), "accepted" + d.Errno.String(), 0
		}
		return connectionLost(d), d.Peer + d.Errno.String(), 35
	case *evidence.Lost:
		return fmt.Sprintf("%d observations lost (%s)", d.Count, clean(d.By)), d.By, 20
	}
	return "", "", 0
}

func fault(d *evidence.SignalFatal) string {
	s := d.Signal.String()
	switch {
	case d.Syscall != "" && d.Signal == evidence.SIGSYS:
		s += " for the system call " + clean(d.Syscall)
	case d.Code > 0 && d.Code != 0x80 && d.Signal != evidence.SIGSYS:
		s += fmt.Sprintf(" at 0x%x", d.Address)
		if d.Fault != "" {
			s += ", " + clean(d.Fault)
		}
		if m := d.Mapped; m != nil {
			s += fmt.Sprintf(", byte %d of %s, which has %d", m.Offset, middle(clean(m.Path), 40), m.Size)
		}
	case d.Self:
		s += ", sent by itself"
	}
	return s + in(d.Trace)
}

// in names the innermost function of the program's own.
func in(trace []evidence.Frame) string {
	for i := range trace {
		if trace[i].Own && !trace[i].Guess {
			return ", in " + middle(clean(trace[i].String()), 60)
		}
	}
	return ""
}
