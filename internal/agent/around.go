package agent

import (
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/forecast"
	"github.com/descry-dev/descry/internal/sample"
)

// around is what is sampled beside the processes: their sockets, the counters of their network
// namespaces, and what the machine has left.
type around struct {
	pids    []int32       // of the last sweep
	sockets time.Time     // when they were looked at last
	took    time.Duration // processor time of that look

	nets    map[uint64]*network
	read    time.Time // when the counters were read last
	noNet   string    // why there are none
	inside  map[int]bool
	machine machine
}

// network is one namespace that a process of the subject is or was in.
type network struct {
	*sample.Network
	pid    int32 // that was found there first
	from   time.Time
	base   evidence.NetworkCounts
	told   evidence.NetworkCounts
	first  bool // the first observation is out
	shared bool
}

const (
	maxNetworks = 8
	maxNetPIDs  = 64 // processes whose namespace is looked at in a sweep

	// Looking at sockets may take one part in so many of a processor, and more of it (secondShare)
	// rather than be done less often than each second.
	socketsShare = 500
	secondShare  = 100
	everySecond  = 950 * time.Millisecond
)

// socketsEvery is the least time between two looks at sockets, by the processor time of one.
func socketsEvery(took time.Duration) time.Duration {
	return min(took*socketsShare, max(took*secondShare, everySecond))
}

// lookAround takes how things are before the command runs.
func (f *flight) lookAround() {
	f.around.nets = map[uint64]*network{}
	f.around.machine.files = newBound(forecast.LimitFileMax)
	f.around.pids = []int32{f.pid}
	f.openNetworks()
}

// surroundings samples what is around the processes that the last sweep has seen.
func (f *flight) surroundings() {
	a := &f.around
	if f.set != nil && time.Since(a.sockets) >= socketsEvery(a.took) {
		from := time.Now()
		var err error
		took := threadTime(func() { err = f.set.Sockets(f.observe) })
		if err == nil {
			a.sockets, a.took = from, took
		}
	}
	f.openNetworks()
	if time.Since(a.read) < everySecond {
		return
	}
	a.read = time.Now()
	f.readNetworks(false)
	f.readMachine(false)
}

// threadTime is the processor time that f takes, which other programs' load does not make longer.
func threadTime(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var from, to unix.Timespec
	begun := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &from)
	f()
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &to); begun != nil || err != nil {
		return 0
	}
	return time.Duration(to.Nano() - from.Nano())
}

// lastSurroundings takes how things are after the end.
func (f *flight) lastSurroundings() {
	if f.set != nil {
		f.set.LastSockets(f.observe)
	}
	f.readNetworks(true)
	f.readMachine(true)
	for _, n := range f.around.nets {
		n.Close()
	}
	clear(f.around.nets)
}

// openNetworks opens the namespaces that are not open yet.
func (f *flight) openNetworks() {
	a := &f.around
	for _, pid := range a.pids[:min(len(a.pids), maxNetPIDs)] {
		if len(a.nets) >= maxNetworks {
			return
		}
		ns, err := sample.NetNSOf("", int(pid))
		if err != nil || a.nets[ns] != nil {
			continue
		}
		n, err := sample.OpenNetwork("", int(pid))
		if err != nil {
			if len(a.nets) == 0 {
				a.noNet = err.Error()
			}
			continue
		}
		base, err := n.Read()
		if err != nil || a.nets[n.NetNS] != nil { // the process went elsewhere meanwhile
			n.Close()
			continue
		}
		a.noNet = ""
		a.nets[n.NetNS] = &network{Network: n, pid: pid, from: time.Now(), base: base}
	}
}

// readNetworks tells of counters that grew.
func (f *flight) readNetworks(last bool) {
	a := &f.around
	a.inside = nil
	for _, n := range a.nets {
		c, err := n.Read()
		if err != nil {
			a.noNet = err.Error()
			continue
		}
		c = c.Since(n.base)
		if n.first && !last && !grown(&n.told, &c) {
			continue
		}
		if !n.shared {
			n.shared = sample.Shared("", n.NetNS, f.ours)
		}
		n.first, n.told = true, c
		f.observe(now(evidence.SourceSample, n.pid, &evidence.Network{
			NetworkCounts: c, NetNS: n.NetNS, Shared: n.shared, Nanos: int64(time.Since(n.from)), Last: last,
		}))
	}
}

// ours says whether a process is the subject's, or descry's own.
func (f *flight) ours(pid int) bool {
	a := &f.around
	if a.inside == nil {
		a.inside = map[int]bool{}
		for _, pid := range f.sampler.Tree(os.Getpid()) {
			a.inside[pid] = true
		}
		for _, pid := range a.pids {
			a.inside[int(pid)] = true
		}
	}
	return a.inside[pid]
}

// grown says whether a counter of trouble has grown by a quarter since it was told. Resets and
// retransmissions are everyday: they go with the others and at the end.
func grown(told, now *evidence.NetworkCounts) bool {
	was, is := trouble(told), trouble(now)
	for i := range is {
		if is[i] > was[i]+was[i]/4 {
			return true
		}
	}
	return false
}

func trouble(c *evidence.NetworkCounts) [12]int64 {
	return [...]int64{
		c.ListenOverflows, c.ListenDrops, c.RcvPruned, c.TCPRcvQDrop, c.TCPMemoryPressures, c.TCPAbortOnMemory,
		c.UDPRcvbufErrors + c.UDP6RcvbufErrors, c.UDPSndbufErrors + c.UDP6SndbufErrors, c.UDPMemErrors + c.UDP6MemErrors,
		c.TCPBacklogDrop, c.TCPAbortOnTimeout, c.PruneCalled,
	}
}

// machine is what was told of the machine.
type machine struct {
	told      bool
	near      [3]int64 // tenths of a limit, where it was near
	available int64
	missing   string // why there is nothing
	files     *bound // forecast of open files
	warned    bool   // of them
}

const nearLimit = 7 // tenths

// readMachine tells what the machine has left: at first, when a limit comes nearer, when a fifth of
// its memory has come or gone, and at the end.
func (f *flight) readMachine(last bool) {
	d, err := sample.Machine("")
	if err != nil {
		f.around.machine.missing = err.Error()
		return
	}
	if e, ok := f.around.machine.files.add(bootNanos(), d.Files, d.FilesMax); ok && !last {
		f.warn(f.pid, 0, &e)
	}
	if d.Last = last; f.around.machine.worth(d) || last {
		f.observe(now(evidence.SourceSample, f.pid, d))
	}
}

func (m *machine) worth(d *evidence.Machine) bool {
	news := !m.told
	m.told = true
	for i, v := range [...][2]int64{{d.TCPMem, d.TCPMemLimits[2]}, {d.UDPMem, d.UDPMemLimits[2]}, {d.Orphans, d.MaxOrphans}} {
		if v[1] <= 0 {
			continue
		}
		if n := min(v[0]*10/v[1], 20); n >= nearLimit && n > m.near[i] {
			m.near[i] = n
			news = true
		}
	}
	if by := d.MemAvailable - m.available; news || max(by, -by)*5 > d.MemTotal {
		m.available = d.MemAvailable
		return true
	}
	return false
}
