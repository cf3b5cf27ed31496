package symbol

// Bounds of the search for tail calls.
const (
	maxTailCode  = 16 << 10 // bytes of one function
	maxTailDepth = 3
	maxTailJumps = 64 // of one function
)

// tailCalls adds the functions that ended with a jump to another one, in place of calling it: nothing is on the
// stack for them. The caller's instruction names the function that it called; where another one runs, the first has jumped to it.
// Only a way that is the single one of its length is believed. Code of amd64 alone is read.
func (u *unwinder) tailCalls() {
	if u.cpu.arm {
		return
	}
	var out []spot
	for i := range u.spots {
		out = append(out, u.spots[i])
		if i+1 < len(u.spots) && len(out) < u.r.opts.MaxFrames {
			out = append(out, u.tailsBetween(&u.spots[i], &u.spots[i+1])...)
		}
	}
	u.spots = out
}

func (u *unwinder) tailsBetween(callee, caller *spot) []spot {
	if callee.guess || caller.guess || callee.signal || caller.signal || caller.exact || callee.jump || callee.sigpanic || callee.floor == 0 || callee.m == nil {
		return nil
	}
	_, mod, at := u.place(callee.pc)
	if mod == nil || at < callee.floor || mod.goTable() != nil {
		return nil
	}
	entry := callee.pc - (at - callee.floor)
	_, from, vaddr := u.place(caller.pc - 5)
	if from == nil || from.goTable() != nil {
		return nil
	}
	code := from.img.code(vaddr)
	if len(code) < 5 || code[0] != 0xe8 {
		return nil
	}
	called := u.throughPLT(caller.pc + uint64(int64(int32(le.Uint32(code[1:])))))
	if called == entry || called == 0 || u.isCold(mod, callee.floor) {
		return nil
	}
	for depth := 1; depth <= maxTailDepth; depth++ {
		var found []spot
		if n := u.jumpsTo(called, entry, depth, &found); n == 1 {
			return found
		} else if n > 1 {
			return nil
		}
	}
	return nil
}

// jumpsTo counts the ways of exactly depth jumps from the function at from to the one at to. way is that of one,
// the innermost first.
func (u *unwinder) jumpsTo(from, to uint64, depth int, way *[]spot) int {
	m, mod, vaddr := u.place(from)
	if mod == nil {
		return 0
	}
	d, ok := mod.img.findFDE(vaddr)
	if !ok || d.begin != vaddr {
		return 0
	}
	code := mod.img.code(vaddr)
	code = code[:min(uint64(len(code)), d.end-d.begin, maxTailCode)]
	count, jumps := 0, 0
	for i := 0; i+5 <= len(code); i++ {
		// jmp rel32, and the conditional ones: 0f 80 to 0f 8f.
		if code[i] != 0xe9 && !(code[i]&0xf0 == 0x80 && i > 0 && code[i-1] == 0x0f) {
			continue
		}
		next := from + uint64(i) + 5
		target := next + uint64(int64(int32(le.Uint32(code[i+1:]))))
		if target >= from && target-from < d.end-d.begin {
			continue
		}
		if depth == 1 {
			if target != to && u.throughPLT(target) != to {
				continue
			}
			if count++; count == 1 {
				*way = append(*way, spot{pc: next, m: m, floor: d.begin, tail: true})
			}
			continue
		}
		if target = u.throughPLT(target); target == from {
			continue
		}
		if jumps++; jumps > maxTailJumps {
			return count
		}
		n := len(*way)
		if k := u.jumpsTo(target, to, depth-1, way); k > 0 {
			if count += k; count == k {
				*way = append(*way, spot{pc: next, m: m, floor: d.begin, tail: true})
			} else {
				*way = (*way)[:n]
			}
		}
	}
	// Several jumps to one place are one way: which of them was taken does not matter but for the line.
	if depth == 1 {
		count = min(count, 1)
	}
	return count
}

// throughPLT follows a stub of the procedure linkage table to what it jumps to, as the process's memory has it.
func (u *unwinder) throughPLT(addr uint64) uint64 {
	_, mod, vaddr := u.place(addr)
	if mod == nil {
		return addr
	}
	code := mod.img.code(vaddr)
	n := 0
	if len(code) >= 4 && string(code[:4]) == "\xf3\x0f\x1e\xfa" {
		n = 4
	}
	if len(code) > n && code[n] == 0xf2 {
		n++
	}
	if len(code) < n+6 || code[n] != 0xff || code[n+1] != 0x25 {
		return addr
	}
	to, ok := u.word(addr + uint64(n) + 6 + uint64(int64(int32(le.Uint32(code[n+2:])))))
	if !ok {
		return addr
	}
	return to
}

// isCold tells the part of a function that a compiler moved away: it is jumped to, and is no function.
func (u *unwinder) isCold(mod *module, vaddr uint64) bool {
	q := []query{{vaddr: vaddr, floor: vaddr}}
	mod.img.answer(mod.img, q)
	for _, d := range mod.debugImages(u.r.opts.DebugDirs, u.r.opts.MaxInflate) {
		if q[0].name == "" {
			d.answer(mod.img, q)
		}
	}
	return isColdName(q[0].name)
}
