package coredump

import (
	"fmt"
	"strings"
)

// Access is what one instruction does with memory.
type Access struct {
	Text  string // the instruction in its assembler's words; empty where it cannot be decoded
	Kind  string // "read", "write", "call", "jump", "return", "trap", "divide"; empty where it is none of these, or not known
	Exact bool   // Address is what the instruction asked for; false: a vector instruction's displacement is not known

	Address  uint64 // that it asked for, where Memory
	Memory   bool
	Base     string // register that held the pointer; empty for an absolute address
	Pointer  uint64 // its value
	Index    string
	IndexVal uint64
	Divisor  uint64 // of "divide", where it is a register
	Known    bool   // Divisor is
	Aligned  int    // the address has to be a multiple of this, 0 where not
	Length   int    // bytes of the instruction
}

// pointer names the register and value that Address was made from: "rax (0x10)".
func (a *Access) pointer() string {
	switch {
	case a.Base != "" && a.Index != "":
		return fmt.Sprintf("%s (%#x) and %s (%#x)", a.Base, a.Pointer, a.Index, a.IndexVal)
	case a.Base != "":
		return fmt.Sprintf("%s (%#x)", a.Base, a.Pointer)
	case a.Index != "":
		return fmt.Sprintf("%s (%#x)", a.Index, a.IndexVal)
	}
	return ""
}

// decode tells what the instruction at the start of code does. It is the zero Access where it cannot be decoded.
func decode(arch string, code []byte, regs []uint64, pc uint64) (a Access) {
	defer func() {
		if recover() != nil { // a decoder on foreign bytes
			a = Access{}
		}
	}()
	if arch == "arm64" {
		return decodeARM64(code, regs, pc)
	}
	return decodeAMD64(code, regs, pc)
}

// asText gives the printable characters that v is made of, as a string that was copied over a pointer has it;
// empty where v is no text.
func asText(v uint64) string {
	var b []byte
	for ; v != 0; v >>= 8 {
		c := byte(v)
		if c < 0x20 || c > 0x7e {
			return ""
		}
		b = append(b, c)
	}
	if len(b) < 5 || strings.TrimSpace(string(b)) == "" {
		return ""
	}
	return string(b)
}
