package diagnose

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// growth is how the culprit's descriptors came to be as many as they were.
type growth struct {
	shape     string // "leak", "burst", "": too little was seen
	perSecond float64
	first     sample
	last      sample
	from      int64 // descriptors before a burst
	inTime    int64 // ns that a burst took
	evidence  []int
}

// grown tells a leak (steady growth over most of the life) from a burst (flat, then up at once) by
// the sweeps up to the limit. limit 0: all of them.
func (v *View) grown(limit int64) growth {
	var s []sample
	for _, x := range v.samples {
		if x.boot > v.End {
			continue
		}
		s = append(s, x)
		if limit > 0 && x.Open >= limit-2 {
			break
		}
	}
	if len(s) < 4 {
		return growth{}
	}
	first, last := s[0], s[len(s)-1]
	life, rise := last.boot-first.boot, last.Open-first.Open
	if life < second/2 || rise < 10 {
		return growth{}
	}
	g := growth{first: first, last: last, evidence: []int{first.at, last.at}}
	// Most of the rise within the last tenth of the time is a burst.
	for i := len(s) - 1; i >= 0; i-- {
		if last.boot-s[i].boot > life/10 && i < len(s)-1 {
			if last.Open-s[i].Open >= rise*8/10 && life >= 5*second {
				for i+2 < len(s) && s[i+1].Open <= s[i].Open+rise/20 { // up to where the rise begins
					i++
				}
				g.shape, g.from, g.inTime = "burst", s[i].Open, last.boot-s[i].boot
				g.evidence = []int{s[i].at, last.at}
				return g
			}
			break
		}
	}
	slope, fit := regress(s)
	ups, steps := 0, 0
	for i := 1; i < len(s); i++ {
		if s[i].Open != s[i-1].Open {
			steps++
			if s[i].Open > s[i-1].Open {
				ups++
			}
		}
	}
	if slope > 0 && fit >= 0.85 && ups*10 >= steps*8 {
		g.shape, g.perSecond = "leak", slope
	}
	return g
}

// regress fits a line through the samples: descriptors per second, and how well it fits (R²).
func regress(s []sample) (slope, fit float64) {
	n := float64(len(s))
	var mx, my float64
	for _, x := range s {
		mx += float64(x.boot-s[0].boot) / 1e9 / n
		my += float64(x.Open) / n
	}
	var xx, xy, yy float64
	for _, p := range s {
		dx, dy := float64(p.boot-s[0].boot)/1e9-mx, float64(p.Open)-my
		xx, xy, yy = xx+dx*dx, xy+dx*dy, yy+dy*dy
	}
	if xx == 0 || yy == 0 {
		return 0, 0
	}
	return xy / xx, xy * xy / (xx * yy)
}

// groupWords is "790 of 1090 are tcp CLOSE_WAIT 10.0.3.7:5432 (opened by db_connect+0x5c)".
func groupWords(g *evidence.FDGroup, open int64) string {
	s := fmt.Sprintf("%d of %d are %s", g.Count, open, plain(g.What(), 90))
	if g.OpenedBy != "" {
		s += ", opened by " + plain(g.OpenedBy, 60)
	}
	return s
}

// dominant is the group that fills the culprit's table, nil where none does.
func (v *View) dominant() (*evidence.FDGroup, int64) {
	if t := v.table(); t != nil {
		if g := t.Dominant(); g != nil {
			return g, t.Open
		}
		// A table read after the runtime had closed much tells less than the last sweep.
	}
	for i := len(v.samples) - 1; i >= 0; i-- {
		if p := v.samples[i].Process; p.Top != nil && p.Top.Count >= 10 && p.Top.Count*2 >= p.Open {
			return p.Top, p.Open
		}
	}
	for _, h := range of[*evidence.Headroom](v) {
		if h.Group != nil {
			return h.Group, max(h.Open, h.Group.Count)
		}
	}
	return nil, 0
}

// groupAdvice says how to get rid of what fills a descriptor table.
func groupAdvice(g *evidence.FDGroup) string {
	if g == nil {
		return ""
	}
	by := ""
	if g.OpenedBy != "" {
		by = " (opened by " + plain(g.OpenedBy, 60) + ")"
	}
	switch {
	case g.Kind == evidence.FDTCP && g.State == "CLOSE_WAIT":
		return "Close a connection when read() returns 0: the peer has closed these and the program has not" + by + "."
	case g.Kind == evidence.FDTCP && g.State == "LISTEN":
		return "Open a listening socket once, not again and again" + by + "."
	case g.Kind == evidence.FDTCP && g.Peer != "":
		return "Close connections to " + plain(g.Peer, 60) + " after use, or take them from a pool with an upper bound" + by + "."
	case isSocket(g.Kind):
		return "Close sockets after use, also where an error ends their use, and bound how many there can be at once" + by + "."
	case g.Kind == evidence.FDFile || g.Kind == evidence.FDDir:
		what := "files"
		if g.Path != "" {
			what = plain(g.Path, 80)
		}
		return "Close " + what + " after use, also where an error ends its use" + by + "."
	case g.Kind == evidence.FDPipe || g.Kind == evidence.FDFIFO:
		return "Close both ends of pipes, also those of child processes that have ended" + by + "."
	case g.Kind == evidence.FDEpoll || g.Kind == evidence.FDEvent || g.Kind == evidence.FDTimer:
		return "Make event loops, selectors and HTTP clients once and share them, and close those that are done with: each holds " + string(g.Kind) + " descriptors" + by + "."
	case g.Kind == evidence.FDInotify:
		return "Close file watchers that are done with, or share one" + by + "."
	case g.Kind == evidence.FDPidfd:
		return "Wait for child processes that were started, so that their pidfds are released" + by + "."
	}
	return "Close what is done with" + by + "."
}
