package symbol

import "golang.org/x/sys/unix"

// readRegisters fills in the registers of a stopped thread as a probe copies them.
func readRegisters(tid int, ctx *Context) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return err
	}
	ctx.PC, ctx.SP = r.Rip, r.Rsp
	ctx.Regs = []uint64{r.R15, r.R14, r.R13, r.R12, r.Rbp, r.Rbx, r.R11, r.R10, r.R9, r.R8, r.Rax, r.Rcx, r.Rdx, r.Rsi, r.Rdi, r.Orig_rax, r.Rip, r.Cs, r.Eflags, r.Rsp, r.Ss}
	return nil
}
