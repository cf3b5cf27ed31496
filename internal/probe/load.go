//go:build linux

package probe

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// object is a compiled C file.
type object struct {
	name  string // of the C file: "process"
	spec  func() (*ebpf.CollectionSpec, error)
	setup func(*env, *ebpf.CollectionSpec) error // sets constants and sizes of maps before load; may be nil
}

// env is what the objects are adapted to: the running kernel and the wishes of Config.
type env struct {
	cache   *btf.Cache
	without []string
	level   uint32 // of descry's pid namespace
	node    *nodeEnv
	objects []*object // of a node, those whose programs are attached all the time
	way     Way       // SysExit or Functions, never Auto
	cpus    int       // possible ones

	dns *dnsLoaded // loaded, and not attached yet

	mu   sync.Mutex
	maps map[string]*ebpf.Map // by name, shared by all objects
	objs map[*object]func() (*ebpf.CollectionSpec, error)
	read map[*object]func() (*ebpf.CollectionSpec, error) // begun early, each taken once
}

// readAhead begins to read the objects, which takes as long as reading the kernel's types.
func (e *env) readAhead(probes []*Probe) {
	e.read = map[*object]func() (*ebpf.CollectionSpec, error){}
	for _, p := range probes {
		for i := range p.Ways {
			if o := p.Ways[i].Object; e.read[o] == nil {
				e.read[o] = sync.OnceValues(o.spec)
			}
		}
	}
	fs := slices.Collect(maps.Values(e.read))
	go func() {
		for _, f := range fs {
			_, _ = f()
		}
	}()
}

// lacks gives an error if a test has asked to do without a feature.
func (e *env) lacks(feature string) error {
	if slices.Contains(e.without, feature) {
		return &NotSupportedError{Feature: feature, Err: errors.New("switched off")}
	}
	return nil
}

// parameters gives those of a tracepoint on the running kernel: they differ between versions.
func (e *env) parameters(tracepoint string) ([]btf.FuncParam, error) {
	k, err := e.cache.Kernel()
	if err != nil {
		return nil, err
	}
	var t *btf.Typedef
	if err := k.TypeByName("btf_trace_"+tracepoint, &t); err != nil {
		return nil, &NotSupportedError{Feature: "tracepoint " + tracepoint, Err: err}
	}
	ptr, ok := t.Type.(*btf.Pointer)
	if !ok {
		return nil, fmt.Errorf("tracepoint %s: unexpected %v", tracepoint, t.Type)
	}
	fn, ok := ptr.Target.(*btf.FuncProto)
	if !ok || len(fn.Params) == 0 {
		return nil, fmt.Errorf("tracepoint %s: unexpected %v", tracepoint, ptr.Target)
	}
	return fn.Params[1:], nil // the first is the probe's own data
}

// set gives a constant its value, where the object has it.
func set(spec *ebpf.CollectionSpec, name string, value any) error {
	v := spec.Variables[name]
	if v == nil {
		return nil
	}
	return v.Set(value)
}

// writeConstants puts the values of constants into the contents of their maps, where they are also
// found by who loads a single program without the object's variables.
func writeConstants(spec *ebpf.CollectionSpec) {
	for _, v := range spec.Variables {
		m := spec.Maps[v.SectionName]
		if m == nil || len(m.Contents) != 1 || v.Value == nil {
			continue
		}
		if data, ok := m.Contents[0].Value.([]byte); ok && int(v.Offset)+len(v.Value) <= len(data) {
			copy(data[v.Offset:], v.Value)
		}
	}
}

// open gives o's specification, read and adapted once.
func (e *env) open(o *object) (*ebpf.CollectionSpec, error) {
	e.mu.Lock()
	f := e.objs[o]
	if f == nil {
		read := e.read[o]
		delete(e.read, o)
		if read == nil {
			read = o.spec
		}
		f = sync.OnceValues(func() (*ebpf.CollectionSpec, error) { return e.adapt(o, read) })
		e.objs[o] = f
	}
	e.mu.Unlock()
	return f()
}

