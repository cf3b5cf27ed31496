package agent

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// Bounds of a case's timeline. The counters are whole whatever the timeline leaves out.
const (
	maxTimeline = 240 // observations
	maxSamples  = 40  // sweeps of each process
	maxAlike    = 6   // of each process and kind, first and last ones
	maxNames    = 24  // of each process and kind, last questions to name servers
)

// story picks a case's timeline out of a recording: what is decisive whole, what repeats thinned to
// its first and last ones, sweeps thinned evenly. main is the pid of the main process. What it
// leaves out is returned as a number.
func story(all []*evidence.Observation, main int32) (timeline []evidence.Observation, left int64) {
	type group struct {
		pid  int32
		kind evidence.Kind
		what string
	}
	groups := map[group][]int{}
	var order []group
	told := 0
	for i, o := range all {
		switch o.Kind() {
		case evidence.KindRunStarted, evidence.KindRunEnded: // the case itself says it
			told++
			continue
		}
		g := group{o.PID, o.Kind(), what(o)}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], i)
	}
	var keep []int
	for _, g := range order {
		at := groups[g]
		switch {
		case g.kind == evidence.KindProcess:
			n := maxSamples
			if g.pid != main {
				n = maxSamples / 4
			}
			keep = append(keep, thin(at, n)...)
		case strings.HasPrefix(string(g.kind), "dns.") && len(at) > maxAlike:
			keep = append(keep, at[:2]...) // the last name asked for comes in many forms, and each tells
			keep = append(keep, at[max(2, len(at)-maxNames):]...)
		case len(at) > maxAlike:
			keep = append(keep, at[:maxAlike/2]...)
			keep = append(keep, at[len(at)-maxAlike/2:]...)
		default:
			keep = append(keep, at...)
		}
	}
	if len(keep) > maxTimeline {
		// The main process and what is decisive first, then what is nearest to the end.
		slices.SortStableFunc(keep, func(a, b int) int {
			return cmp.Or(-cmp.Compare(weight(all[a], main), weight(all[b], main)), -cmp.Compare(a, b))
		})
		keep = keep[:maxTimeline]
	}
	slices.Sort(keep)
	keep = slices.Compact(keep)
	timeline = make([]evidence.Observation, 0, len(keep))
	for _, i := range keep {
		timeline = append(timeline, *all[i])
	}
	return timeline, int64(len(all) - told - len(keep))
}

func weight(o *evidence.Observation, main int32) int {
	w := 0
	if o.PID == main {
		w += 2
	}
	switch k := o.Kind(); {
	case k == evidence.KindExit || k == evidence.KindSignalFatal || k == evidence.KindThreadFailures:
		w += 4
	case evidence.Decisive(k):
		w++
	}
	return w
}

// what tells apart observations of one kind that do not stand for each other.
func what(o *evidence.Observation) string {
	switch d := o.Detail.(type) {
	case *evidence.FDRefused:
		return d.Call + d.Errno.String()
	case *evidence.InotifyRefused:
		return d.Call
	case *evidence.AddressRefused:
		return d.Call + d.Errno.String() + d.Address
	case *evidence.FileRefused:
		return d.Call + d.Errno.String() + d.Path
	case *evidence.FileLooked:
		return d.Path
	case *evidence.SignalSent:
		return d.Signal.String()
	case *evidence.SignalFatal:
		return d.Signal.String()
	case *evidence.SignalCaught:
		return d.Signal.String()
	case *evidence.Stdio:
		return fmt.Sprint(d.FD, d.Action, d.Is)
	case *evidence.Step:
		return fmt.Sprint(d.Step, d.Sign, d.Stream)
	case *evidence.WriteShort:
		return fmt.Sprint(d.FD)
	case *evidence.WriteRefused:
		return fmt.Sprint(d.FD, d.Errno)
	case *evidence.Headroom:
		return d.Limit
	case *evidence.Container:
		return d.Action
	case *evidence.Garbled:
		return d.Stream
	case *evidence.Written:
		return fmt.Sprint(d.FD, o.TID)
	case *evidence.Foreign:
		return d.Stream
	case *evidence.Torn:
		return d.Stream
	case *evidence.SelectBeyond:
		return d.Proof
	case *evidence.LimitRefused:
		return d.Call + d.Errno.String() + d.Limit
	case *evidence.ThreadFailures:
		return fmt.Sprint(o.TID)
	case *evidence.DNSAnswered:
		return fmt.Sprint(d.Again, d.Nanos > 1e9)
	case *evidence.Drop:
		return fmt.Sprint(d.Inode, d.Reason)
	case *evidence.Network:
		return fmt.Sprint(d.NetNS)
	case *evidence.Sockets:
		if len(d.Sockets) == 1 && d.Sockets[0].AtDeath {
			return fmt.Sprint(d.Sockets[0].Inode)
		}
	case *evidence.ConnectFailed:
		return d.Peer + d.Errno.String()
	case *evidence.ConnectMade:
		return d.Peer
	case *evidence.ConnectionLost:
		if d.Accepted {
			return "accepted" + d.Errno.String() // a server's clients are many
		}
		return d.Peer + d.Errno.String()
	}
	return ""
}

