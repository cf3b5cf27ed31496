package coredump

import (
	"fmt"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/symbol"
)

const (
	nullArea  = 64 << 10 // vm.mmap_min_addr: below, nothing is ever mapped
	stackStep = 64 << 10 // a frame that is larger is rare
	stackSkip = 16 << 20 // that a large frame may lie beyond the stack's end
)

// segv is SIGSEGV that the kernel raised.
func (m *meaning) segv() {
	c := m.c
	m.Where = c.MappingAt(m.Address)
	if !m.AddressKnown {
		m.Where = nil
		m.noAddress()
		return
	}
	switch {
	case m.jumped():
	case m.stackEnd():
	case m.Address < nullArea:
		m.null()
	case m.Where == nil:
		m.Fault = evidence.CoreUnmapped
		m.Text = fmt.Sprintf("%s of address %#x%s, where nothing is mapped: %s", m.verb(), m.Address, m.through(), m.near())
		if t := asText(m.Address); t != "" {
			m.Text += fmt.Sprintf("; the address is the text %q", t)
		}
	case c.Code == segvMapErr:
		m.Text = fmt.Sprintf("%s of address %#x%s, where nothing was mapped then; by the time of the dump it was part of %s",
			m.verb(), m.Address, m.through(), m.where(m.Where))
		m.Fault = evidence.CoreUnmapped
	case !m.Where.Readable && !m.Where.Writable && !m.Where.Executable:
		m.Fault = evidence.CoreNoAccess
		m.Text = fmt.Sprintf("%s of address %#x%s, which is mapped without any rights: a guard page, or a reserved range", m.verb(), m.Address, m.through())
	case !m.Where.Writable && m.Where.Readable && m.verb() != "read":
		m.Fault = evidence.CoreReadOnly
		what := "read-only memory"
		switch {
		case m.Where.Executable:
			what = "program code"
		case m.Where.Path != "" && m.Where.Path[0] == '/':
			what = "constants or a file that is mapped read-only"
		}
		m.Text = fmt.Sprintf("write to %s: address %#x%s in %s", what, m.Address, m.through(), m.where(m.Where))
	case c.Code == 4: // SEGV_PKUERR
		m.Fault = evidence.CoreNoAccess
		m.Text = fmt.Sprintf("%s of address %#x%s in %s, which a protection key forbids", m.verb(), m.Address, m.through(), m.where(m.Where))
	default:
		m.Text = fmt.Sprintf("%s of address %#x%s in %s was not allowed", m.verb(), m.Address, m.through(), m.where(m.Where))
	}
}

// jumped is a fault at the very address that was to run.
func (m *meaning) jumped() bool {
	pc := m.t.PC
	if pc != m.Address || m.Where != nil && m.Where.Executable {
		return false
	}
	how := "a jump"
	caller := ""
	if m.stack != nil && len(m.stack.Frames) > 1 && !m.stack.Frames[1].Guess {
		how = "a call"
		caller = ", called from " + frameName(&m.stack.Frames[1])
	}
	m.Access = Access{Kind: "jump"}
	switch {
	case pc < nullArea:
		m.Fault = evidence.CoreNull
		m.Text = fmt.Sprintf("%s through a null function pointer: to address %#x%s", how, pc, caller)
	case m.Where == nil:
		m.Fault = evidence.CoreJump
		m.Text = fmt.Sprintf("%s to address %#x, where nothing is mapped: %s%s", how, pc, m.near(), caller)
		if t := asText(pc); t != "" {
			m.Text += fmt.Sprintf("; the address is the text %q", t)
		}
	default:
		m.Fault = evidence.CoreJump
		m.Text = fmt.Sprintf("%s to address %#x, which is data and not code: %s%s", how, pc, m.where(m.Where), caller)
	}
	return true
}

func frameName(f *symbol.Frame) string {
	switch {
	case f.Function != "":
		return f.Function
	case f.Module != "":
		return fmt.Sprintf("%s+%#x", f.Module, f.Offset)
	}
	return fmt.Sprintf("%#x", f.PC)
}

func (m *meaning) null() {
	m.Fault = evidence.CoreNull
	a := &m.Access
	switch {
	case m.Address == 0:
		m.Text = fmt.Sprintf("%s through a null pointer%s", m.verb(), m.instruction())
	case a.Memory && a.Pointer < nullArea && a.Pointer != 0 && a.Base != "" && a.Address == m.Address:
		m.Text = fmt.Sprintf("%s of address %#x%s: a small number was taken for a pointer%s", m.verb(), m.Address, m.through(), m.instruction())
	default:
		m.Text = fmt.Sprintf("%s of what lies %d bytes (%#x) from a null pointer%s", m.verb(), m.Address, m.Address, m.instruction())
	}
}

// instruction quotes it.
func (m *meaning) instruction() string {
	if m.Access.Text == "" {
		return ""
	}
	return fmt.Sprintf(" (%s)", m.Access.Text)
}

