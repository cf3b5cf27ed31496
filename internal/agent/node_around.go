package agent

import (
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/forecast"
	"github.com/descry-dev/descry/internal/sample"
)

// surroundings are what a node's agent samples beside the processes: what cgroups hold, counters of network namespaces,
// sockets' queues, and what the machine has left. All that is read in turns, so that it costs the same whatever runs.
type surroundings struct {
	groups  sample.Cgroups
	nets    map[uint64]*sharedNet
	machine machine
	told    [machineKept]*evidence.Observation // of the machine, newest last; nil: none
	read    time.Time
	turn    int
	sockets time.Time
	took    time.Duration
	noNet   string
	kills   int64 // of the machine's OOM killer
}

const (
	machineKept   = 8                // observations of the machine that cases get
	aroundEvery   = 30 * time.Second // of each cgroup and namespace
	nearEvery     = 2 * time.Second  // of a cgroup that is near to a limit
	machineEvery  = 10 * time.Second
	nodeSockets   = 30 * time.Second // of the sockets of all
	maxSharedNets = 1024
)

// sharedNet is a network namespace, of one subject or of a pod's.
type sharedNet struct {
	*sample.Network
	base   evidence.NetworkCounts
	from   time.Time
	users  int
	at     time.Time              // of the last sample
	counts evidence.NetworkCounts // as they were then
}

// place finds where a subject's figures stand, while it has processes.
func (n *node) place(s *subject) {
	if s.place == nil && s.main != 0 {
		s.place, _ = n.around.groups.Place(int(s.main))
	}
	if s.group == nil {
		n.tellGroup(s, true)
	}
	if s.net != nil || s.main == 0 || len(n.around.nets) >= maxSharedNets {
		return
	}
	ns, err := sample.NetNSOf("", int(s.main))
	if err != nil {
		return
	}
	net := n.around.nets[ns]
	if net == nil {
		opened, err := sample.OpenNetwork("", int(s.main))
		if err != nil {
			n.around.noNet = err.Error()
			return
		}
		base, err := opened.Read()
		if err != nil {
			opened.Close()
			return
		}
		net = &sharedNet{Network: opened, base: base, from: time.Now()}
		if n.around.nets == nil {
			n.around.nets = map[uint64]*sharedNet{}
		}
		n.around.nets[ns] = net
	}
	net.users++
	s.net, s.netBase, s.netFrom = net, net.base, time.Now()
	if c, err := net.Read(); err == nil {
		s.netBase = c
	}
}

// unplace lets go of it.
func (n *node) unplace(s *subject) {
	if s.net == nil {
		return
	}
	if s.net.users--; s.net.users == 0 {
		delete(n.around.nets, s.net.NetNS)
		s.net.Close()
	}
	s.net = nil
}

// tellGroup records what a subject's cgroup holds, where that is news.
func (n *node) tellGroup(s *subject, all bool) {
	if s.place == nil {
		return
	}
	var d *evidence.Cgroup
	if all {
		d = s.place.Read()
	} else {
		d = s.place.ReadOwn()
		d.NodeKills = n.around.kills
	}
	if d.Version == 0 && d.PidsMax == 0 {
		return // gone
	}
	s.near = d.Max > 0 && d.Held*4 >= d.Max*3 || d.PidsMax > 0 && d.Pids*4 >= d.PidsMax*3
	o := now(evidence.SourceSample, s.main, d)
	if s.exit == nil { // at its end all falls
		s.outlook.add(o.BootNanos, d, func(e forecast.Event) { n.warn(s, &s.warned, s.main, "", &e) })
		if h, ok := s.outlook.headroom(); ok {
			n.growing(s, &h)
		}
	}
	if all || s.group == nil || changed(s.group, d) {
		s.group = d
		s.rec.Record(o)
	}
}

// tellNetwork records counters of its network namespace that grew.
func (n *node) tellNetwork(s *subject, last bool) {
	if s.net == nil {
		return
	}
	if last || time.Since(s.net.at) >= aroundEvery/2 { // one of several users reads for all
		c, err := s.net.Read()
		if err != nil {
			return
		}
		s.net.counts, s.net.at = c, time.Now()
	}
	c := s.net.counts.Since(s.netBase)
	if !last && !grown(&s.netTold, &c) {
		return
	}
	s.netTold = c
	s.rec.Record(now(evidence.SourceSample, s.main, &evidence.Network{
		NetworkCounts: c, NetNS: s.net.NetNS, Shared: s.net.users > 1 || s.net.NetNS == n.ownNet(), Nanos: int64(time.Since(s.netFrom)), Last: last,
	}))
}

