//go:build linux

package probe

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// buildOf tells builds of the objects apart.
func buildOf() string {
	return digest(_ContainerBytes, _DnsBytes, _DropBytes, _OomBytes, _ProcessBytes, _SignalBytes, _SocketsBytes, _SweepBytes, _TcpBytes)
}

// settingsOf tells apart what the objects are adapted to; what differs there shares no maps.
func (e *env) settingsOf() string {
	var uts unix.Utsname
	_ = unix.Uname(&uts)
	n := e.node
	return digest(uts.Release[:], uts.Version[:], fmt.Append(nil, runtime.GOARCH, e.level, e.cpus, e.without, n.Standalone, n.NoDNS, n.units, n.Scope, len(n.scope) > 0, n.Ring, n.unified()))
}

// shapeOf tells maps apart whose contents mean different things. Of the ring these are all events.
func (e *env) shapeOf(m *ebpf.MapSpec, spec *ebpf.CollectionSpec) string {
	var b strings.Builder
	fmt.Fprint(&b, m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags)
	writeShape(&b, m.Key, 0)
	writeShape(&b, m.Value, 0)
	if m.Type == ebpf.RingBuf {
		b.WriteString(e.eventShapes())
	}
	return digest([]byte(b.String()))
}

// eventShapes describes the events of all objects: of those whose programs are pinned, and of step 1, whose last events
// may stand in the ring as well.
func (e *env) eventShapes() string {
	var all []string
	for _, o := range append(slices.Clip(e.objects), syscallObject) {
		spec, err := o.spec()
		if err != nil {
			continue
		}
		for t, err := range spec.Types.All() {
			s, ok := t.(*btf.Struct)
			if err != nil || !ok || !strings.HasSuffix(s.Name, "_event") {
				continue
			}
			var b strings.Builder
			writeShape(&b, s, 0)
			all = append(all, b.String())
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), "\n")
}

// writeShape describes a type by its members.
func writeShape(b *strings.Builder, t btf.Type, depth int) {
	if t == nil || depth > 8 {
		return
	}
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		fmt.Fprintf(b, "%s%d{", t.Name, t.Size)
		members(b, t.Members, depth)
	case *btf.Union:
		fmt.Fprintf(b, "%s%d|{", t.Name, t.Size)
		members(b, t.Members, depth)
	case *btf.Array:
		fmt.Fprintf(b, "[%d]", t.Nelems)
		writeShape(b, t.Type, depth+1)
	case *btf.Int:
		fmt.Fprintf(b, "%d/%d", t.Size, t.Encoding)
	default:
		fmt.Fprintf(b, "%T", t)
	}
}

func members(b *strings.Builder, all []btf.Member, depth int) {
	for _, m := range all {
		fmt.Fprintf(b, "%s@%d:", m.Name, m.Offset)
		writeShape(b, m.Type, depth+1)
		b.WriteByte(';')
	}
	b.WriteByte('}')
}
