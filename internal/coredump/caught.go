package coredump

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// Caught is a signal that a handler was handling when the process ended, as its frame on the stack has it.
type Caught struct {
	Signal       evidence.Signal
	Code         int32 // si_code
	Address      uint64
	AddressKnown bool
}

// The signal frames of the kernel (arch/*/kernel/signal*.c, uapi/asm/sigcontext.h), in bytes. On amd64 a return
// address, struct ucontext and siginfo; on arm64 siginfo and struct ucontext.
const (
	x86Context = 8
	x86IP      = x86Context + 40 + 128
	x86Segs    = x86IP + 16
	x86Trap    = x86IP + 32 // and cr2 16 bytes on
	x86Info    = x86Context + 304
	armContext = 128
	armIP      = armContext + 176 + 8 + 31*8 + 8
	infoBytes  = 24 // si_signo, si_errno, si_code, si_addr
)

// caught finds the signal whose handler the dead thread was in: the frame on its stack that goes back to the code
// that was interrupted.
func (m *meaning) caught() *Caught {
	at := -1
	for i := range m.stack.Frames {
		if m.stack.Frames[i].Signal && i+1 < len(m.stack.Frames) {
			at = i + 1
			break
		}
	}
	if at < 0 {
		return nil
	}
	pc := m.stack.Frames[at].PC
	b := make([]byte, maxStackSearch)
	b = b[:m.c.Memory(m.t.SP, b)]
	for i := 0; i+8 <= len(b); i += 8 {
		ip, info := x86IP, x86Info
		if m.c.Arch == "arm64" {
			ip, info = armIP, 0
		}
		base := i - ip
		if base < 0 || le.Uint64(b[i:]) != pc || base+info+infoBytes > len(b) {
			continue
		}
		if m.c.Arch == "amd64" && le.Uint16(b[base+x86Segs:]) != 0x33 { // the user's code segment
			continue
		}
		s := b[base+info:]
		c := &Caught{Signal: evidence.Signal(le.Uint32(s)), Code: int32(le.Uint32(s[8:])), Address: le.Uint64(s[16:])}
		if c.Signal == 0 && m.c.Arch == "amd64" {
			return m.trapped(b[base:], pc) // without SA_SIGINFO the kernel leaves siginfo as it was
		}
		if c.Signal <= 0 || c.Signal > 64 {
			continue
		}
		if c.AddressKnown = isFault(c.Signal) && c.Code > 0 && c.Code != siKernel; !c.AddressKnown {
			c.Address = 0
		}
		return c
	}
	return nil
}

// trapped tells a page fault by the processor's own words in an amd64 signal frame. These may be of an earlier
// fault: they are believed where the instruction that was interrupted used that address.
func (m *meaning) trapped(frame []byte, pc uint64) *Caught {
	const pageFault = 14
	addr := le.Uint64(frame[x86Trap+16:])
	if le.Uint64(frame[x86Trap:]) != pageFault {
		return nil
	}
	// r8 to r15, then rdi rsi rbp rbx rdx rax rcx rsp, in the order of Thread.Regs.
	regs := make([]uint64, 27)
	for i, at := range []int{7, 6, 5, 4, 10, 11, 3, 2, 1, 0, 13, 14, 12, 9, 8} {
		regs[i] = le.Uint64(frame[x86Context+40+8*at:])
	}
	regs[16], regs[19] = pc, le.Uint64(frame[x86IP-8:])
	code := make([]byte, 16)
	a := decode(m.c.Arch, code[:m.read(pc, code)], regs, pc)
	if pc != addr && (!a.Memory || addr-a.Address >= 64) {
		return nil
	}
	c := &Caught{Signal: sigSEGV, Address: addr, AddressKnown: true}
	if at := m.c.MappingAt(addr); at != nil && at.Readable && (at.Writable || a.Kind != "write") {
		c.Signal = sigBUS
	}
	return c
}

// String is the signal, its code and its address: "SIGSEGV (SEGV_MAPERR) at 0x8".
func (c *Caught) String() string {
	s := c.Signal.String()
	if name := codeName(c.Signal, c.Code); name != "" && (c.Code != siUser || !c.AddressKnown) { // else it is not known
		s += " (" + name + ")"
	}
	if c.AddressKnown {
		s += fmt.Sprintf(" at %#x", c.Address)
	}
	return s
}
