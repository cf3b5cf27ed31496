package symbol

import "strings"

// Functions at which a Go stack ends: nothing called them.
func isGoTop(name string) bool {
	switch name {
	case "runtime.goexit", "runtime.goexit.abi0", "runtime.rt0_go", "runtime.rt0_go.abi0", "runtime.mstart", "runtime.mstart.abi0",
		"runtime.mcall", "runtime.morestack", "runtime.morestack.abi0":
		return true
	}
	return strings.HasPrefix(name, "_rt0_")
}

// stepGo goes to the caller of a Go function. Its table tells the frame's size at each instruction.
func (u *unwinder) stepGo(s *spot, f goFunc, vaddr uint64) (outcome, string) {
	name := f.name()
	switch {
	case isGoTop(name):
		if strings.HasPrefix(name, "runtime.mcall") || strings.HasPrefix(name, "runtime.morestack") {
			u.stop("the goroutine's stack is another: it was left at " + name)
		}
		return ended, byGo
	case !s.exact && (name == "runtime.systemstack" || name == "runtime.asmcgocall" || strings.HasPrefix(name, "runtime.asmcgocall.") || strings.HasPrefix(name, "runtime.systemstack.")):
		return u.switchStack(s, name)
	}
	switch name { // calls that a signal handler made for the function that it interrupted
	case "runtime.sigpanic", "runtime.sigpanic0", "runtime.asyncPreempt", "runtime.asyncPreempt.abi0", "runtime.debugCallV2":
		s.sigpanic = true
	}
	size, ok := f.frame(vaddr)
	c := &u.cpu
	if !ok || size > 1<<20 {
		return u.stepFP(s)
	}
	if !c.arm {
		ra, ok := u.word(c.sp() + size)
		if !ok {
			u.stop("the copied part of the stack ends here")
			return stuck, ""
		}
		if size >= 8 { // the caller's frame pointer lies below the return address
			if fp, ok := u.word(c.sp() + size - 8); ok {
				c.set(amdFP, fp)
			}
		}
		c.pc = ra
		c.setSP(c.sp() + size + 8)
	} else if size == 0 {
		lr, ok := c.get(armLR)
		if !ok || !s.exact {
			return stuck, ""
		}
		c.pc = c.codePointer(lr)
	} else {
		ra, ok := u.word(c.sp())
		if !ok {
			u.stop("the copied part of the stack ends here")
			return stuck, ""
		}
		if fp, ok := u.word(c.sp() - 8); ok {
			c.set(armFP, fp)
		}
		c.pc = c.codePointer(ra)
		c.setSP(c.sp() + size)
		if s.sigpanic {
			// The handler pushed the link register of the function that faulted.
			if lr, ok := u.word(c.sp()); ok {
				c.set(armLR, lr)
				c.setSP(c.sp() + 16)
			}
			return stepped, byGo
		}
	}
	c.loseScratch()
	if c.arm {
		c.lose(armLR)
	}
	return stepped, byGo
}

// switchStack goes from the system stack to the goroutine that switched to it. That stack was not
// copied, so it can be read only where Context.Memory has it.
func (u *unwinder) switchStack(s *spot, name string) (outcome, string) {
	u.stop("the goroutine's stack is another: it was left at " + name)
	c := &u.cpu
	if c.arm || u.ctx.Memory == nil {
		return ended, byGo
	}
	if strings.HasPrefix(name, "runtime.asmcgocall") {
		// asmcgocall leaves the goroutine at 8(SP) and at 0(SP) how deep its stack was, from the
		// end that g.stack.hi (its second word) tells.
		depth, ok := u.word(c.sp())
		g, ok2 := u.word(c.sp() + 8)
		if !ok || !ok2 || g == 0 {
			return ended, byGo
		}
		hi, ok := u.word(g + 8)
		if !ok || depth > hi {
			return ended, byGo
		}
		// The frame pointer is pushed nowhere: asmcgocall has no frame.
		sp := hi - depth
		ra, ok := u.word(sp)
		if !ok || !u.isReturn(ra) {
			if ra, ok = u.word(sp + 8); !ok || !u.isReturn(ra) {
				return ended, byGo
			}
			sp += 8
		}
		u.truncated = ""
		c.pc = ra
		c.setSP(sp + 8)
		c.loseScratch()
		c.lose(amdFP)
		s.jump = true
		return stepped, byGo
	}
	// systemstack leaves the goroutine's frame pointer in its register: its record is the pushed
	// one of systemstack itself, with the return address above.
	fp, ok := c.get(amdFP)
	if !ok {
		return ended, byGo
	}
	ra, ok := u.word(fp + 8)
	parent, ok2 := u.word(fp)
	if !ok || !ok2 || !u.isReturn(ra) {
		return ended, byGo
	}
	u.truncated = ""
	c.pc = ra
	c.loseScratch()
	c.set(amdFP, parent)
	c.setSP(fp + 16)
	s.jump = true
	return stepped, byGo
}
