//go:build linux

package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/descry-dev/descry/internal/evidence"
)

var containerObject = &object{name: "container", spec: loadContainer, setup: setupContainer}

// containerProbe finds a node's containers. It stands before fork, whose program leaves to it what it
// knows better.
var containerProbe = &Probe{
	Name: "probe/container",
	Cost: "containers are not found",
	Node: true,
	Ways: []Made{{
		By: "tp_btf/cgroup_attach_task", Since: "5.17", Needs: []string{"tp_btf"},
		Object: containerObject, Programs: []string{"on_attach", "on_fork_into", "on_rmdir"},
	}},
	Events: []Event{{Type: evContainer, Decode: decodeContainer}},
}

var adoptProbe = &Probe{
	Name: "probe/adopt",
	Cost: "containers that run already are not watched",
	Node: true,
	Ways: []Made{{
		By: "iter/task", Since: "5.17", Needs: []string{"iter"},
		Object: containerObject, Programs: []string{"on_adopt"},
	}},
}

// Numbers of node_state.
const (
	nodeGeneration uint32 = iota
	nodeSubjects
	nodeAdopting
	nodeLook
)

const subjectPath = 384

// setupContainer gives the object its scope and its slots.
func setupContainer(e *env, spec *ebpf.CollectionSpec) error {
	n := e.node
	if n == nil {
		return nil
	}
	slots := uint32(e.cpus) + 2
	spec.Maps["places"].MaxEntries = slots
	for name, v := range map[string]uint32{
		"place_slots": slots, "has_scope": flag(len(n.scope) > 0), "standalone": flag(n.Standalone), "unit_hierarchy": uint32(n.units),
	} {
		if err := set(spec, name, v); err != nil {
			return err
		}
	}
	return nil
}

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// containerActions are in the order of enum container_action.
var containerActions = [...]string{
	evidence.ContainerStarted, evidence.ContainerFound, evidence.ContainerJoined, evidence.ContainerMain,
	evidence.ContainerLeft, evidence.ContainerEmpty, evidence.ContainerRemoved,
}

const containerSize = headerSize + 2*8 + 4*4 + subjectPath

func decodeContainer(s *Set, o *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < containerSize {
		return nil
	}
	b := raw[headerSize:]
	action := le.Uint32(b[16:])
	if int(action) >= len(containerActions) {
		return nil
	}
	if containerActions[action] == evidence.ContainerEmpty {
		s.endedAt(o.Subject, o.BootNanos)
		delete(s.gap.dead, o.Subject)
	}
	d := containerDetail(containerActions[action], le.Uint64(b), le.Uint64(b[8:]), b[32:], le.Uint32(b[24:]))
	if s.env.node != nil {
		d.Cgroup = s.env.node.seen(d.Cgroup)
	}
	return d
}

// containerDetail makes the detail from what the kernel keeps of a subject.
func containerDetail(action string, key, unified uint64, path []byte, n uint32) *evidence.Container {
	d := &evidence.Container{Action: action, UnifiedID: unified}
	d.Hierarchy, d.CgroupID = splitKey(key)
	parts := strings.Split(strings.TrimSuffix(string(path[:min(int(n), len(path))]), "\x00"), "\x00")
	slices.Reverse(parts)
	d.Cgroup = "/" + filepath.Join(parts...)
	return d
}

// subjectIs mirrors struct subject.
type subjectIs struct {
	Cgroup, Unified, Name        uint64
	Procs, Main, MainKnown, Look uint32
	Hierarchy, PathLen           uint32
	MainStart                    uint64
	Held, _                      uint32
	Path                         [subjectPath]byte
}

const rowAdopted = 1

// Adopt takes up the containers that run already: their processes belong to subjects from then on, and
// each new subject comes as a Container observation through Run, before anything of its processes. No
// process is missed, however many start meanwhile.
func (s *Set) Adopt() error {
	if s.env.node == nil {
		return fmt.Errorf("adopt containers: %w", errNode)
	}
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	defer s.setState(nodeAdopting, 0)
	// What is made while the look goes on is caught at its fork, once its container is known; so what a
	// second look finds no more is whole. A container that only that one finds needs a third.
	for look, made := 0, 1; look < 2 || made > 0 && look < 16; look++ {
		if err := s.setState(nodeAdopting, 1); err != nil {
			return fmt.Errorf("adopt containers: %w", err)
		}
		rows, err := s.rows("on_adopt")
		if err != nil {
			return fmt.Errorf("adopt containers: %w", err)
		}
		made = 0
		eachRow(rows, func(typ uint32, _ []byte) {
			if typ == rowAdopted {
				made++
			}
		})
	}
	// Now who came from outside, and then who of them was first.
	for mode := uint64(2); mode <= 3; mode++ {
		if err := s.setState(nodeAdopting, mode); err != nil {
			return fmt.Errorf("adopt containers: %w", err)
		}
		if _, err := s.rows("on_adopt"); err != nil {
			return fmt.Errorf("adopt containers: %w", err)
		}
	}
	return nil
}

func (s *Set) setState(key uint32, v uint64) error {
	m := s.env.maps["node_state"]
	if m == nil {
		return os.ErrNotExist
	}
	return m.Put(key, v)
}
