package symbol

import (
	"fmt"
	"slices"
	"strings"
)

// spot is one place of a stack that is to be named.
type spot struct {
	pc     uint64
	m      *Mapping
	exact  bool // pc is of an instruction that runs, not a return address
	guess  bool
	signal bool // the kernel's signal frame
	jump   bool // the caller's stack is another
	tail   bool // it jumped to the function before, and has no frame any more
	// sigpanic is runtime.sigpanic, which Go's signal handler makes the faulting instruction
	// "call": the frame after it did not call, it faulted.
	sigpanic bool
	floor    uint64 // where unwind information says the function begins, in the file's addresses; 0 not known
}

// unwinder is one walk of one stack.
type unwinder struct {
	r         *Resolver
	ctx       *Context
	cpu       cpu
	mods      map[*Mapping]*module
	spots     []spot
	methods   []string
	truncated string
	notes     []string
	guess     bool
}

func (u *unwinder) refs() []*module {
	var out []*module
	for _, mod := range u.mods {
		out = append(out, mod)
	}
	return out
}

func (u *unwinder) stop(reason string) { u.truncated = reason }

func (u *unwinder) used(method string) {
	if !slices.Contains(u.methods, method) {
		u.methods = append(u.methods, method)
	}
}

func (u *unwinder) by() string { return strings.Join(u.methods, " + ") }

// word reads 8 bytes of the process.
func (u *unwinder) word(addr uint64) (uint64, bool) {
	st := u.ctx.Stack
	if off := addr - u.ctx.SP; addr >= u.ctx.SP && off < uint64(len(st)) && uint64(len(st))-off >= 8 {
		return le.Uint64(st[off:]), true
	}
	if u.ctx.Memory != nil {
		var p [8]byte
		if u.ctx.Memory(addr, p[:]) == 8 {
			return le.Uint64(p[:]), true
		}
	}
	return 0, false
}

// module is the binary of a mapping, nil where it has none that can be used; why is noted once.
func (u *unwinder) module(m *Mapping) *module {
	mod, ok := u.mods[m]
	if !ok {
		if m.Path == "" || m.Path[0] != '/' && m.Path != "[vdso]" {
			return nil
		}
		mod = u.r.get(u.ctx, m)
		u.mods[m] = mod
		why := mod.err
		if why == nil {
			why = mod.partial
		}
		if why != nil {
			if note := fmt.Sprintf("%s: %v", m.Path, why); !slices.Contains(u.notes, note) {
				u.notes = append(u.notes, note)
			}
		}
	}
	if mod.img == nil || mod.err != nil {
		return nil
	}
	return mod
}

// place finds the mapping of a code address, and where the file has that address.
func (u *unwinder) place(pc uint64) (m *Mapping, mod *module, vaddr uint64) {
	if m = u.ctx.mappingAt(pc); m == nil {
		return nil, nil, 0
	}
	if mod = u.module(m); mod == nil {
		return m, nil, 0
	}
	vaddr, ok := mod.img.vaddr(pc - m.Start + m.Offset)
	if !ok {
		return m, nil, 0
	}
	return m, mod, vaddr
}

// isReturn tells whether v can be a return address: code, behind a call. Of code that cannot be
// read (a JIT's) it takes any address.
func (u *unwinder) isReturn(v uint64) bool {
	m, mod, vaddr := u.place(v - 1)
	if m == nil {
		return false
	}
	if mod == nil || mod.partial != nil {
		return true
	}
	vaddr++
	from := vaddr - min(vaddr, 7)
	for ; from < vaddr; from++ {
		if code := mod.img.code(from); uint64(len(code)) >= vaddr-from {
			return afterCall(u.cpu.arm, code[:vaddr-from])
		}
	}
	return false
}

// What a step came to.
type outcome int

const (
	stepped outcome = iota
	ended           // the thread's first function
	stuck           // this way does not work here
)

