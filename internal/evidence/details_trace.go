package evidence

import (
	"strconv"
	"strings"
)

// Frame is one function of a backtrace, the innermost first.
type Frame struct {
	PC       uint64 `json:"pc,omitzero"`       // virtual address in the process
	Function string `json:"function,omitzero"` // demangled, empty where unknown
	Offset   uint64 `json:"offset,omitzero"`   // bytes from the function's start
	Module   string `json:"module,omitzero"`   // path of the binary or library, empty where unmapped
	File     string `json:"file,omitzero"`     //
	Line     int32  `json:"line,omitzero"`     //
	Guess    bool   `json:"guess,omitzero"`    // found by scanning the stack, not by unwinding
	Own      bool   `json:"own,omitzero"`      // the program's own code, not the C library's or a runtime's
}

func (f *Frame) walk(c *codec) {
	c.u64(&f.PC)
	c.str(&f.Function)
	c.u64(&f.Offset)
	c.str(&f.Module)
	c.str(&f.File)
	c.i32(&f.Line)
	c.flag(&f.Guess)
	c.flag(&f.Own)
}

// String is "db_connect+0x5c in cart (db.c:12)", with what is known of that.
func (f *Frame) String() string {
	var b strings.Builder
	switch {
	case f.Function != "":
		b.WriteString(f.Function)
		if f.Line == 0 {
			b.WriteString("+0x" + strconv.FormatUint(f.Offset, 16))
		}
	default:
		b.WriteString("0x" + strconv.FormatUint(f.PC, 16))
	}
	if f.Module != "" {
		b.WriteString(" in " + f.Module[strings.LastIndexByte(f.Module, '/')+1:])
	}
	if f.Line != 0 {
		b.WriteString(" (" + f.File[strings.LastIndexByte(f.File, '/')+1:] + ":" + strconv.Itoa(int(f.Line)) + ")")
	}
	return b.String()
}

func walkFrames(c *codec, v *[]Frame) { list(c, v, func(c *codec, f *Frame) { f.walk(c) }) }

// Mapping is an executable piece of a process's address space.
type Mapping struct {
	Start, End, Offset uint64 // bytes; Offset into the file
	Path               string
	Device             uint64 // as in stat(2), 0 where unknown
	Inode              uint64
}

func (m *Mapping) walk(c *codec) {
	c.u64(&m.Start)
	c.u64(&m.End)
	c.u64(&m.Offset)
	c.str(&m.Path)
	c.u64(&m.Device)
	c.u64(&m.Inode)
}

// Context is what a stack is unwound from: registers, and a piece of the stack from the stack
// pointer upward. It is kept in a recording and left out of a case, which has the backtrace.
type Context struct {
	Arch  string    // runtime.GOARCH: decides the order of Regs
	Regs  []uint64  // amd64: r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss (struct pt_regs); arm64: x0 to x30 sp pc pstate
	PC    uint64    //
	SP    uint64    //
	Stack []byte    // memory from SP upward, at most 32 KiB; ends before the first page that could not be read
	Maps  []Mapping // executable mappings that addresses of the stack fall into, where the kernel gave them
}

func (x *Context) walk(c *codec) {
	c.str(&x.Arch)
	list(c, &x.Regs, (*codec).u64)
	c.u64(&x.PC)
	c.u64(&x.SP)
	c.bytes(&x.Stack)
	list(c, &x.Maps, func(c *codec, m *Mapping) { m.walk(c) })
}
