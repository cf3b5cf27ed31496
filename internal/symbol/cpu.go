package symbol

// cpu is the state of a thread in one frame. Registers are in DWARF's order.
type cpu struct {
	arm bool
	pc  uint64
	r   [numRegs]uint64
	ok  uint64 // bit n: register n is known
}

// DWARF columns.
const (
	amdFP, amdSP = 6, 7
	amdRIP       = 16
	armFP, armLR = 29, 30
	armSP        = 31
)

// ptRegs says for each DWARF register of amd64 where struct pt_regs has it.
var ptRegs = [16]int{10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0}

// sigContext says for each DWARF register of amd64 where struct sigcontext has it, in words.
var sigContext = [16]int{13, 12, 14, 11, 9, 8, 10, 15, 0, 1, 2, 3, 4, 5, 6, 7}

const (
	sigContextRIP = 16
	ptRegsRIP     = 16
)

func newCPU(ctx *Context) (c cpu, ok bool) {
	switch ctx.Arch {
	case "amd64":
		for i, at := range ptRegs {
			if at < len(ctx.Regs) {
				c.set(uint64(i), ctx.Regs[at])
			}
		}
	case "arm64":
		c.arm = true
		for i := range min(len(ctx.Regs), armSP) {
			c.set(uint64(i), ctx.Regs[i])
		}
	default:
		return c, false
	}
	c.pc = ctx.PC
	c.setSP(ctx.SP)
	return c, true
}

func (c *cpu) get(n uint64) (uint64, bool) {
	if n >= numRegs || c.ok&(1<<n) == 0 {
		return 0, false
	}
	return c.r[n], true
}

func (c *cpu) set(n, v uint64) { c.r[n], c.ok = v, c.ok|1<<n }

func (c *cpu) lose(n uint64) { c.ok &^= 1 << n }

func (c *cpu) spColumn() uint64 {
	if c.arm {
		return armSP
	}
	return amdSP
}

func (c *cpu) fpColumn() uint64 {
	if c.arm {
		return armFP
	}
	return amdFP
}

func (c *cpu) sp() uint64     { return c.r[c.spColumn()] }
func (c *cpu) setSP(v uint64) { c.set(c.spColumn(), v) }

// loseScratch forgets the registers that a call does not keep.
func (c *cpu) loseScratch() {
	keep := uint64(1<<3 | 1<<6 | 1<<7 | 0xf<<12) // rbx rbp rsp r12 to r15
	if c.arm {
		keep = 0x1fff<<19 | 1<<armSP // x19 to x30, sp; x30 only as the frame's own rule says
	}
	c.ok &= keep
}

// codePointer removes the pointer authentication code of arm64 from an address of user space.
func (c *cpu) codePointer(v uint64) uint64 {
	if c.arm {
		return v & (1<<48 - 1)
	}
	return v
}

// afterCall tells whether the code that ends where end begins ends with a call: whether end may be
// a return address. before are the bytes up to it.
func afterCall(arm bool, before []byte) bool {
	n := len(before)
	if arm {
		if n < 4 {
			return false
		}
		w := le.Uint32(before[n-4:])
		return w>>26 == 0x25 || w&0xfffffc1f == 0xd63f0000 || w&0xfefff800 == 0xd63f0800 // bl, blr, blraa and its like
	}
	if n >= 5 && before[n-5] == 0xe8 {
		return true
	}
	for _, size := range []int{2, 3, 4, 6, 7} { // ff /2: call through a register or memory
		if n < size || before[n-size] != 0xff {
			continue
		}
		modrm := before[n-size+1]
		if modrm>>3&7 != 2 {
			continue
		}
		want := 2
		mod, rm := modrm>>6, modrm&7
		if mod != 3 && rm == 4 {
			want++
			if mod == 0 && n-size+2 < n && before[n-size+2]&7 == 5 {
				want += 4
			}
		}
		switch {
		case mod == 1:
			want++
		case mod == 2, mod == 0 && rm == 5:
			want += 4
		}
		if want == size {
			return true
		}
	}
	return false
}

// isTrampoline tells the code that a signal handler returns to: rt_sigreturn as the kernel's ABI
// has it in every libc, and in Go.
func isTrampoline(arm bool, code []byte) bool {
	if arm {
		return len(code) >= 8 && le.Uint32(code) == 0xd2801168 && le.Uint32(code[4:]) == 0xd4000001 // mov x8, #139; svc #0
	}
	return len(code) >= 9 && string(code[:9]) == "\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05" || // mov $15, %rax; syscall
		len(code) >= 7 && string(code[:7]) == "\xb8\x0f\x00\x00\x00\x0f\x05" // mov $15, %eax; syscall
}

// Offsets into the signal frame that the kernel leaves on the stack, from the stack pointer at the
// trampoline, in bytes.
const (
	amdSigRegs = 40            // uc_mcontext in struct ucontext; its address is the stack pointer
	armSigRegs = 128 + 176 + 8 // siginfo, uc_mcontext, after fault_address
)

// interrupted restores the registers from the kernel's signal frame.
func (c *cpu) interrupted(mem memory) bool {
	var next cpu
	next.arm = c.arm
	at := func(base uint64, word int) uint64 {
		v, ok := mem(c.sp() + base + uint64(word)*8)
		if !ok {
			next.pc = 0
		}
		return v
	}
	if c.arm {
		if _, ok := mem(c.sp() + armSigRegs + 32*8); !ok {
			return false
		}
		for i := range 32 {
			next.set(uint64(i), at(armSigRegs, i))
		}
		next.pc = at(armSigRegs, 32)
	} else {
		if _, ok := mem(c.sp() + amdSigRegs + sigContextRIP*8); !ok {
			return false
		}
		for i, word := range sigContext {
			next.set(uint64(i), at(amdSigRegs, word))
		}
		next.pc = at(amdSigRegs, sigContextRIP)
	}
	*c = next
	return true
}

// entryDepth tells, of code without any unwind information, how many words are on the stack above
// the return address at pc: 0 before "push %rbp" and at "ret", 1 after it; -1 where it cannot tell.
func entryDepth(code, before []byte) int {
	const endbr = "\xf3\x0f\x1e\xfa"
	switch {
	case len(code) >= 5 && string(code[:4]) == endbr:
		return 0
	case len(code) >= 4 && code[0] == 0x55 && string(code[1:4]) == "\x48\x89\xe5":
		return 0
	case len(code) >= 1 && code[0] == 0xc3:
		return 0
	case len(code) >= 3 && string(code[:3]) == "\x48\x89\xe5" && len(before) >= 1 && before[len(before)-1] == 0x55:
		return 1
	}
	return -1
}
