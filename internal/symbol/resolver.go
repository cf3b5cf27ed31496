package symbol

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Options of a Resolver. The zero value is good.
type Options struct {
	MaxModules int           // binaries kept open, 64 if 0; those in use or held count, but stay
	MaxFrames  int           // of one Trace, 128 if 0
	DebugDirs  []string      // where separate debug files are looked for, below the root and here; /usr/lib/debug if nil
	LineTime   time.Duration // spent at most on DWARF for one Trace, 50 ms if 0, none if negative
	MaxInflate uint64        // bytes of one compressed section, or of .gnu_debugdata, that are unpacked; 8 MiB if 0

	// AllLines has files, lines and inlined functions looked up in libraries of a runtime (libc, libstdc++), too.
	AllLines bool

	// TailCalls adds functions that ended with a jump to another one, where the code shows them (amd64).
	TailCalls bool

	noTrampolines bool // for tests: signal frames by unwind information alone
}

// Resolver unwinds stacks and names addresses. It keeps binaries open, mapped and indexed by
// nothing, and may be used by many goroutines at once.
type Resolver struct {
	opts    Options
	mu      sync.Mutex
	modules map[moduleKey]*module
	clock   uint64
	vdso    struct {
		sync.Once
		mod *module
	}
}

// New makes a Resolver; Close it.
func New(o Options) *Resolver {
	if o.MaxModules <= 0 {
		o.MaxModules = 64
	}
	if o.MaxFrames <= 0 {
		o.MaxFrames = 128
	}
	if o.DebugDirs == nil {
		o.DebugDirs = []string{"/usr/lib/debug"}
	}
	if o.MaxInflate == 0 {
		o.MaxInflate = maxInflate
	}
	if o.LineTime == 0 {
		o.LineTime = 50 * time.Millisecond
	}
	return &Resolver{opts: o, modules: map[moduleKey]*module{}}
}

// Close unmaps every binary. No call may be under way, and none may follow.
func (r *Resolver) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, mod := range r.modules {
		mod.close()
		delete(r.modules, k)
	}
}

// Hold opens the binaries of a live process, so that its stacks can be named after its death even
// if its files are replaced, deleted or unmounted then. Of each it opens exactly the file that is
// mapped (/proc/PID/map_files, which needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN), else the file
// at its path. Binaries that are open already are not opened again. Binaries stay open until Drop
// or Close. The error joins those that could not be opened.
func (r *Resolver) Hold(pid int, root string, maps []Mapping) error {
	var errs []error
	for i := range maps {
		m := &maps[i]
		if m.Path == "" || m.Path[0] != '/' || m.Inode == 0 {
			continue
		}
		key := keyOf(root, m)
		r.mu.Lock()
		mod := r.modules[key]
		if mod != nil && mod.err == nil {
			mod.held = true
			r.mu.Unlock()
			continue
		}
		r.mu.Unlock()
		f, err := os.Open(mapFile(pid, m))
		if err != nil {
			if f, err = openMapping(root, m); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", m.Path, err))
				continue
			}
		}
		_, err = r.insert(key, m, f, nil, true)
		f.Close() //nolint:errcheck // read only
		if err != nil && !errors.Is(err, errELF) {
			errs = append(errs, fmt.Errorf("%s: %w", m.Path, err))
		}
	}
	return errors.Join(errs...)
}

// Drop ends what Hold began, for all binaries below root: they are closed when others need the room.
func (r *Resolver) Drop(root string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, mod := range r.modules {
		if k.root == root {
			mod.held = false
		}
	}
	r.evict()
}

func keyOf(root string, m *Mapping) moduleKey {
	if root == "/" {
		root = ""
	}
	key := moduleKey{path: m.Path, root: root, dev: m.Device, inode: m.Inode, id: m.BuildID}
	if key.id == "" {
		key.id = m.Head
	}
	return key
}

