package coredump

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/descry-dev/descry/internal/symbol"
)

// Bounds of what is read of a Go program's goroutines.
const (
	maxGoroutines = 250_000
	maxGoGroups   = 512      // groups that are named
	maxGoWalk     = 32       // frames that tell groups apart
	maxGoStack    = 16 << 10 // bytes of a stack that are read for that
	maxGoData     = 64 << 20 // bytes of a stripped program's variables that are searched
)

// GoRuntime is what a core tells of a Go program.
type GoRuntime struct {
	Version string
	Count   int       // goroutines in use
	Read    int       // of these
	Groups  []GoGroup // those that ran first, then the largest
	More    int       // groups beyond these
	Panic   string    // value of the panic that ended it, as its message has it
	Missing string    // why not all could be read
}

// GoGroup are goroutines whose states and stacks are alike.
type GoGroup struct {
	IDs       []uint64 // in the order of runtime.allgs
	State     string   // "running", "IO wait"
	TID       int32    // of a running one
	WaitNanos int64    // longest, as far as the garbage collector noted it; 0: not known
	Trace     symbol.Trace
	CreatedBy symbol.Frame // of the first one
	Creator   uint64       // likewise; 0: not known
	Entry     symbol.Frame
	Locked    bool // to its thread
}

// goReader reads the goroutines of one program.
type goReader struct {
	read    func(addr uint64, p []byte) int
	prog    *symbol.GoProgram
	lay     *goLayout
	arm     bool
	known   bool // the version, and so the numbers of its wait reasons
	now     int64
	names   map[uint64]symbol.Frame
	typesAt uint64 // 0: not looked for, 1: not found
}

// goroutine is what runtime.g says.
type goroutine struct {
	addr          uint64
	id, parent    uint64
	lo, hi        uint64
	pc, sp, bp    uint64
	m, panic      uint64
	goPC, startPC uint64
	waitSince     int64
	status        uint32
	reason        byte
	locked        bool
	tid           int32
}

// ErrNoGo says that the program is not one of Go.
var ErrNoGo = symbol.ErrNotGo

// Goroutines reads the goroutines of a Go program's core. root is where the process's files are ("" for
// this machine's own), now CLOCK_MONOTONIC in nanoseconds when the process died, 0 where that is not known.
// The error is ErrNoGo for another program; where it is one and its goroutines cannot be read Missing says why.
func (c *Core) Goroutines(res *symbol.Resolver, root string, now int64) (*GoRuntime, error) {
	maps := c.symbolMaps()
	m := c.programMapping(maps)
	if m == nil {
		return nil, fmt.Errorf("the executable is not among the mappings: %w", ErrNoGo)
	}
	prog, err := res.Go(root, *m)
	if err != nil {
		return nil, err
	}
	defer prog.Close()
	r := &goReader{read: c.Memory, prog: prog, arm: c.Arch == "arm64", now: now, names: map[uint64]symbol.Frame{}}
	out := &GoRuntime{Version: prog.Version}
	gs, err := r.all(out)
	if err != nil {
		out.Missing = err.Error()
		return out, nil
	}
	threads := map[int32]*Thread{}
	for i := range c.Threads {
		threads[c.Threads[i].TID] = &c.Threads[i]
	}
	r.group(out, gs, func(g *goroutine) symbol.Trace {
		ctx := &symbol.Context{Arch: c.Arch, Regs: r.regs(g), PC: g.pc, SP: g.sp, Maps: maps, Sorted: true, Root: root, Memory: c.Memory, Called: g.pc != g.startPC}
		t := threads[g.tid]
		if g.status != goRunning || t == nil {
			return res.Unwind(ctx)
		}
		trace := res.Unwind(&symbol.Context{Arch: c.Arch, Regs: t.Regs, PC: t.PC, SP: t.SP, Maps: maps, Sorted: true, Root: root, Memory: c.Memory})
		if trace.Truncated != "" && g.sp != 0 && t.SP-g.lo > g.hi-g.lo {
			// The thread was on its own stack, for the goroutine that stands still at what it asked for.
			if more := res.Unwind(ctx); len(more.Frames) > 0 {
				trace.Frames, trace.Truncated = append(trace.Frames, more.Frames...), more.Truncated
			}
		}
		return trace
	}, func(pc uint64) symbol.Frame {
		for i := range maps {
			if m := &maps[i]; pc >= m.Start && pc < m.End {
				return res.Name(*m, pc)
			}
		}
		return symbol.Frame{PC: pc}
	})
	if len(c.Threads) > 0 {
		out.Panic = r.panicOf(gs, c.Threads[0].TID)
	}
	return out, nil
}