// run walks the stack and leaves the spots.
func (u *unwinder) run() error {
	var ok bool
	if u.cpu, ok = newCPU(u.ctx); !ok {
		return fmt.Errorf("unknown architecture %q", u.ctx.Arch)
	}
	exact := !u.ctx.Called // the innermost frame, and one that a signal interrupted
	for n := 0; ; n++ {
		if n == u.r.opts.MaxFrames {
			u.stop(fmt.Sprintf("more than %d frames", u.r.opts.MaxFrames))
			return nil
		}
		at := u.cpu.pc
		if !exact {
			at-- // a return address may be past the end of a function that does not return
		}
		m, mod, vaddr := u.place(at)
		if m == nil && n > 0 && !exact {
			// Not code: what was taken for a return address was overwritten.
			if u.cpu.pc == 0 {
				return nil
			}
			bad := u.cpu.pc
			u.stop(fmt.Sprintf("return address %#x is not code", bad))
			if !u.scan() {
				return nil
			}
			continue
		}
		s := spot{pc: u.cpu.pc, m: m, exact: exact, guess: u.guess}
		sp, pc := u.cpu.sp(), u.cpu.pc
		out, method := u.step(&s, mod, vaddr)
		u.spots = append(u.spots, s)
		switch out {
		case ended:
			return nil
		case stuck:
			if u.truncated == "" {
				u.stop("no unwind information at " + u.where(at, m))
			}
			if !u.scan() {
				return nil
			}
			exact = false
			continue
		}
		u.used(method)
		// The caller's frame lies above. Only a function that has no frame (arm64) shares its
		// stack pointer with its caller, and only the innermost can be one. A signal handler may
		// have run on a stack of its own.
		if !s.signal && !s.jump && (u.cpu.sp() < sp || u.cpu.sp() == sp && (!exact || u.cpu.pc == pc)) {
			if !(method == byGo && u.cpu.sp() != sp) {
				u.stop("the stack pointer does not advance")
				return nil
			}
		}
		if u.cpu.pc == 0 {
			return nil
		}
		exact = s.signal || s.sigpanic
	}
}

func (u *unwinder) where(pc uint64, m *Mapping) string {
	if m == nil || m.Path == "" {
		return fmt.Sprintf("%#x", pc)
	}
	return fmt.Sprintf("%#x in %s", pc, m.Path)
}

// step goes to the caller of the frame at vaddr.
func (u *unwinder) step(s *spot, mod *module, vaddr uint64) (outcome, string) {
	if mod == nil {
		if s.exact && s.m == nil {
			// A call through a null or wild pointer: nothing ran there yet.
			if u.stepSP(0) {
				return stepped, bySP
			}
			return stuck, ""
		}
		return u.stepFP(s)
	}
	if code := mod.img.code(vaddr); !u.r.opts.noTrampolines {
		// A return address into the trampoline is its first instruction.
		if first := mod.img.code(vaddr + 1); !s.exact && isTrampoline(u.cpu.arm, first) || s.exact && isTrampoline(u.cpu.arm, code) {
			if u.cpu.interrupted(u.word) {
				s.signal = true
				return stepped, bySignal
			}
			return stuck, ""
		}
	}
	if t := mod.goTable(); t != nil {
		if f, ok := t.find(vaddr); ok {
			s.floor = f.entry
			return u.stepGo(s, f, vaddr)
		}
	}
	if d, ok := mod.img.findFDE(vaddr); ok {
		s.floor = d.begin
		if d.signal && !s.exact {
			vaddr++ // the frame was entered here by the kernel, not by a call before
		}
		if out := u.stepCFI(&d, vaddr); out != stuck {
			s.signal = d.signal && out == stepped
			return out, d.method
		}
		return stuck, ""
	}
	if s.exact && !u.cpu.arm {
		// No frame may have been made yet.
		n := entryDepth(mod.img.code(vaddr), before(mod.img, vaddr))
		if u.calledHere(mod, vaddr) {
			n = 0
		}
		if n >= 0 && u.stepSP(n) {
			return stepped, bySP
		}
	}
	return u.stepFP(s)
}

// calledHere tells whether the word at the stack pointer is the return address of a call to the
// very function that runs at vaddr: one that has made no frame, as leaf functions do.
func (u *unwinder) calledHere(mod *module, vaddr uint64) bool {
	ra, ok := u.word(u.cpu.sp())
	if !ok {
		return false
	}
	_, from, at := u.place(ra - 5)
	if from != mod {
		return false
	}
	code := mod.img.code(at)
	if len(code) < 5 || code[0] != 0xe8 {
		return false
	}
	target := at + 5 + uint64(int64(int32(le.Uint32(code[1:]))))
	if target > vaddr || vaddr-target > 1<<16 {
		return false
	}
	q := []query{{vaddr: vaddr}}
	mod.img.answer(mod.img, q)
	if q[0].name == "" {
		return vaddr-target < 256
	}
	return q[0].value == target
}

// before is the byte before vaddr.
func before(f *image, vaddr uint64) []byte {
	if p := f.code(vaddr - 1); len(p) > 0 {
		return p[:1]
	}
	return nil
}