// stackEnd tells that the thread used up its stack: the address lies in the guard or the gap right below it, and the
// stack pointer at most a frame above that, or beyond the stack's end itself.
func (m *meaning) stackEnd() bool {
	addr, sp, at := m.Address, m.t.SP, m.Where
	if addr < nullArea || at != nil && (at.Readable || at.Writable || at.Executable) {
		return false
	}
	i := m.c.mappingAfter(addr)
	for i < len(m.c.Mappings) && !m.c.Mappings[i].Readable && !m.c.Mappings[i].Writable {
		i++ // the guard
	}
	if i == len(m.c.Mappings) {
		return false
	}
	stack := &m.c.Mappings[i]
	if !stack.Writable || stack.Path != "" && stack.Path != "[stack]" || stack.Start-addr > stackSkip {
		return false
	}
	switch {
	case sp >= stack.Start && sp < stack.End:
		if sp-stack.Start > stackStep || addr+stackStep < sp {
			return false
		}
	case sp >= stack.Start || stack.Start-sp > stackSkip || addr+stackStep < sp:
		return false
	}
	m.Fault = evidence.CoreStack
	m.Text = fmt.Sprintf("stack overflow: the stack of thread %d, %s, is used up (%s of address %#x, stack pointer %#x)",
		m.t.TID, bytesText(m.extent(i)-stack.Start), m.verb(), addr, sp)
	if sp < stack.Start {
		m.Text += fmt.Sprintf("; the last frame reaches %s beyond its end", bytesText(stack.Start-sp))
	}
	if f := m.recursion(); f != "" {
		m.Text += "; " + f + " calls itself over and over"
	}
	return true
}

// extent is where the mapping i ends. A core of stacks parts a mapping by what it holds of it: parts that are
// held and parts that are not take turns.
func (m *meaning) extent(i int) uint64 {
	at := m.c.Mappings[i]
	for _, next := range m.c.Mappings[i+1:] {
		if next.Start != at.End || next.Saved == at.Saved || next.Readable != at.Readable || next.Writable != at.Writable ||
			next.Executable != at.Executable || next.Path != at.Path {
			break
		}
		at.End, at.Saved = next.End, next.Saved
	}
	return at.End
}

// recursion is the function that fills the stack's innermost frames, empty where there is none.
func (m *meaning) recursion() string {
	if m.stack == nil {
		return ""
	}
	count := map[string]int{}
	frames := m.stack.Frames[:min(len(m.stack.Frames), 64)]
	for i := range frames {
		if name := frames[i].Function; name != "" && !frames[i].Guess {
			if count[name]++; count[name] >= 16 {
				return name
			}
		}
	}
	return ""
}

// noAddress is a general protection fault of amd64: the processor tells no address of it.
func (m *meaning) noAddress() {
	m.Fault = evidence.CoreNoAddress
	const told = "the processor tells no address of such a fault"
	a := &m.Access
	width := 48
	if len(m.c.Mappings) > 0 && m.t.SP > 1<<47 {
		width = 57
	}
	switch {
	case m.forced():
		m.Message, m.Fault = m.libcMessage(), evidence.CoreAborted
		m.Text = "the process aborted itself"
		if m.Message != "" {
			m.Text = "the process aborted: " + strings.TrimSpace(m.Message)
		} else if f := m.aborter(); f != "" {
			m.Text += ", from " + f
		}
		m.Text += "; SIGABRT did not end it, as it does not the first process of a container, and abort() made a fault" + m.instruction()
	case a.Kind == "return":
		target, ok := m.word(m.t.SP)
		if ok && !canonical(target, width) {
			m.Address, m.AddressKnown = target, true
			m.Text = fmt.Sprintf("return to %#x, which no address can be%s: the return address on the stack was overwritten", target, textOf(target))
			return
		}
		m.Text = fmt.Sprintf("a return that the processor refused%s; %s", m.instruction(), told)
	case a.Memory && !canonical(a.Address, width):
		m.Address, m.AddressKnown = a.Address, true
		m.Text = fmt.Sprintf("%s of address %#x%s, which no pointer can have (%s; the instruction does%s)", m.verb(), a.Address, m.through(), told, m.instruction())
	case a.Memory && a.Aligned > 0 && a.Address%uint64(a.Aligned) != 0:
		m.Address, m.AddressKnown = a.Address, true
		m.Text = fmt.Sprintf("%s of address %#x%s, which is not a multiple of %d as the instruction asks%s", m.verb(), a.Address, m.through(), a.Aligned, m.instruction())
	case a.Memory && m.noRoomForSignal():
	case a.Kind == "call" || a.Kind == "jump":
		m.Text = fmt.Sprintf("a %s to an address that no code can have%s; %s", a.Kind, m.instruction(), told)
	case a.Text != "":
		m.Text = fmt.Sprintf("the processor refused an instruction%s: a privileged one, or an address that no pointer can have; %s", m.instruction(), told)
	default:
		m.Text = "an address that no pointer can have, or an instruction that only the kernel may use; " + told
	}
}