// programMapping is the one that the program's entry lies in.
func (c *Core) programMapping(maps []symbol.Mapping) *symbol.Mapping {
	entry, ok := c.Aux(atEntry)
	if !ok {
		return nil
	}
	for i := range maps {
		if m := &maps[i]; entry >= m.Start && entry < m.End && m.Path != "" {
			return m
		}
	}
	return nil
}

func (r *goReader) word(addr uint64) (uint64, bool) {
	var p [8]byte
	if r.read(addr, p[:]) < 8 {
		return 0, false
	}
	return le.Uint64(p[:]), true
}

var errNoAllGs = errors.New("the list of goroutines was not found in the program's memory")

// all reads runtime.allgs.
func (r *goReader) all(out *GoRuntime) ([]goroutine, error) {
	list, known := layoutsOf(r.prog.Version)
	if len(list) == 0 {
		return nil, fmt.Errorf("%s is older than Go 1.18, and where its runtime keeps goroutines is not known here", r.prog.Version)
	}
	for i := range list {
		r.lay, r.known = &list[i], known
		ptr, n := r.allGs()
		if n == 0 {
			continue
		}
		if !known {
			out.Missing = fmt.Sprintf("%q is not a version that is known here; its goroutines were read as those of Go 1.%d", r.prog.Version, r.lay.minor)
		}
		return r.readAll(out, ptr, n), nil
	}
	return nil, errNoAllGs
}

// allGs finds the variable: by its symbol, else by what such a slice looks like.
func (r *goReader) allGs() (ptr, n uint64) {
	if r.prog.AllGs != 0 {
		var b [24]byte
		if r.read(r.prog.AllGs, b[:]) == len(b) {
			if ptr, n := le.Uint64(b[:]), le.Uint64(b[8:]); r.isAllGs(ptr, n, le.Uint64(b[16:])) {
				return ptr, n
			}
		}
		return 0, 0
	}
	buf := make([]byte, 1<<20)
	left := uint64(maxGoData)
	for _, s := range r.prog.Data {
		for at := s.Start; at < s.End && left > 0; {
			b := buf[:min(uint64(len(buf)), s.End-at, left)]
			got := r.read(at, b)
			for i := 0; i+24 <= got; i += 8 {
				p, l, c := le.Uint64(b[i:]), le.Uint64(b[i+8:]), le.Uint64(b[i+16:])
				if l > n && l <= c && c <= 1<<28 && p != 0 && p%8 == 0 && r.isAllGs(p, l, c) {
					ptr, n = p, l
				}
			}
			left -= uint64(len(b))
			if got < 4096 { // not in the core: the next page may be
				at += 4096
				continue
			}
			at += max(8, uint64(got)-16) &^ 7
		}
	}
	return ptr, n
}

// isAllGs looks at the first goroutines of a slice that may be runtime.allgs.
func (r *goReader) isAllGs(ptr, n, c uint64) bool {
	if n == 0 || n > c || c > 1<<28 || ptr%8 != 0 {
		return false
	}
	b := make([]byte, 8*min(n, 16))
	b = b[:r.read(ptr, b)&^7]
	live := 0
	for ; len(b) > 0; b = b[8:] {
		g, ok := r.goroutine(le.Uint64(b))
		if !ok {
			return false
		}
		if g.status != goDead && g.status != goExtra {
			live++
		}
	}
	return live > 0
}

