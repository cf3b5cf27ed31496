package coredump

import (
	"math/bits"
	"strings"

	"golang.org/x/arch/x86/x86asm"
)

// x86Regs says where NT_PRSTATUS has the registers in the order of their numbers: rax rcx rdx rbx rsp rbp rsi rdi r8 to r15.
var x86Regs = [16]int{10, 11, 12, 5, 19, 4, 13, 14, 9, 8, 7, 6, 3, 2, 1, 0}

var x86Names = [16]string{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"}

func decodeAMD64(code []byte, regs []uint64, pc uint64) Access {
	if len(regs) < 23 || len(code) == 0 {
		return Access{}
	}
	if a, ok := decodeVEX(code, regs, pc); ok {
		return a
	}
	in, err := x86asm.Decode(code, 64)
	if err != nil {
		return Access{}
	}
	for i, arg := range in.Args {
		if m, ok := arg.(x86asm.Mem); ok && (m.Base != 0 || m.Index != 0) {
			m.Disp = int64(int32(m.Disp)) // x86asm leaves one of 32 bits without its sign
			in.Args[i] = m
		}
	}
	a := Access{Text: strings.ToLower(x86asm.GNUSyntax(in, pc, nil)), Exact: true, Length: in.Len}
	a.Kind = x86Kind(&in)
	for _, arg := range in.Args {
		if m, ok := arg.(x86asm.Mem); ok && in.Op != x86asm.LEA && in.Op != x86asm.NOP {
			a.at(m, regs, pc+uint64(in.Len), in.AddrSize)
			break
		}
	}
	switch in.Op {
	case x86asm.PUSH, x86asm.CALL:
		if !a.Memory {
			a.implicit("rsp", regs[19], ^uint64(7)) // -8
		}
	case x86asm.POP, x86asm.RET, x86asm.LEAVE, x86asm.IRETQ:
		if a.Kind == "" {
			a.Kind = "read"
		}
		if !a.Memory {
			a.implicit("rsp", regs[19], 0)
		}
	case x86asm.DIV, x86asm.IDIV:
		a.Kind = "divide"
		if r, ok := in.Args[0].(x86asm.Reg); ok {
			a.Divisor, a.Known = x86Value(r, regs)
		}
	case x86asm.MOVAPS, x86asm.MOVAPD, x86asm.MOVDQA, x86asm.MOVNTDQ, x86asm.MOVNTPS, x86asm.FXSAVE, x86asm.FXRSTOR:
		a.Aligned = 16
	}
	return a
}

// implicit sets an address that an instruction does not name.
func (a *Access) implicit(base string, v, off uint64) {
	a.Memory, a.Base, a.Pointer, a.Address = true, base, v, v+off
}

// x86Kind tells what an instruction does with its first operand, where that is memory.
func x86Kind(in *x86asm.Inst) string {
	switch in.Op {
	case x86asm.RET, x86asm.LRET:
		return "return"
	case x86asm.JMP:
		return "jump"
	case x86asm.CALL:
		return "call"
	case x86asm.UD1, x86asm.UD2, x86asm.INT, x86asm.HLT, x86asm.ICEBP:
		return "trap"
	case x86asm.PUSH:
		if _, ok := in.Args[0].(x86asm.Mem); ok {
			return "read"
		}
		return "write"
	case x86asm.CMP, x86asm.TEST, x86asm.BT, x86asm.MUL, x86asm.COMISD, x86asm.COMISS, x86asm.UCOMISD, x86asm.UCOMISS,
		x86asm.PREFETCHNTA, x86asm.PREFETCHT0, x86asm.FLD, x86asm.FILD, x86asm.LDMXCSR, x86asm.FLDCW,
		x86asm.SCASB, x86asm.SCASD, x86asm.SCASQ, x86asm.SCASW, x86asm.CMPSB, x86asm.CMPSD, x86asm.CMPSQ, x86asm.CMPSW:
		return "read"
	}
	for i, arg := range in.Args {
		if _, ok := arg.(x86asm.Mem); !ok {
			continue
		}
		if i == 0 && !(in.Op == x86asm.IMUL && in.Args[1] == nil) {
			return "write"
		}
		return "read"
	}
	return ""
}

func (a *Access) at(m x86asm.Mem, regs []uint64, next uint64, addrSize int) {
	a.Memory = true
	if m.Base == x86asm.RIP {
		a.Address = next + uint64(m.Disp)
		return
	}
	base, hasBase := x86Value(m.Base, regs)
	index, hasIndex := x86Value(m.Index, regs)
	if hasBase {
		a.Base, a.Pointer = strings.ToLower(m.Base.String()), base
	}
	if hasIndex {
		a.Index, a.IndexVal = strings.ToLower(m.Index.String()), index
	}
	a.Address = base + index*uint64(m.Scale) + uint64(m.Disp)
	if addrSize == 32 {
		a.Address &= 0xffffffff
	}
	switch m.Segment {
	case x86asm.FS:
		a.Address += regs[21]
	case x86asm.GS:
		a.Address += regs[22]
	}
}

// x86Value is the value of a register of general use.
func x86Value(r x86asm.Reg, regs []uint64) (uint64, bool) {
	switch {
	case r >= x86asm.RAX && r <= x86asm.R15:
		return regs[x86Regs[r-x86asm.RAX]], true
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return regs[x86Regs[r-x86asm.EAX]] & 0xffffffff, true
	case r >= x86asm.AX && r <= x86asm.R15W:
		return regs[x86Regs[r-x86asm.AX]] & 0xffff, true
	case r >= x86asm.AL && r <= x86asm.BL:
		return regs[x86Regs[r-x86asm.AL]] & 0xff, true
	}
	return 0, false
}

// decodeVEX reads the memory operand of AVX and AVX-512 instructions, which libc's string functions are made of
// and x86asm does not know.
func decodeVEX(code []byte, regs []uint64, pc uint64) (a Access, ok bool) {
	i := 0
	segment := uint64(0)
	for ; i < len(code) && (code[i] == 0x64 || code[i] == 0x65 || code[i] == 0x67); i++ {
		switch code[i] {
		case 0x64:
			segment = regs[21]
		case 0x65:
			segment = regs[22]
		}
	}
	if len(code) < i+6 {
		return a, false
	}
	var r, x, b, opmap, prefix int
	evex, scale := false, 1
	switch code[i] {
	case 0xc5:
		r, opmap, prefix = int(^code[i+1]>>7&1), 1, int(code[i+1]&3)
		i += 2
	case 0xc4:
		x, b, opmap, prefix = int(^code[i+1]>>6&1), int(^code[i+1]>>5&1), int(code[i+1]&0x1f), int(code[i+2]&3)
		i += 3
	case 0x62:
		x, b, opmap, prefix = int(^code[i+1]>>6&1), int(^code[i+1]>>5&1), int(code[i+1]&7), int(code[i+2]&3)
		evex, scale = true, 16<<(code[i+3]>>5&3)
		i += 4
	default:
		return a, false
	}
	_ = r
	op := code[i]
	i++
	p := buffer{b: code[i:]}
	modrm := p.u8()
	if modrm>>6 == 3 {
		return a, false // registers alone
	}
	a = Access{Memory: true, Exact: true, Kind: "read"}
	if vexStores(opmap, prefix, op) {
		a.Kind = "write"
	}
	rm := int(modrm & 7)
	mod := modrm >> 6
	base := rm | b<<3
	index := -1
	shift := 0
	if rm == 4 {
		sib := p.u8()
		base = int(sib&7) | b<<3
		if index = int(sib>>3&7) | x<<3; index == 4 {
			index = -1
		}
		shift = int(sib >> 6)
	}
	var disp uint64
	rip := mod == 0 && rm == 5
	switch {
	case mod == 1:
		disp = uint64(int64(int8(p.u8()))) * uint64(scale)
		a.Exact = !evex
	case mod == 2 || rip || mod == 0 && rm == 4 && base&7 == 5:
		disp = uint64(int64(int32(p.u32())))
		if mod == 0 && !rip {
			base = -1
		}
	}
	if p.bad {
		return Access{}, false
	}
	a.Address = disp + segment
	a.Length = i + p.off
	if rip {
		a.Address += pc + uint64(a.Length)
		if opmap == 3 {
			a.Address++ // an immediate follows
		}
		return a, true
	}
	if base >= 0 {
		a.Base, a.Pointer = x86Names[base], regs[x86Regs[base]]
		a.Address += a.Pointer
	}
	if index >= 0 {
		a.Index, a.IndexVal = x86Names[index], regs[x86Regs[index]]
		a.Address += a.IndexVal << shift
	}
	if opmap == 1 && (op == 0x6f || op == 0x7f) && prefix == 1 || opmap == 1 && (op == 0x28 || op == 0x29 || op == 0xe7) {
		a.Aligned = 16
		if evex {
			a.Aligned = scale
		}
	}
	return a, true
}

// vexStores tells the instructions of AVX whose operand in memory is written.
func vexStores(opmap, prefix int, op byte) bool {
	switch opmap {
	case 1:
		switch op {
		case 0x11, 0x13, 0x17, 0x29, 0x2b, 0x7f, 0xd6, 0xe7:
			return true
		case 0x7e:
			return prefix == 1
		}
	case 2:
		return op == 0x2e || op == 0x2f || op == 0x8e || op == 0x63 || op == 0x8a || op == 0x8b
	case 3:
		return op >= 0x14 && op <= 0x17 || op == 0x19 || op == 0x39 || op == 0x1b || op == 0x3b || op == 0x1d
	}
	return false
}

// buffer reads foreign bytes; past the end it gives zeros and sets bad.
type buffer struct {
	b   []byte
	off int
	bad bool
}

func (p *buffer) u8() byte {
	if p.off >= len(p.b) {
		p.bad = true
		return 0
	}
	p.off++
	return p.b[p.off-1]
}

func (p *buffer) u32() uint32 {
	if len(p.b)-p.off < 4 {
		p.bad = true
		return 0
	}
	p.off += 4
	return le.Uint32(p.b[p.off-4:])
}

// canonical tells whether v can be an address on amd64: bits 47 to 63 are alike. 57 says that five-level
// page tables may be in use.
func canonical(v uint64, width int) bool {
	top := uint64(int64(v) >> (width - 1))
	return bits.OnesCount64(top) == 0 || top == ^uint64(0)
}