// noRoomForSignal tells of a fault at the end of the stack whose signal had a handler: the kernel found no room
// there to call it, and ended the process with a signal that has no address.
func (m *meaning) noRoomForSignal() bool {
	addr, where := m.Address, m.Where
	m.Address, m.Where = m.Access.Address, m.c.MappingAt(m.Access.Address)
	if m.stackEnd() {
		m.AddressKnown = true
		m.Text += "; there was no room to call the handler of that fault"
		return true
	}
	m.Address, m.Where = addr, where
	return false
}

// forced says whether the fault is how libc's abort() ends a process that SIGABRT does not end.
func (m *meaning) forced() bool {
	return m.stack != nil && len(m.stack.Frames) > 1 && strings.TrimPrefix(m.stack.Frames[0].Function, "__GI_") == "abort"
}

func textOf(v uint64) string {
	if t := asText(v); t != "" {
		return fmt.Sprintf(" (the text %q)", t)
	}
	return ""
}

// bus is SIGBUS that the kernel raised.
func (m *meaning) bus() {
	c := m.c
	m.Where = c.MappingAt(m.Address)
	switch c.Code {
	case busAdrAln:
		m.Text = fmt.Sprintf("%s of address %#x%s, which is not aligned as the instruction asks", m.verb(), m.Address, m.through())
		return
	case busMceErrAR, busMceErrAO:
		m.Text = fmt.Sprintf("the machine's memory at address %#x is broken (an error that its error correction could not mend)", m.Address)
		return
	}
	if c.Code != busAdrErr || m.Where == nil || m.Where.Path == "" || m.Where.Path[0] != '/' {
		m.Text = fmt.Sprintf("%s of address %#x%s, behind which there is no memory", m.verb(), m.Address, m.through())
		if m.Where != nil {
			m.Text += " (" + m.where(m.Where) + ")"
		}
		return
	}
	m.File = m.Where.Path
	at := m.Address - m.Where.Start + m.Where.Offset
	m.Text = fmt.Sprintf("%s of byte %d of the mapped file %s", m.verb(), at, m.File)
	if f := m.file; f != nil && f.Address == m.Address {
		m.FileBytes = f.File.Size
		if f.File.PastEnd() {
			m.Fault = evidence.CorePastEnd
			m.Text += fmt.Sprintf(", which had only %d bytes at that moment: it was cut short while it was mapped, or mapped larger than it was", f.File.Size)
		} else {
			m.Text += fmt.Sprintf(", which had %d bytes at that moment: that page could not be read, or there was no room for it", f.File.Size)
		}
		return
	}
	st, err := symbol.Stat(m.root, m.File)
	switch {
	case err != nil || m.Where.Deleted:
		m.Text += ", which cannot be looked at any more: it ended before that byte, or could not be read there"
	case st.Size() <= int64(at):
		m.Fault, m.FileBytes = evidence.CorePastEnd, st.Size()
		m.Text += fmt.Sprintf(", which has only %d bytes now: it was cut short while it was mapped, or mapped larger than it is", st.Size())
	default:
		m.FileBytes = st.Size()
		m.Text += fmt.Sprintf(", which has %d bytes now: it was shorter then, or could not be read or had no room there", st.Size())
	}
}

// arithmetic is SIGFPE that the kernel raised.
func (m *meaning) arithmetic() {
	m.Fault = evidence.CoreArithmetic
	a := &m.Access
	m.AddressKnown = false
	switch m.c.Code {
	case 1: // FPE_INTDIV
		divisor, known := a.Divisor, a.Known
		if a.Memory {
			divisor, known = m.word(a.Address)
			known = known && divisor == 0 // how wide it is is not looked at
		}
		switch {
		case known && divisor == 0:
			m.Text = "integer division by zero" + m.instruction()
		case known:
			m.Text = fmt.Sprintf("integer division by %d whose result does not fit%s", int64(divisor), m.instruction())
		default:
			m.Text = "integer division by zero, or one whose result does not fit" + m.instruction()
		}
	case 2:
		m.Text = "integer overflow" + m.instruction()
	case 3:
		m.Text = "floating-point division by zero" + m.instruction()
	default:
		m.Text = "a floating-point exception" + m.instruction()
	}
}

// illegal is SIGILL or SIGTRAP that the kernel raised.
func (m *meaning) illegal() {
	m.Fault = evidence.CoreIllegal
	a := &m.Access
	m.Address, m.AddressKnown = m.t.PC, true
	m.Where = m.c.MappingAt(m.t.PC)
	switch {
	case m.c.Signal == sigTRAP && a.Kind != "trap":
		m.Text = "a breakpoint instruction (int3), with no debugger there"
	case a.Kind == "trap":
		m.Text = fmt.Sprintf("the program ran into a trap that its compiler or author put there%s: __builtin_trap(), a failed check, or code that was held to be unreachable", m.instruction())
	case m.Where != nil && (m.Where.Path == "" || m.Where.Path[0] == '['):
		m.Text = fmt.Sprintf("the processor does not know the instruction at %#x, in %s: what ran there may not be code", m.t.PC, m.where(m.Where))
	default:
		m.Text = fmt.Sprintf("the processor does not know the instruction at %#x%s: the program was built for another one, or jumped into the middle of code", m.t.PC, m.instruction())
	}
}
