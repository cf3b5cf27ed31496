package coredump

import (
	"fmt"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/symbol"
)

// Meaning is what a core's signal and the address of its fault come to.
type Meaning struct {
	Fault string // one of evidence's CoreFault words, empty where none fits
	Text  string // a sentence

	Address      uint64 // that was accessed, or jumped to
	AddressKnown bool   // the kernel told it, or the instruction does
	Access       Access // of the instruction that faulted; zero where its code cannot be read
	Where        *Mapping
	File         string // that was mapped at Address, and ends before it
	FileBytes    int64  // how large it was then, or where that is not known is now; -1: neither is known

	Message   string // what libc noted before abort(): an assertion, "free(): invalid pointer"
	Exception string // C++: the type that nobody caught
	What      string // its what(), where it is one of the standard library's
	Smashed   string // the function whose stack frame was found to be overwritten

	Caught *Caught // the signal whose handler it was in; nil where it was in none, or that cannot be read
}

// meaning is one core on its way to a Meaning.
type meaning struct {
	c     *Core
	res   *symbol.Resolver
	root  string
	stack *Stack // of the thread that died; nil where it was not unwound
	t     Thread
	file  *MappedFile // that was mapped at the fault, as it was then; nil: not known
	Meaning
}

// Meaning tells what killed the process, from its signal, the faulting instruction and the memory around
// it. stack is the backtrace of the first thread, or nil. Files below root are read as Backtraces does.
func (c *Core) Meaning(res *symbol.Resolver, root string, stack *Stack) Meaning {
	return c.meaning(res, root, stack, nil)
}

func (c *Core) meaning(res *symbol.Resolver, root string, stack *Stack, file *MappedFile) Meaning {
	m := &meaning{c: c, res: res, root: root, stack: stack, file: file, Meaning: Meaning{FileBytes: -1}}
	if len(c.Threads) == 0 {
		m.Text = "the core does not tell what the process was doing"
		return m.Meaning
	}
	m.t = c.Threads[0]
	switch {
	case c.Signal == 0:
		m.Text = "the process was alive when the core was made"
	case c.Signal == sigABRT:
		m.abort()
	case c.Code <= 0:
		m.sent()
	case isFault(c.Signal) || c.Signal == sigSYS:
		m.Address, m.AddressKnown = c.FaultAddress, c.Code != siKernel
		code := make([]byte, 16)
		m.Access = decode(c.Arch, code[:m.read(m.t.PC, code)], m.t.Regs, m.t.PC)
		m.raised()
	default:
		m.Text = fmt.Sprintf("the kernel ended it with %v", c.Signal)
	}
	return m.Meaning
}

// raised is a signal that the kernel raised for what an instruction did.
func (m *meaning) raised() {
	switch m.c.Signal {
	case sigSEGV:
		m.segv()
	case sigBUS:
		m.bus()
	case sigFPE:
		m.arithmetic()
	case sigILL, sigTRAP:
		m.illegal()
	case sigSYS:
		m.AddressKnown = false
		call := evidence.CallName(m.c.Arch, uint32(m.c.Syscall))
		switch {
		case m.c.Code != 1: // SYS_SECCOMP
			m.Text = fmt.Sprintf("system call %d was sent back to the process, which did not handle that", m.c.Syscall)
		case call != "":
			m.Text = fmt.Sprintf("a seccomp filter forbade the system call %s and ended the process", call)
		default:
			m.Text = fmt.Sprintf("a seccomp filter forbade system call %d and ended the process", m.c.Syscall)
		}
	}
}

// sent is a signal that a process sent.
func (m *meaning) sent() {
	switch c := m.c; {
	case c.Sender != 0 && c.Sender == c.PID:
		m.Fault, m.Text = evidence.CoreAborted, fmt.Sprintf("the process sent %v to itself", c.Signal)
		m.Text += m.interrupted()
	case c.Sender == 0 && c.Code == siUser:
		m.Fault, m.Text = evidence.CoreSent, fmt.Sprintf("%v was sent by the kernel, or from outside of the process's pid namespace", c.Signal)
	default:
		m.Fault, m.Text = evidence.CoreSent, fmt.Sprintf("%v was sent by process %d (uid %d)", c.Signal, c.Sender, c.SenderUID)
	}
}

// read reads memory of the process, from its files where the core does not hold it.
func (m *meaning) read(addr uint64, p []byte) int {
	n := m.c.Memory(addr, p)
	if n > 0 || m.res == nil {
		return n
	}
	at := m.c.MappingAt(addr)
	if at == nil || at.Writable {
		return 0
	}
	return m.res.FileAt(m.root, symbolMapping(at), addr, p)
}

// text reads a C string.
func (m *meaning) text(addr uint64, limit int) string {
	b := make([]byte, limit)
	b = b[:m.read(addr, b)]
	for i, c := range b {
		if c == 0 {
			return strings.ToValidUTF8(string(b[:i]), "\ufffd")
		}
	}
	return ""
}

// word reads 8 bytes.
func (m *meaning) word(addr uint64) (uint64, bool) {
	var p [8]byte
	if m.read(addr, p[:]) < 8 {
		return 0, false
	}
	return le.Uint64(p[:]), true
}

// verb is what the instruction did, "access" where that is not known.
func (m *meaning) verb() string {
	switch m.Access.Kind {
	case "read", "divide", "call", "jump", "return":
		return "read"
	case "write":
		return "write"
	}
	return "access"
}

// through says what register the address came from: " through rax (0x0) and 24 bytes on".
func (m *meaning) through() string {
	a := &m.Access
	if !a.Memory || a.pointer() == "" {
		return ""
	}
	s := " through register " + a.pointer()
	if t := asText(a.Pointer); t != "" {
		s += fmt.Sprintf(", the text %q", t)
	}
	return s
}

// where describes an address by its mapping: "in /lib/libc.so.6 (read-only)".
func (m *meaning) where(at *Mapping) string {
	rights := ""
	for _, r := range []struct {
		has  bool
		word string
	}{{at.Readable, "r"}, {at.Writable, "w"}, {at.Executable, "x"}} {
		if r.has {
			rights += r.word
		} else {
			rights += "-"
		}
	}
	name := at.Path
	if name == "" {
		name = "memory without a file"
	}
	return fmt.Sprintf("%s (%s)", name, rights)
}

// near says what lies next to an address where nothing is mapped.
func (m *meaning) near() string {
	i := m.c.mappingAfter(m.Address)
	var before, after *Mapping
	if i > 0 {
		before = &m.c.Mappings[i-1]
	}
	if i < len(m.c.Mappings) {
		after = &m.c.Mappings[i]
	}
	const close = 64 << 20
	switch {
	case before != nil && m.Address-before.End < close && (after == nil || m.Address-before.End <= after.Start-m.Address):
		return fmt.Sprintf("%s beyond the end of %s", bytesText(m.Address-before.End), m.where(before))
	case after != nil && after.Start-m.Address < close:
		return fmt.Sprintf("%s before %s", bytesText(after.Start-m.Address), m.where(after))
	}
	return "far from all that is mapped"
}

// symbolMapping is a mapping as symbol knows it.
func symbolMapping(m *Mapping) symbol.Mapping {
	return symbol.Mapping{Start: m.Start, End: m.End, Offset: m.Offset, Path: m.Path, Deleted: m.Deleted, BuildID: m.BuildID, Head: m.head}
}
