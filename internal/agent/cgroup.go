package agent

import (
	"errors"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/forecast"
	"github.com/descry-dev/descry/internal/sample"
)

// groups samples the cgroups that the tree's processes are in. Only the sweeper uses it until the
// command has ended.
type groups struct {
	reader sample.Cgroups
	last   map[*sample.CgroupPlace]*groupSeen
	order  []*sample.CgroupPlace
	why    error // it cannot be sampled
}

type groupSeen struct {
	pid     int32 // of a process of it
	told    *evidence.Cgroup
	outlook groupOutlook
}

// sweep finds the cgroup of a process.
func (g *groups) sweep(pid int32) {
	p, err := g.reader.Place(int(pid))
	if err != nil || p == nil {
		if g.last == nil && g.why == nil {
			g.why = err
		}
		return
	}
	if g.last == nil {
		g.last = map[*sample.CgroupPlace]*groupSeen{}
	}
	s := g.last[p]
	if s == nil {
		if len(g.last) >= 16 {
			return
		}
		s = &groupSeen{pid: pid}
		g.last[p] = s
		g.order = append(g.order, p)
	}
	s.pid = pid
}

// tell tells of all of them, or of those alone that are much unlike the last time. warn gets what their
// forecasts say; nil: it is too late for any.
func (g *groups) tell(all bool, tell func(*evidence.Observation), warn func(pid int32, softLimit int64, e *forecast.Event)) {
	for _, p := range g.order {
		s := g.last[p]
		d := p.Read()
		if d.Version == 0 && d.PidsMax == 0 {
			continue // gone
		}
		if warn != nil {
			s.outlook.add(bootNanos(), d, func(e forecast.Event) { warn(s.pid, 0, &e) })
		}
		if all || s.told == nil || changed(s.told, d) {
			s.told = d
			tell(now(evidence.SourceSample, s.pid, d))
		}
	}
}

// changed says whether figures differ by so much that they are worth telling: a tenth of the limit, a
// fiftieth near it.
func changed(was, is *evidence.Cgroup) bool {
	much := func(was, is, max, least int64) bool {
		step := least
		if max > 0 {
			step = max / 10
			if is > max/10*9 {
				step = max / 50
			}
		}
		d := is - was
		return d > step || -d > step
	}
	return was.Hits == 0 && is.Hits != 0 || was.Kills != is.Kills || was.Max != is.Max || was.PidsMax != is.PidsMax ||
		was.PidsHits == 0 && is.PidsHits != 0 || was.NodeKills != is.NodeKills ||
		much(was.Current, is.Current, is.Max, 256<<20) || much(was.Pids, is.Pids, is.PidsMax, 1000)
}

// coverage says whether what cgroups hold was sampled.
func (g *groups) coverage(from, to time.Time) evidence.Coverage {
	c := evidence.Coverage{Source: "sample/cgroup", By: "cgroup files", From: from, To: to}
	if len(g.order) == 0 {
		why := g.why
		if why == nil {
			why = errors.New("it ended before the first sweep")
		}
		c.Missing, c.From, c.To = why.Error(), time.Time{}, time.Time{}
	}
	return c
}