// insert adds a binary, or the error why it cannot be used, and takes a reference to it unless it
// is only to be held.
func (r *Resolver) insert(key moduleKey, m *Mapping, f *os.File, err error, hold bool) (*module, error) {
	mod := &module{key: key, err: err}
	if err == nil {
		mod.err = r.guard(func() error {
			if err := mod.load(f); err != nil {
				return err
			}
			return mod.check(m)
		})
		if mod.err != nil {
			mod.close()
		}
	}
	if mod.err != nil && m.Head != "" {
		mod.headOnly(m, mod.err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.modules[key]; old != nil {
		if old.err == nil || mod.err != nil || old.refs > 0 {
			mod.close()
			mod = old
		}
	}
	r.modules[key] = mod
	r.clock++
	mod.use = r.clock
	if hold {
		mod.held = true
	} else {
		mod.refs++
	}
	r.evict()
	return mod, mod.err
}

// evict closes the binaries that were not used for longest while there are too many.
func (r *Resolver) evict() {
	for len(r.modules) > r.opts.MaxModules {
		var oldest *module
		for _, mod := range r.modules {
			if mod.refs == 0 && !mod.held && (oldest == nil || mod.use < oldest.use) {
				oldest = mod
			}
		}
		if oldest == nil {
			return
		}
		oldest.close()
		delete(r.modules, oldest.key)
	}
}

// get is the module of a mapping with a reference that put gives back. mod.err says why it cannot be used.
func (r *Resolver) get(ctx *Context, m *Mapping) *module {
	root := ctx.Root
	if m.Path == "[vdso]" && m.BuildID != "" && ctx.Memory != nil {
		return r.foreignVDSO(ctx, m)
	}
	if m.Path == "[vdso]" {
		r.vdso.Do(func() {
			r.vdso.mod = &module{}
			r.vdso.mod.img, r.vdso.mod.err = vdsoImage()
		})
		return r.vdso.mod
	}
	key := keyOf(root, m)
	var f *os.File
	var err error
	if m.Inode == 0 {
		// Only the file itself tells whether it is the one that was opened before.
		if f, err = openMapping(root, m); err == nil {
			if key.dev, key.inode, err = fileID(f); err != nil {
				f.Close() //nolint:errcheck // read only
			}
		}
	}
	r.mu.Lock()
	mod := r.modules[key]
	if mod != nil && (mod.err == nil || m.Inode != 0) {
		r.clock++
		mod.use = r.clock
		mod.refs++
		r.mu.Unlock()
		if f != nil {
			f.Close() //nolint:errcheck // read only
		}
		return mod
	}
	r.mu.Unlock()
	if f == nil && err == nil {
		f, err = openMapping(root, m)
	}
	mod, _ = r.insert(key, m, f, err, false)
	if f != nil {
		f.Close() //nolint:errcheck // read only
	}
	return mod
}

// foreignVDSO is the vdso of a process of another kernel, out of its own memory.
func (r *Resolver) foreignVDSO(ctx *Context, m *Mapping) *module {
	key := moduleKey{path: m.Path, id: m.BuildID}
	r.mu.Lock()
	defer r.mu.Unlock()
	mod := r.modules[key]
	if mod == nil {
		mod = &module{key: key, memory: true, id: m.BuildID}
		b := make([]byte, min(m.End-m.Start, 256<<10))
		b = b[:ctx.Memory(m.Start, b)]
		if mod.img, mod.err = parseELF(b); mod.err == nil {
			mod.data = b
		}
		r.modules[key] = mod
	}
	r.clock++
	mod.use = r.clock
	mod.refs++
	r.evict()
	return mod
}

func (r *Resolver) put(mods []*module) {
	for _, mod := range mods {
		if mod.img != nil {
			mod.forgetLines()
		}
		mod.release()
	}
	r.mu.Lock()
	for _, mod := range mods {
		if mod != r.vdso.mod {
			mod.refs--
		}
	}
	r.evict()
	r.mu.Unlock()
}

// guard runs f on foreign bytes: a panic in it, also by a file that is cut short under its
// mapping, becomes an error.
func (r *Resolver) guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged binary: %v", p)
		}
	}()
	return f()
}

// Name names one address of a mapping. Where instructions were inlined, it is the innermost
// function. pc is the address of an instruction, not a return address.
func (r *Resolver) Name(m Mapping, pc uint64) Frame {
	t := r.nameAll(&Context{Maps: []Mapping{m}}, []spot{{pc: pc, exact: true, m: &m}})
	if len(t) == 0 {
		return Frame{PC: pc, Module: m.Path}
	}
	return t[0]
}

// Unwind finds the frames of a stack and names them.
func (r *Resolver) Unwind(ctx *Context) Trace {
	u := unwinder{r: r, ctx: ctx, mods: map[*Mapping]*module{}}
	defer func() { r.put(u.refs()) }()
	if err := r.guard(func() error { return u.run() }); err != nil {
		u.stop(err.Error())
	}
	if r.opts.TailCalls {
		if err := r.guard(func() error { u.tailCalls(); return nil }); err != nil {
			u.notes = append(u.notes, err.Error())
		}
	}
	t := Trace{By: u.by(), Truncated: u.truncated, Notes: u.notes}
	t.Frames = u.name()
	if len(t.Frames) > r.opts.MaxFrames {
		t.Frames = slices.Clip(t.Frames[:r.opts.MaxFrames])
		t.Truncated = fmt.Sprintf("more than %d frames", r.opts.MaxFrames)
	}
	return t
}

func (r *Resolver) nameAll(ctx *Context, spots []spot) []Frame {
	u := unwinder{r: r, ctx: ctx, mods: map[*Mapping]*module{}, spots: spots}
	defer func() { r.put(u.refs()) }()
	return u.name()
}
