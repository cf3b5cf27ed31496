//go:build linux

package probe

import (
	"fmt"
	"runtime"

	"github.com/descry-dev/descry/internal/evidence"
)

// faulted is what the kernel knew of a fault's surroundings.
type faulted struct {
	sig   *evidence.SignalFatal
	parts *parts
	at    area // the mapping or gap that the address lies in
	below area // and its neighbours, where they were looked up
	above area

	stack      area // of the stack pointer
	stackAbove area // next to it, where the stack pointer is not in memory that can be written

	heapLo, heapHi uint64
	err            uint64 // of the processor
}

const (
	nullPage     = 64 << 10 // below, an address is that of a member of a null pointer
	nearStack    = 1 << 20  // the gap that the kernel keeps below a stack
	codeMapErr   = 1        // SEGV_MAPERR: nothing is mapped there
	codeAccErr   = 2        // SEGV_ACCERR: what is mapped does not allow it
	errExecute   = 1 << 4
	nearMappings = 1 << 16
)

// judge fills in what the address is, and the bounds of the stack.
func (f *faulted) judge() {
	d := f.sig
	stack := f.stackArea()
	if stack != nil {
		d.StackLo, d.StackHi = stack.lo, stack.hi+1
	}
	if d.Code <= 0 || d.Signal != evidence.SIGSEGV && d.Signal != evidence.SIGBUS {
		return
	}
	if d.Signal == evidence.SIGBUS {
		d.Where = f.where()
		return
	}
	if d.Code != codeMapErr && d.Code != codeAccErr {
		if d.Code == 0x80 && runtime.GOARCH == "amd64" {
			d.Fault = "not an address" // not canonical: the processor does not say which
		}
		return
	}
	d.Where = f.where()
	switch {
	case d.Address < nullPage:
		d.Fault = "null page"
	case f.belowStack(stack):
		d.Fault = "stack guard"
	case !f.at.mapped():
		d.Fault = "not mapped"
	case !f.at.may(vmExec) && (d.Address == d.PC || runtime.GOARCH == "amd64" && f.err&errExecute != 0):
		d.Fault = "not executable"
	case f.at.may(vmRead) && !f.at.may(vmWrite):
		d.Fault = "read-only"
	case !f.at.may(vmRead | vmWrite | vmExec):
		d.Fault = "no access"
	}
}

// stackArea is the mapping of the stack. A stack pointer that has run out of it stands in the gap or
// the guard page below.
func (f *faulted) stackArea() *area {
	switch {
	case f.stack.mapped() && f.stack.may(vmWrite):
		return &f.stack
	case f.stackAbove.mapped() && f.stackAbove.may(vmWrite) && f.stackAbove.lo-f.sig.SP <= nearStack:
		return &f.stackAbove
	}
	return nil
}

// belowStack says whether the address lies just below the stack, where nothing may be touched.
func (f *faulted) belowStack(stack *area) bool {
	d := f.sig
	if f.at.mapped() && f.at.may(vmRead|vmWrite|vmExec) {
		return false
	}
	if stack != nil && d.Address < stack.lo && stack.lo-d.Address <= nearStack {
		// A single large frame may step over the guard, but not from deep inside the stack.
		return d.SP < stack.lo+nearStack
	}
	// A stack that the kernel would not let grow, whatever the stack pointer is.
	return f.above.may(vmGrowsDown) && f.above.lo-d.Address <= nearStack && d.SP < f.above.lo+nearStack && d.SP+nearStack >= f.above.lo
}

// where names the mapping of the address, or what it is near to.
func (f *faulted) where() string {
	a := f.sig.Address
	if f.at.mapped() {
		return f.name(&f.at)
	}
	switch {
	case a < nullPage:
		return ""
	case f.above.mapped() && f.above.lo-a <= nearMappings && f.above.may(vmGrowsDown):
		return fmt.Sprintf("%d bytes below %s", f.above.lo-a, f.name(&f.above))
	case f.below.mapped() && a-f.below.hi <= nearMappings:
		return fmt.Sprintf("%d bytes past the end of %s", a-f.below.hi-1, f.name(&f.below))
	case f.above.mapped() && f.above.lo-a <= nearMappings:
		return fmt.Sprintf("%d bytes below %s", f.above.lo-a, f.name(&f.above))
	}
	return ""
}

// name is a mapping's file, or what it serves for.
func (f *faulted) name(a *area) string {
	if p := f.parts.path(a.path); p != "" {
		return p
	}
	switch {
	case a.may(vmGrowsDown) || a.lo == f.sig.StackLo && a.hi+1 == f.sig.StackHi:
		return "[stack]"
	case a.lo < f.heapHi && a.hi >= f.heapLo && f.heapLo != f.heapHi:
		return "[heap]"
	}
	return "[anonymous]"
}
