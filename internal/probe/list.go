//go:build linux

package probe

import (
	"os"

	"github.com/cilium/ebpf/link"

	"github.com/descry-dev/descry/internal/evidence"
)

// Probe is one signal: what it is made of, and how its events become observations. To add one is
// to add a file and a line in All.
type Probe struct {
	Name string // "probe/exit": as in evidence.Coverage
	Cost string // what the user loses where it is missing
	Node bool   // only a node's
	Ways []Made // the first that can be had is used
	// Events that are lost count as lost by this probe.
	Events []Event
	// Tally hands on what the probe counts in maps of its own, at Set.Counts; may be nil. gone are
	// processes that have ended since the last time, whose entries can go.
	Tally func(s *Set, gone func(process) bool, handle func(*evidence.Observation)) error
}

// Made is one way to make a probe.
type Made struct {
	By       string   // "tp_btf/sched_process_exit"
	Since    string   // least Linux version
	Way      Way      // Auto: good for both; else only where that way was chosen
	Needs    []string // names of features, for Config.Without: "tp_btf"
	Object   *object
	Programs []string // a program that several probes name is loaded once
	// Later says that it asks and does not listen, so that it may be loaded while the subject starts.
	Later bool
	// Leaf says that it needs the subject's own cgroup, see Set.Leaf: what it watches happens in no
	// process's context. Without one it counts as missing.
	Leaf bool
	// AtLeaf attaches what is attached to the subject's cgroup itself, once that is there; may be nil.
	AtLeaf func(s *Set, dir *os.File) ([]link.Link, error)
	// Load, in place of Programs, loads and attaches by code of its own.
	Load func(*env) (*group, error)
}

// Event says what becomes of the events of one type.
type Event struct {
	Type uint32 // enum event_type in descry.bpf.h
	// Decode makes the detail from a whole event, header included. o has the header's fields and may
	// be changed. A nil detail is not handed on.
	Decode func(s *Set, o *evidence.Observation, raw []byte) evidence.Detail
	// Counted makes the detail of Set.Counts from a counter that has changed; may be nil.
	Counted func(s *Set, k *countKey, v *countValue) evidence.Detail
	// Total adds a counter to the totals of evidence.Case.Counters; may be nil.
	Total func(k *countKey, v *countValue, add func(name string, n int64))
}

// All lists the probes, in the order in which they are attached. Programs on one tracepoint run in
// that order: exit, which forgets the process, stands last.
var All = []*Probe{
	containerProbe,
	forkProbe,
	connectProbe,
	tcpProbe,
	syscallProbe,
	execProbe,
	signalProbe,
	oomProbe,
	dnsProbe,
	dropProbe,
	socketsProbe,
	socketEndProbe,
	sweepProbe,
	adoptProbe,
	exitProbe,
}