// readAll reads the goroutines that are in use.
func (r *goReader) readAll(out *GoRuntime, ptr, n uint64) []goroutine {
	var gs []goroutine
	bad, unread := 0, uint64(0)
	if n > maxGoroutines {
		unread, n = n-maxGoroutines, maxGoroutines
	}
	list := make([]byte, 8*n)
	got := uint64(r.read(ptr, list)) / 8
	unread += n - got
	seen := make(map[uint64]bool, got)
	for i := range got {
		addr := le.Uint64(list[8*i:])
		if seen[addr] {
			bad++
			continue
		}
		seen[addr] = true
		g, ok := r.goroutine(addr)
		switch {
		case !ok:
			bad++
		case g.status == goDead || g.status == goIdle || g.status == goExtra:
		default:
			gs = append(gs, g)
		}
	}
	out.Read = len(gs)
	out.Count = len(gs) + bad + int(unread)
	if bad > 0 || unread > 0 {
		out.Missing = fmt.Sprintf("%d of %d goroutines could not be read: the core does not hold them whole", bad+int(unread), out.Count)
		if unread > 0 && bad == 0 && got == maxGoroutines {
			out.Missing = fmt.Sprintf("only the first %d of %d goroutines were read", maxGoroutines, out.Count)
		}
	}
	return gs
}

// goroutine reads one runtime.g; ok is false where what stands there cannot be one.
func (r *goReader) goroutine(addr uint64) (g goroutine, ok bool) {
	var b [gSize]byte
	if addr == 0 || addr%8 != 0 || r.read(addr, b[:]) < len(b) {
		return g, false
	}
	l := r.lay
	word := func(off uint64) uint64 { return le.Uint64(b[off:]) }
	g = goroutine{addr: addr, lo: word(gStackLo), hi: word(gStackHi), panic: word(gPanic), m: word(gM), sp: word(gSchedSP), pc: word(gSchedPC),
		bp: word(l.schedBP), id: word(l.goid), waitSince: int64(word(l.waitSince)), status: le.Uint32(b[l.status:]) &^ goScan, reason: b[l.reason],
		locked: word(l.lockedM) != 0, goPC: word(l.goPC), startPC: word(l.startPC)}
	if l.parent != 0 {
		g.parent = word(l.parent)
	}
	if g.status >= uint32(len(goStates)) || goStates[g.status] == "" || word(gSchedG) != addr || g.id > 1<<48 {
		return g, false
	}
	if g.status == goDead || g.status == goIdle || g.status == goExtra {
		return g, true
	}
	if g.id == 0 || g.lo >= g.hi || g.hi-g.lo < 1024 || g.hi-g.lo > 4<<30 || g.parent > 1<<48 {
		return g, false
	}
	if sp := word(l.syscallSP); sp != 0 && g.status == goSyscall {
		g.sp, g.pc = sp, word(l.syscallPC)
		if l.syscallBP != 0 {
			g.bp = word(l.syscallBP)
		}
	}
	if g.status != goRunning && (g.sp < g.lo || g.sp > g.hi) {
		return g, false
	}
	if g.m != 0 {
		if tid, ok := r.word(g.m + l.procID); ok && tid < 1<<31 {
			if cur, _ := r.word(g.m + l.curG); cur == addr {
				g.tid = int32(tid)
			}
		}
	}
	return g, true
}

// state is the word of Go's tracebacks.
func (r *goReader) state(g *goroutine) string {
	if (g.status == goWaiting || g.status == goLeaked) && g.reason != 0 {
		if r.known && int(g.reason) < len(r.lay.reasons) {
			return r.lay.reasons[g.reason]
		}
	}
	return goStates[g.status]
}

// regs are those that a goroutine left behind.
func (r *goReader) regs(g *goroutine) []uint64 {
	if r.arm {
		regs := make([]uint64, 34)
		regs[29], regs[31], regs[32] = g.bp, g.sp, g.pc
		return regs
	}
	regs := make([]uint64, 21)
	regs[4], regs[16], regs[19] = g.bp, g.pc, g.sp
	return regs
}