// thin keeps the first and the last of at and n-2 evenly between.
func thin(at []int, n int) []int {
	if len(at) <= n || n < 2 {
		return at
	}
	out := make([]int, 0, n)
	for i := range n {
		out = append(out, at[i*(len(at)-1)/(n-1)])
	}
	return out
}

// link makes observations agree that come from different probes: which thread ended its process,
// and which code opened what a descriptor table is full of.
func link(timeline []evidence.Observation) {
	ender := map[int32]int32{}
	for i := range timeline {
		if e, ok := timeline[i].Detail.(*evidence.Exit); ok && e.EnderTID != 0 {
			ender[timeline[i].PID] = e.EnderTID
		}
	}
	openers := map[int32][]*evidence.FDGrown{}
	for i := range timeline {
		switch d := timeline[i].Detail.(type) {
		case *evidence.ThreadFailures:
			d.Ender = ender[timeline[i].PID] == timeline[i].TID && timeline[i].TID != 0
		case *evidence.FDGrown:
			openers[timeline[i].PID] = append(openers[timeline[i].PID], d)
		}
	}
	for i := range timeline {
		switch d := timeline[i].Detail.(type) {
		case *evidence.Exit:
			nameOpeners(d.FDs, openers[timeline[i].PID])
		case *evidence.FDRefused:
			nameOpeners(d.FDs, openers[timeline[i].PID])
		case *evidence.Headroom:
			if d.Group != nil {
				nameOpener(d.Group, openers[timeline[i].PID])
			}
		}
	}
}

func nameOpeners(t *evidence.FDTable, grown []*evidence.FDGrown) {
	if t == nil {
		return
	}
	for i := range t.Groups {
		nameOpener(&t.Groups[i], grown)
	}
}

// nameOpener gives a group the function that most of the stacks of its alike descriptors show.
func nameOpener(g *evidence.FDGroup, grown []*evidence.FDGrown) {
	votes := map[string]int{}
	for _, d := range grown {
		if d.FDKind != g.Kind || !alike(g, d) {
			continue
		}
		if f := own(d.Trace); f != "" {
			votes[f]++
		}
	}
	best := 0
	for f, n := range votes {
		if n > best || n == best && f < g.OpenedBy {
			g.OpenedBy, best = f, n
		}
	}
}

// alike says whether the descriptor that grew is of the group, by what of it is known.
func alike(g *evidence.FDGroup, d *evidence.FDGrown) bool {
	switch {
	case g.Peer != "" && d.Peer != "":
		return g.Peer == d.Peer
	case g.Path != "" && d.Path != "":
		dir, all := strings.CutSuffix(g.Path, "/*")
		return g.Path == d.Path || all && path.Dir(d.Path) == dir
	}
	return true
}

// own is the innermost function of the program's own code, "" where none has a name.
func own(trace []evidence.Frame) string {
	for i := range trace {
		if f := &trace[i]; f.Own && f.Function != "" && !f.Guess {
			where := evidence.Frame{Function: f.Function, Offset: f.Offset, File: f.File, Line: f.Line}
			return where.String()
		}
	}
	return ""
}
