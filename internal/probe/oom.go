//go:build linux

package probe

import (
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/descry-dev/descry/internal/evidence"
)

var oomObject = &object{name: "oom", spec: loadOom, setup: setupOOM}

func setupOOM(e *env, spec *ebpf.CollectionSpec) error {
	params, err := e.parameters("mark_victim")
	if err != nil {
		return err
	}
	if len(params) > 0 {
		if _, ok := btf.UnderlyingType(params[0].Type).(*btf.Pointer); ok { // 6.10
			return set(spec, "victim_is_task", uint32(1))
		}
	}
	return nil
}

var oomProbe = &Probe{
	Name: "probe/oom",
	Cost: "a kill for memory is told from others only by its sender, the kernel",
	Ways: []Made{{
		By: "tp_btf/mark_victim", Since: "5.17", Needs: []string{"tp_btf"},
		Object: oomObject, Programs: []string{"on_mark_victim"},
	}},
	Events: []Event{{Type: evOOM, Decode: decodeOOM}},
}

func decodeOOM(s *Set, o *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < headerSize+8 {
		return nil
	}
	s.addTotal(o.Subject, evidence.CountOOM, 1)
	page := int64(os.Getpagesize())
	d := &evidence.OOM{RSSBytes: int64(le.Uint64(raw[headerSize:])) * page}
	if len(raw) >= headerSize+16+fullCgroupSize && le.Uint32(raw[headerSize+8:]) != 0 {
		at := readFullCgroup(raw[headerSize+16:])
		d.GlobalKnown, d.Global = true, at.max == 0
		d.Cgroup, d.Used, d.Max, d.Above = at.name, at.used*page, at.max*page, at.above
	}
	return d
}
