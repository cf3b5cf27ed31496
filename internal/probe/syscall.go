//go:build linux

package probe

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sync/errgroup"
)

var syscallObject = &object{name: "syscall", spec: loadSyscall, setup: setupSyscall}

// syscallProbe is all that is seen at system calls.
var syscallProbe = &Probe{
	Name: "probe/syscall",
	Cost: "refused descriptors, failed system calls, select beyond FD_SETSIZE, and what became of descriptors 0 to 2 are not seen",
	Ways: []Made{{
		By: "fexit/" + dispatcher.name + " and fexit/alloc_fd", Since: "5.17", Way: Functions, Needs: []string{"fexit", "tp_btf"},
		Object: syscallObject, Load: loadFunctions,
	}, {
		By: "tp_btf/sys_exit", Since: "5.17", Way: SysExit, Needs: []string{"tp_btf"},
		Object: syscallObject, Load: loadSysExit,
	}},
	Events: []Event{
		{Type: evRefused, Decode: decodeRefused, Counted: countedRefused, Total: totalRefused},
		{Type: evGrown, Decode: decodeGrown},
		{Type: evInotify, Decode: decodeInotify, Counted: countedInotify, Total: totalInotify},
		{Type: evAddress, Decode: decodeAddress, Counted: countedAddress, Total: totalAddress},
		{Type: evFailures, Decode: decodeFailures, Total: totalFailures},
		{Type: evSelect, Decode: decodeSelect, Counted: countedSelect, Total: totalSelect},
		{Type: evStdio, Decode: decodeStdio},
		{Type: evWrite, Decode: decodeWrite, Counted: countedWrite, Total: totalWrite},
		{Type: evWritten, Decode: decodeWritten, Total: totalWritten},
		{Type: evConnect, Decode: decodeConnect, Counted: countedConnect, Total: totalConnect},
		{Type: evLimit, Decode: decodeLimit, Counted: countedLimit, Total: totalLimit},
		{Type: evFile, Decode: decodeFile, Counted: countedFile, Total: totalFile},
		{Type: evExecFailed, Decode: decodeExecFailed, Counted: countedExecFailed, Total: totalExecFailed},
	},
}

// slowPrograms are those that syscall_end leaves the rest to; mirrors the S_ indexes.
var slowPrograms = []string{"syscall_failed", "syscall_alloc", "syscall_stdio", "syscall_select", "syscall_short", "syscall_pair", "syscall_limit", "syscall_file", "syscall_written"}

const headProgram = "syscall_end"

func setupSyscall(e *env, spec *ebpf.CollectionSpec) error {
	if err := set(spec, "calls", callWords()); err != nil {
		return fmt.Errorf("set the table of system calls: %w", err)
	}
	if e.way != Functions {
		return nil
	}
	if err := set(spec, "ret_at", dispatcher.retAt); err != nil {
		return err
	}
	return set(spec, "by_functions", uint32(1))
}

// bunch loads programs of one object that share its constants.
type bunch struct {
	env    *env
	spec   *ebpf.CollectionSpec
	rodata *ebpf.Map

	mu       sync.Mutex
	loaded   []*ebpf.Program
	attached []*ebpf.Program // kept open for their statistics
}

func newBunch(e *env) (*bunch, error) {
	spec, err := e.open(syscallObject)
	if err != nil {
		return nil, err
	}
	// A collection, not a map: it adds a flag that loading asks for again.
	c, err := ebpf.NewCollectionWithOptions(&ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{".rodata": spec.Maps[".rodata"]}, Types: spec.Types, ByteOrder: spec.ByteOrder,
	}, ebpf.CollectionOptions{Cache: e.cache})
	if err != nil {
		return nil, fmt.Errorf("make the constants of %s: %w", syscallObject.name, err)
	}
	defer c.Close()
	return &bunch{env: e, spec: spec, rodata: c.DetachMap(".rodata")}, nil
}

