//go:build linux

package probe

import (
	"cmp"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Node makes a Set watch every container of a machine in place of one tree. Each is a subject, with a
// number that is given once and never again as long as the machine, or what is pinned, lives; all its
// processes have it from the moment they come there, and observations carry it.
type Node struct {
	Scope      string // path of a cgroup, as /proc/PID/cgroup has it: only what is below is watched; "": all
	Standalone bool   // also cgroups that are no container's: units (*.service, *.scope), and others that processes are put into
	Pins       string // directory in a bpffs where links, maps and the ring outlive the process; "": they end with it
	NoCalls    bool   // step 1 is forbidden: no program on system calls, ever
	NoDNS      bool   // no program at packets, which takes each of them some 90 ns
	Ring       int    // bytes of the ring of events, a power of two; 0: 16 MiB
}

// errNode is for what only a Set of a Node has.
var errNode = errors.New("only a whole node has subjects")

// nodeEnv is what a node's objects are adapted to.
type nodeEnv struct {
	Node
	all   []hierarchy
	scope []uint64    // keys of the scope's cgroups
	in    []hierarchy // its directories, in the order of all; without a scope the roots
	units int         // number of the hierarchy that units are looked for in
	pins  *pins       // nil: nothing is pinned
}

func nodeOf(n *Node) *nodeEnv {
	if n == nil {
		return nil
	}
	return &nodeEnv{Node: *n}
}

// find finds the cgroups that the configuration names.
func (n *nodeEnv) find() (err error) {
	if n.all, err = findHierarchies(n.Scope); err != nil {
		return err
	}
	scoped := n.Scope != "" && n.Scope != "/"
	if !scoped {
		n.all = slices.DeleteFunc(n.all, func(h hierarchy) bool { return !h.whole })
	}
	if len(n.all) == 0 {
		return &NotSupportedError{Feature: "finding containers", Err: errors.New("no hierarchy of cgroups is mounted as a whole: a container sees its own part alone")}
	}
	n.in = n.all
	if scoped {
		if n.in, n.scope, err = scopeOf(n.all, n.Scope); err != nil {
			return err
		}
	}
	n.units = n.in[0].number
	return nil
}

// seen is a path of the kernel's as /proc/PID/cgroup has it here: where only a part of the machine's cgroups can be seen,
// the kernel's paths begin above it.
func (n *nodeEnv) seen(path string) string {
	if len(n.scope) == 0 || n.in[0].whole {
		return path
	}
	scope := filepath.Clean("/" + n.Scope)
	if i := strings.Index(path+"/", scope+"/"); i > 0 {
		return path[i:]
	}
	return path
}

// unified is the directory of version 2 that holds all that is watched, "" where there is none.
func (n *nodeEnv) unified() string {
	for _, h := range append(n.in[:len(n.in):len(n.in)], n.all...) {
		if h.number == 0 {
			return h.dir
		}
	}
	return ""
}

// Sizes of maps: entries are made as they are needed, so what is here is a bound.
var (
	nodeSizes = map[string]uint32{
		"tree": 65536, "counts": 131072, "leaves": 16384, "subjects": 16384, "names": 16384,
		"tcp_conns": 65536, "tcp_peers": 32768, "tcp_made": 8192,
		"dns_open": 16384, "dns_flows": 2048, "dns_errors": 1024, "dns_pace": 16384,
	}
	nodeRing = 16 << 20
)

// adapt gives an object what of it depends on whether it watches a node.
func (n *nodeEnv) adapt(spec *ebpf.CollectionSpec) error {
	if n == nil {
		return nil
	}
	for name, size := range nodeSizes {
		if m := spec.Maps[name]; m != nil {
			m.MaxEntries = size
		}
	}
	if m := spec.Maps["events"]; m != nil {
		m.MaxEntries = uint32(cmp.Or(n.Ring, nodeRing))
	}
	if err := set(spec, "node", uint32(1)); err != nil {
		return err
	}
	return set(spec, "generation", n.generation())
}

// fill puts into a new map what programs find there from their first moment on.
func (n *nodeEnv) fill(name string, m *ebpf.Map) error {
	if n == nil {
		return nil
	}
	switch name {
	case "scope":
		for _, key := range n.scope {
			if err := m.Put(key, uint32(1)); err != nil {
				return err
			}
		}
	case "node_state":
		if n.pins == nil { // else they wait until all of them are attached, and pinned
			return m.Put(nodeGeneration, n.generation())
		}
	}
	return nil
}

// generation of the programs, which do their work while it is the one in force.
func (n *nodeEnv) generation() uint64 {
	if n.pins == nil {
		return 1
	}
	return n.pins.gen
}

// take gives a map that was carried over from before, or nil.
func (n *nodeEnv) take(name, shape string) *ebpf.Map {
	if n == nil || n.pins == nil {
		return nil
	}
	return n.pins.take(name, shape)
}

// attached gives the link of a program that goes on from before, or nil.
func (n *nodeEnv) attached(program string) link.Link {
	if n == nil || n.pins == nil {
		return nil
	}
	return n.pins.links[program]
}

// keep has a link pinned once all are attached.
func (n *nodeEnv) keep(program string, l link.Link) {
	if n != nil && n.pins != nil {
		n.pins.made[program] = l
	}
}