func (e *env) adapt(o *object, read func() (*ebpf.CollectionSpec, error)) (*ebpf.CollectionSpec, error) {
	spec, err := read()
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", o.name, err)
	}
	if err := set(spec, "ns_level", e.level); err != nil {
		return nil, err
	}
	if err := e.node.adapt(spec); err != nil {
		return nil, err
	}
	if o.setup != nil {
		if err := o.setup(e, spec); err != nil {
			return nil, fmt.Errorf("adapt object %s: %w", o.name, err)
		}
	}
	writeConstants(spec)
	e.mu.Lock()
	defer e.mu.Unlock()
	// All objects share maps by name; .rodata and its like stay with each program.
	for name, m := range spec.Maps {
		if strings.HasPrefix(name, ".") || e.maps[name] != nil {
			continue
		}
		if e.node != nil && e.node.pins != nil {
			if taken := e.node.take(name, e.shapeOf(m, spec)); taken != nil {
				e.maps[name] = taken
				continue
			}
		}
		made, err := ebpf.NewMap(m)
		if err != nil {
			return nil, fmt.Errorf("make map %s of %s: %w", name, o.name, err)
		}
		if err := e.node.fill(name, made); err != nil {
			made.Close()
			return nil, fmt.Errorf("fill map %s of %s: %w", name, o.name, err)
		}
		e.maps[name] = made
	}
	return spec, nil
}

// load puts one program of o into the kernel.
func (e *env) load(o *object, name string) (*ebpf.Program, error) {
	spec, err := e.open(o)
	if err != nil {
		return nil, err
	}
	p := spec.Programs[name]
	if p == nil {
		return nil, fmt.Errorf("object %s has no program %s", o.name, name)
	}
	one := &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{}, Programs: map[string]*ebpf.ProgramSpec{name: p},
		Types: spec.Types, ByteOrder: spec.ByteOrder,
	}
	opts := ebpf.CollectionOptions{Cache: e.cache, MapReplacements: map[string]*ebpf.Map{}}
	for i := range p.Instructions {
		ref := p.Instructions[i].Reference()
		m := spec.Maps[ref]
		if m == nil || !p.Instructions[i].IsLoadFromMap() {
			continue
		}
		one.Maps[ref] = m
		e.mu.Lock()
		if shared := e.maps[ref]; shared != nil {
			opts.MapReplacements[ref] = shared
		}
		e.mu.Unlock()
	}
	c, err := ebpf.NewCollectionWithOptions(one, opts)
	if err != nil {
		return nil, explain(o, name, err)
	}
	prog := c.DetachProgram(name)
	c.Close()
	return prog, nil
}

// explain makes the kernel's refusal of a program readable.
func explain(o *object, name string, err error) error {
	var v *ebpf.VerifierError
	if errors.As(err, &v) && len(v.Log) > 0 {
		return fmt.Errorf("load %s of %s.bpf.c: the kernel's verifier refused it: %w", name, o.name, err)
	}
	if errors.Is(err, unix.EPERM) {
		return &NotSupportedError{Feature: "program " + name, Err: err}
	}
	return fmt.Errorf("load %s of %s.bpf.c: %w", name, o.name, err)
}

// attach connects a loaded program by its type.
func attach(p *ebpf.Program) (link.Link, error) {
	if p.Type() != ebpf.Tracing {
		return nil, fmt.Errorf("attach a program of type %s: not known", p.Type())
	}
	return link.AttachTracing(link.TracingOptions{Program: p})
}

// attach connects a loaded program of an object.
func (e *env) attach(o *object, name string, p *ebpf.Program) (link.Link, error) {
	spec, err := e.open(o)
	if err != nil {
		return nil, err
	}
	if spec.Programs[name].AttachType == ebpf.AttachTraceIter {
		return link.AttachIter(link.IterOptions{Program: p})
	}
	return attach(p)
}

// trampolines says whether programs can be attached to the kernel's functions.
func (e *env) trampolines() error {
	if err := e.lacks("fexit"); err != nil {
		return err
	}
	missing := func(err error) error {
		return &NotSupportedError{Feature: "BPF trampolines (fentry and fexit)", Since: "5.5", Err: err}
	}
	spec := &ebpf.ProgramSpec{
		Type: ebpf.Tracing, AttachType: ebpf.AttachTraceFExit, AttachTo: "fd_install", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	}
	c, err := ebpf.NewCollectionWithOptions(&ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{"f": spec}}, ebpf.CollectionOptions{Cache: e.cache})
	if err != nil {
		return missing(err)
	}
	defer c.Close()
	l, err := link.AttachTracing(link.TracingOptions{Program: c.Programs["f"]})
	if err != nil {
		return missing(err)
	}
	return l.Close()
}

// allowed says what of the process's rights BPF lacks.
func allowed() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("read own capabilities: %w", err)
	}
	has := func(c int) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
	if has(unix.CAP_SYS_ADMIN) || has(unix.CAP_BPF) && has(unix.CAP_PERFMON) {
		return nil
	}
	return &NotSupportedError{
		Feature: "watching the kernel",
		Err:     fmt.Errorf("it needs root, or the capabilities CAP_BPF and CAP_PERFMON: %w", unix.EPERM),
	}
}