// load puts a program into the kernel, for the end of a function instead of what it was written
// for if to is given.
func (b *bunch) load(name, to string) (*ebpf.Program, error) {
	p := b.spec.Programs[name]
	if p == nil {
		return nil, fmt.Errorf("object %s has no program %s", syscallObject.name, name)
	}
	if to != "" {
		p = p.Copy()
		p.AttachType, p.AttachTo, p.SectionName = ebpf.AttachTraceFExit, to, "fexit/"+to
	}
	one := &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{}, Programs: map[string]*ebpf.ProgramSpec{name: p},
		Types: b.spec.Types, ByteOrder: b.spec.ByteOrder,
	}
	opts := ebpf.CollectionOptions{Cache: b.env.cache, MapReplacements: map[string]*ebpf.Map{}}
	for i := range p.Instructions {
		ref := p.Instructions[i].Reference()
		if m := b.spec.Maps[ref]; m != nil && p.Instructions[i].IsLoadFromMap() {
			one.Maps[ref] = m
			opts.MapReplacements[ref] = b.rodata
			if ref != ".rodata" {
				opts.MapReplacements[ref] = b.env.maps[ref]
			}
		}
	}
	c, err := ebpf.NewCollectionWithOptions(one, opts)
	if err != nil {
		return nil, explain(syscallObject, name, err)
	}
	defer c.Close()
	prog := c.DetachProgram(name)
	b.mu.Lock()
	b.loaded = append(b.loaded, prog)
	b.mu.Unlock()
	return prog, nil
}

// loadSlow loads what syscall_end leaves the rest to, and enters it where that looks. The kernel
// asks that all of a table are for the same type of function.
func (b *bunch) loadSlow(g *errgroup.Group, to string) {
	for i, name := range slowPrograms {
		g.Go(func() error {
			p, err := b.load(name, to)
			if err != nil {
				return err
			}
			if err := b.env.maps["slow"].Put(uint32(i), p); err != nil {
				return fmt.Errorf("enter %s: %w", name, err)
			}
			return nil
		})
	}
}

// close lets go of what only loading needed.
func (b *bunch) close() {
	for _, p := range b.loaded {
		p.Close()
	}
	b.rodata.Close()
}

// missed counts the calls that were not looked at: those of 32-bit tasks that failed, and those at
// whose end the program was already running on that processor, for a task that it then interrupted.
func (b *bunch) missed() (n int64) {
	var totals []uint64
	if m := b.env.maps["syscall_totals"]; m != nil && m.Lookup(uint32(0), &totals) == nil {
		for _, v := range totals {
			n += int64(v)
		}
	}
	for _, p := range b.attached {
		if st, err := p.Stats(); err == nil {
			n += int64(st.RecursionMisses)
		}
	}
	return n
}

// attach attaches the programs in their order, all or none.
func (b *bunch) attach(progs []*ebpf.Program) ([]link.Link, error) {
	var links []link.Link
	b.attached = b.attached[:0] // of the last time, see Set.Look
	for _, p := range progs {
		l, err := attach(p)
		if err != nil {
			for _, l := range links {
				l.Close()
			}
			return nil, fmt.Errorf("attach %s: %w", p, err)
		}
		own, err := p.Clone()
		if err == nil {
			b.attached = append(b.attached, own)
			l = withProgram{l, own}
		}
		links = append(links, l)
	}
	return links, nil
}

// withProgram is a link that closes its program, too.
type withProgram struct {
	link.Link
	program *ebpf.Program
}

func (l withProgram) Close() error { return errors.Join(l.Link.Close(), l.program.Close()) }

// loadSysExit loads the one program for all system calls.
func loadSysExit(e *env) (*group, error) {
	b, err := newBunch(e)
	if err != nil {
		return nil, err
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	b.loadSlow(&g, "")
	progs := make([]*ebpf.Program, 3)
	for i, name := range []string{"syscall_exec", "syscall_thread_exit", headProgram} {
		g.Go(func() (err error) {
			progs[i], err = b.load(name, "")
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.close()
		return nil, err
	}
	return &group{close: b.close, attach: func() ([]link.Link, error) { return b.attach(progs) }, missed: b.missed}, nil
}