// ownNet is the agent's own network namespace, which is the machine's where it is rightly installed.
func (n *node) ownNet() uint64 {
	if n.hostNet == 0 {
		n.hostNet, _ = sample.NetNSOf("", 1)
	}
	return n.hostNet
}

// lookAround samples the surroundings of a part of the subjects, so that each has its turn every aroundEvery.
func (n *node) lookAround() {
	a := &n.around
	at := time.Now()
	every := max(n.cfg.Sweep, 100*time.Millisecond)
	turns, near := max(int(aroundEvery/every), 1), max(int(nearEvery/every), 1)
	a.turn++
	a.kills = a.groups.NodeKills()
	for _, s := range n.subjects {
		if s.exit != nil || s.sandbox || s.main == 0 {
			continue
		}
		if s.place == nil || !s.placed {
			s.placed = true
			n.place(s)
			continue
		}
		switch {
		case int(s.id)%turns == a.turn%turns:
			n.tellGroup(s, false)
			n.tellNetwork(s, false)
		case (s.near || s.manyTasks()) && (int(s.id)+a.turn)%near == 0:
			n.tellGroup(s, false)
		}
	}
	if at.Sub(a.read) >= machineEvery {
		a.read = at
		n.tellMachine(false)
	}
	if at.Sub(a.sockets) >= max(socketsEvery(a.took), nodeSockets) {
		var err error
		took := threadTime(func() { err = n.set.Sockets(func(o *evidence.Observation) { n.batch = append(n.batch, o) }) })
		for _, o := range n.batch {
			n.observe(o)
		}
		clear(n.batch)
		n.batch = n.batch[:0]
		if err == nil {
			a.sockets, a.took = at, took
		}
	}
}

// manyTasks says whether a subject has, by the sweep, half of the tasks that it may have: these can come fast.
func (s *subject) manyTasks() bool {
	return s.group != nil && s.group.PidsMax > 0 && s.tasks*2 >= s.group.PidsMax
}

// lastAround takes how things are right at the end of a subject.
func (n *node) lastAround(s *subject) {
	n.tellGroup(s, true)
	n.tellNetwork(s, true)
	n.unplace(s)
}

// tellMachine keeps what the machine has left, where that is news.
func (n *node) tellMachine(last bool) *evidence.Observation {
	d, err := sample.Machine("")
	if err != nil {
		n.around.machine.missing = err.Error()
		return nil
	}
	o := now(evidence.SourceSample, 0, d)
	if d.Last = last; !last {
		if n.around.machine.files == nil {
			n.around.machine.files = newBound(forecast.LimitFileMax)
		}
		if e, ok := n.around.machine.files.add(o.BootNanos, d.Files, d.FilesMax); ok {
			n.warnFiles(&e)
		}
	}
	if !n.around.machine.worth(d) && !last {
		return nil
	}
	if !last {
		copy(n.around.told[:], n.around.told[1:])
		n.around.told[machineKept-1] = o
	}
	return o
}

// machineOf are the observations of the machine that belong to a subject's case.
func (n *node) machineOf(s *subject) (out []*evidence.Observation) {
	for _, o := range n.around.told {
		if o != nil && o.WallNanos >= s.since.UnixNano() {
			x := *o
			x.PID = s.main
			out = append(out, &x)
		}
	}
	if o := n.tellMachine(true); o != nil {
		o.PID = s.main
		out = append(out, o)
	}
	return out
}

// aroundCoverageOf says what of a subject's surroundings was sampled.
func (n *node) aroundCoverageOf(s *subject, to time.Time) []evidence.Coverage {
	part := s.found
	v := func(source, by string, had bool, why string) evidence.Coverage {
		if !had {
			return evidence.Coverage{Source: source, Missing: why}
		}
		return evidence.Coverage{Source: source, By: by, From: s.since.UTC(), To: to, Partial: part}
	}
	return []evidence.Coverage{
		v("sample/cgroup", "cgroup files", s.group != nil, "it ended before the first sweep"),
		v("sample/network", "/proc/PID/net", s.netTold != (evidence.NetworkCounts{}) || s.netFrom != (time.Time{}), "it ended before the first sweep"),
		v("sample/machine", "/proc", n.around.machine.missing == "", n.around.machine.missing),
	}
}
