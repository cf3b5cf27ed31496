package symbol

import (
	"sort"
	"strings"
	"time"
)

// jitModule is the Module of code that a JIT made and named.
const jitModule = "[jit]"

// name makes frames of the spots that a walk found. It never fails: what cannot be named has its
// address and its module.
func (u *unwinder) name() []Frame {
	parts := make([][]Frame, len(u.spots)) // a spot gives several frames where functions were inlined
	deadline := time.Now().Add(u.r.opts.LineTime)
	groups := map[*module][]int{}
	order := []*module{}
	for i := range u.spots {
		s := &u.spots[i]
		parts[i] = []Frame{{PC: s.pc}}
		if s.m == nil {
			continue
		}
		parts[i][0].Module = s.m.Path
		mod := u.module(s.m)
		if mod == nil {
			continue
		}
		if groups[mod] == nil {
			order = append(order, mod)
		}
		groups[mod] = append(groups[mod], i)
	}
	for _, mod := range order {
		// One damaged binary must not cost the names of the others.
		if err := u.r.guard(func() error { u.nameIn(mod, groups[mod], parts, deadline); return nil }); err != nil {
			u.notes = append(u.notes, mod.key.path+": "+err.Error())
		}
	}
	u.nameJIT(parts)
	var out []Frame
	for i, p := range parts {
		for k := range p {
			p[k].PC, p[k].Guess = u.spots[i].pc, u.spots[i].guess
			p[k].Signal = u.spots[i].signal && k == 0
			p[k].Tail = u.spots[i].tail
			if p[k].Module == "" && u.spots[i].m != nil {
				p[k].Module = u.spots[i].m.Path
			}
		}
		out = append(out, p...)
	}
	return out
}

// nameIn names the spots that lie in one binary.
func (u *unwinder) nameIn(mod *module, spots []int, parts [][]Frame, deadline time.Time) {
	var qs []query
	place := map[uint64][]int{} // file's address to spots
	goTab := mod.goTable()
	for _, i := range spots {
		s := &u.spots[i]
		vaddr, ok := mod.img.vaddr(s.pc - s.m.Start + s.m.Offset)
		if !ok {
			continue
		}
		parts[i][0].Offset = vaddr
		at := vaddr
		if !s.exact && !s.signal {
			at--
		}
		if goTab != nil {
			if f, ok := goTab.find(at); ok {
				parts[i] = f.frames(at)
				// Of a caller the offset of its return address is shown, as for other languages.
				for k := range parts[i] {
					parts[i][k].Offset += vaddr - at
				}
				continue
			}
		}
		if place[at] == nil {
			qs = append(qs, query{vaddr: at, floor: s.floor})
		}
		place[at] = append(place[at], i)
	}
	if len(qs) == 0 {
		return
	}
	sort.Slice(qs, func(a, b int) bool { return qs[a].vaddr < qs[b].vaddr })
	mod.img.answer(mod.img, qs)
	for _, d := range mod.debugImages(u.r.opts.DebugDirs, u.r.opts.MaxInflate) {
		more := make([]query, len(qs))
		for k := range qs {
			more[k] = query{vaddr: qs[k].vaddr, floor: qs[k].floor}
		}
		d.answer(mod.img, more)
		for k := range qs {
			// The exported name is the one that people know: "raise", not "__pthread_kill_internal".
			if qs[k].name == "" || more[k].name != "" && more[k].value > qs[k].value {
				qs[k] = more[k]
			}
		}
	}
	for k := range qs {
		q := &qs[k]
		for _, i := range place[q.vaddr] {
			f := &parts[i][0]
			if q.name != "" {
				f.Function = pretty(q.name)
				f.Offset -= q.value
			}
			if q.name == "" && u.spots[i].signal {
				f.Function = "<signal handler called>"
			}
		}
	}
	u.lines(mod, qs, place, parts, deadline)
}

// lines adds files, line numbers and inlined functions.
func (u *unwinder) lines(mod *module, qs []query, place map[uint64][]int, parts [][]Frame, deadline time.Time) {
	if u.r.opts.LineTime <= 0 || time.Now().After(deadline) || isRuntimeModule(mod.key.path) && !u.r.opts.AllLines {
		return
	}
	l := mod.lineData(u.r.opts.MaxInflate)
	if l == nil {
		return
	}
	var vaddrs []uint64
	for _, q := range qs {
		vaddrs = append(vaddrs, q.vaddr)
	}
	found := l.find(vaddrs, deadline)
	for k := range qs {
		src := found[qs[k].vaddr]
		if len(src) == 0 {
			continue
		}
		for _, i := range place[qs[k].vaddr] {
			base := parts[i][0]
			var out []Frame
			for n, s := range src {
				f := base
				f.File, f.Line = s.file, s.line
				if n < len(src)-1 {
					f.Inlined = true
					f.Function = pretty(s.function)
				} else if f.Function == "" && s.function != "" {
					// The name is there, but not where the function begins.
					f.Function, f.Offset = pretty(s.function), 0
					if floor := qs[k].floor; floor != 0 {
						f.Offset = base.Offset - floor
					}
				}
				out = append(out, f)
			}
			parts[i] = out
		}
	}
}

// nameJIT names what lies in no file by the map that a JIT wrote.
func (u *unwinder) nameJIT(parts [][]Frame) {
	var want []jitQuery
	for i := range u.spots {
		if s := &u.spots[i]; s.m != nil && (s.m.Path == "" || strings.HasPrefix(s.m.Path, "//anon") || strings.HasPrefix(s.m.Path, "[anon") ||
			strings.HasPrefix(s.m.Path, "/memfd:")) {
			pc := s.pc
			if !s.exact {
				pc--
			}
			want = append(want, jitQuery{pc: pc, spot: i})
		}
	}
	if len(want) == 0 || u.ctx.PID == 0 && u.ctx.NSPID == 0 {
		return
	}
	u.r.readPerfMap(u.ctx, want)
	for _, q := range want {
		if f := &parts[q.spot][0]; q.name != "" {
			f.Function, f.Module, f.Offset = q.name, jitModule, u.spots[q.spot].pc-q.start
		}
	}
}