// shape is a goroutine's stack by its frame pointers: return addresses, which tell alike ones without
// names. Go keeps frame pointers on amd64 and arm64.
func (r *goReader) shape(g *goroutine, buf []byte) []uint64 {
	pcs := []uint64{g.pc}
	if g.sp < g.lo || g.sp >= g.hi {
		return pcs
	}
	b := buf[:min(uint64(len(buf)), g.hi-g.sp)]
	b = b[:r.read(g.sp, b)]
	for fp := g.bp; len(pcs) < maxGoWalk; {
		off := fp - g.sp
		if fp < g.sp || off+16 > uint64(len(b)) || fp%8 != 0 {
			break
		}
		next, ret := le.Uint64(b[off:]), le.Uint64(b[off+8:])
		if ret == 0 {
			break
		}
		pcs = append(pcs, ret)
		if next <= fp {
			break
		}
		fp = next
	}
	return pcs
}

// group puts alike goroutines together, and names one of each group.
func (r *goReader) group(out *GoRuntime, gs []goroutine, unwind func(*goroutine) symbol.Trace, name func(pc uint64) symbol.Frame) {
	type group struct {
		GoGroup
		first   *goroutine
		running bool
		crashed bool
	}
	var seed = maphash.MakeSeed()
	latest := r.now
	if latest == 0 {
		for i := range gs {
			latest = max(latest, gs[i].waitSince)
		}
	}
	groups := map[uint64]*group{}
	var order []*group
	buf := make([]byte, maxGoStack)
	var key []byte
	for i := range gs {
		g := &gs[i]
		state := r.state(g)
		key = append(key[:0], state...)
		key = le.AppendUint64(key, g.goPC)
		if g.status == goRunning {
			key = le.AppendUint64(key, g.addr)
		} else {
			for _, pc := range r.shape(g, buf) {
				key = le.AppendUint64(key, pc)
			}
		}
		h := maphash.Bytes(seed, key)
		p := groups[h]
		if p == nil {
			p = &group{first: g, running: g.status == goRunning, crashed: g.panic != 0}
			p.State, p.TID, p.Creator, p.Locked = state, g.tid, g.parent, g.locked
			groups[h] = p
			order = append(order, p)
		}
		p.IDs = append(p.IDs, g.id)
		if g.waitSince > 0 && latest > g.waitSince && (g.status == goWaiting || g.status == goSyscall) {
			p.WaitNanos = max(p.WaitNanos, latest-g.waitSince)
		}
	}
	slices.SortStableFunc(order, func(a, b *group) int {
		rank := func(p *group) int {
			switch {
			case p.running && p.crashed:
				return 0
			case p.running:
				return 1
			}
			return 2
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(len(b.IDs), len(a.IDs)))
	})
	if len(order) > maxGoGroups {
		out.More = len(order) - maxGoGroups
		order = order[:maxGoGroups]
	}
	named := func(pc uint64) symbol.Frame {
		f, ok := r.names[pc]
		if !ok && pc != 0 {
			f = name(pc)
			r.names[pc] = f
		}
		return f
	}
	for _, p := range order {
		g := p.first
		p.Trace = unwind(g)
		for n := len(p.Trace.Frames); n > 1 && isGoEnd(p.Trace.Frames[n-1].Function); n-- {
			p.Trace.Frames = p.Trace.Frames[:n-1]
		}
		if g.goPC != 0 && g.id != 1 {
			p.CreatedBy = named(g.goPC - 1)
		}
		p.Entry = named(g.startPC)
		out.Groups = append(out.Groups, p.GoGroup)
	}
}

// isGoEnd tells the frames that Go's own tracebacks leave out at the end.
func isGoEnd(f string) bool { return f == "runtime.goexit" || f == "runtime.goexit.abi0" }
