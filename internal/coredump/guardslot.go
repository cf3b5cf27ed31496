package coredump

import (
	"bytes"

	"golang.org/x/arch/x86/x86asm"
)

const maxFunction = 16 << 10 // bytes of a function's code that are searched

// guardSlot is where the function that calls __stack_chk_fail at pc has its guard value, by its amd64 code: what it
// loads before it compares with fs:0x28. sp is the stack pointer at the call.
func (m *meaning) guardSlot(start, pc, sp uint64) (uint64, bool) {
	if start >= pc || pc-start > maxFunction {
		return 0, false
	}
	code := make([]byte, pc-start)
	if m.read(start, code) < len(code) {
		return 0, false
	}
	frame, base := int64(0), false // rbp, from sp
	for at, n := 0, 0; at < len(code) && n < 24; n++ {
		in, err := x86asm.Decode(code[at:], 64)
		if err != nil {
			break
		}
		at += in.Len
		switch {
		case in.Op == x86asm.MOV && in.Args[0] == x86asm.RBP && in.Args[1] == x86asm.RSP:
			frame, base = 0, true
		case in.Op == x86asm.PUSH:
			frame += 8
		case in.Op == x86asm.SUB && in.Args[0] == x86asm.RSP:
			if v, ok := in.Args[1].(x86asm.Imm); ok {
				frame += int64(v)
			}
		}
	}
	for at := 8; at+9 <= len(code); at++ {
		// sub or xor %fs:0x28,reg
		if !bytes.Equal(code[at:at+2], []byte{0x64, 0x48}) || code[at+2] != 0x2b && code[at+2] != 0x33 || code[at+3]&0xc7 != 4 || !bytes.Equal(code[at+4:at+9], []byte{0x25, 0x28, 0, 0, 0}) {
			continue
		}
		for _, n := range []int{4, 5, 7, 8} { // mov off(%rbp or %rsp),reg right before it
			in, err := x86asm.Decode(code[at-n:at], 64)
			if err != nil || in.Len != n || in.Op != x86asm.MOV {
				continue
			}
			switch mem, ok := in.Args[1].(x86asm.Mem); {
			case !ok || mem.Index != 0:
			case mem.Base == x86asm.RSP:
				return sp + uint64(mem.Disp), true
			case mem.Base == x86asm.RBP && base:
				return sp + uint64(frame+mem.Disp), true
			}
		}
	}
	return 0, false
}