// stepCFI goes to the caller by unwind information.
func (u *unwinder) stepCFI(d *fde, vaddr uint64) outcome {
	row, ok := d.rules(vaddr)
	if !ok {
		return stuck
	}
	old := u.cpu
	if !old.arm {
		old.set(amdRIP, old.pc) // the expression of a PLT asks for it
	}
	var cfa uint64
	if row.cfaExpr != nil {
		cfa, ok = eval(row.cfaExpr, nil, old.get, u.word)
	} else {
		cfa, ok = old.get(row.cfaReg)
		cfa += uint64(row.cfaOff)
	}
	if !ok || d.ra >= numRegs {
		return stuck
	}
	next := old
	if !d.signal {
		next.loseScratch()
	}
	next.setSP(cfa)
	var ra uint64
	haveRA := false
	if old.arm && d.ra == armLR {
		ra, haveRA = old.get(armLR)
	}
	for n := range uint64(numRegs) {
		rule := &row.regs[n]
		var v uint64
		ok := true
		switch rule.kind {
		case ruleNone:
			continue
		case ruleUndefined:
			if n == d.ra {
				return ended
			}
			ok = false
		case ruleSame:
			v, ok = old.get(n)
		case ruleOffset:
			v, ok = u.word(cfa + uint64(rule.off))
		case ruleValOffset:
			v = cfa + uint64(rule.off)
		case ruleRegister:
			v, ok = old.get(uint64(rule.off))
		case ruleExpr, ruleValExpr:
			v, ok = eval(rule.expr, []uint64{cfa}, old.get, u.word)
			if ok && rule.kind == ruleExpr {
				v, ok = u.word(v)
			}
		}
		if n == d.ra {
			if !ok && rule.kind == ruleOffset {
				u.stop("the copied part of the stack ends here")
			}
			ra, haveRA = v, ok
		}
		if ok {
			next.set(n, v)
		} else {
			next.lose(n)
		}
	}
	if !haveRA {
		return stuck
	}
	u.cpu = next
	u.cpu.pc = u.cpu.codePointer(ra)
	return stepped
}

// stepSP takes the return address from the stack, depth words above the stack pointer, or from
// the link register.
func (u *unwinder) stepSP(depth int) bool {
	c := &u.cpu
	if c.arm {
		lr, ok := c.get(armLR)
		lr = c.codePointer(lr)
		if !ok || lr == c.pc || !u.isReturn(lr) {
			return false
		}
		c.pc = lr
		return true
	}
	ra, ok := u.word(c.sp() + uint64(depth)*8)
	if !ok || !u.isReturn(ra) {
		return false
	}
	c.pc = ra
	c.setSP(c.sp() + uint64(depth+1)*8)
	c.loseScratch()
	return true
}

// stepFP goes to the caller by the frame pointer.
func (u *unwinder) stepFP(s *spot) (outcome, string) {
	c := &u.cpu
	fp, ok := c.get(c.fpColumn())
	if !ok || fp < c.sp() || fp&7 != 0 {
		return stuck, ""
	}
	ra, ok := u.word(fp + 8)
	parent, ok2 := u.word(fp)
	if !ok || !ok2 {
		return stuck, ""
	}
	if ra = c.codePointer(ra); ra == 0 && parent == 0 {
		return ended, byFP
	}
	if !u.isReturn(ra) {
		return stuck, ""
	}
	c.pc = ra
	c.loseScratch()
	c.set(c.fpColumn(), parent)
	c.setSP(fp + 16)
	if c.arm {
		// The record lies at the bottom of the caller's callee's frame, whose size is not known:
		// the caller's stack pointer is this or more.
		c.lose(armLR)
	}
	return stepped, byFP
}

// scan looks for the next word of the stack that can be a return address.
func (u *unwinder) scan() bool {
	c := &u.cpu
	sp := (c.sp() + 7) &^ 7
	for n := 0; n < 4096; n++ { // 32 KiB
		at := sp + uint64(n)*8
		v, ok := u.word(at)
		if !ok {
			return false
		}
		if v = c.codePointer(v); !u.isReturn(v) {
			continue
		}
		if m, mod, _ := u.place(v - 1); m == nil || mod == nil || mod.partial != nil {
			continue
		}
		c.pc = v
		c.setSP(at + 8)
		c.loseScratch()
		c.lose(c.fpColumn())
		u.guess = true
		u.used(byScan)
		return true
	}
	return false
}
