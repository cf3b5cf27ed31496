package coredump

import (
	"fmt"
	"strings"

	"golang.org/x/arch/arm64/arm64asm"
)

func decodeARM64(code []byte, regs []uint64, pc uint64) Access {
	if len(code) < 4 || len(regs) < 33 {
		return Access{}
	}
	w := le.Uint32(code)
	a := Access{Length: 4, Exact: true}
	if in, err := arm64asm.Decode(code); err == nil {
		a.Text = strings.ToLower(in.String())
	}
	rn := w >> 5 & 31
	switch {
	case w>>21 == 0x6a1: // brk
		a.Kind = "trap"
		a.Text = fmt.Sprintf("brk #%d", w>>5&0xffff)
	case w>>16 == 0: // udf
		a.Kind = "trap"
		a.Text = fmt.Sprintf("udf #%d", w&0xffff)
	case w&0xfffffc1f == 0xd65f0000, w&0xfffffbff == 0xd65f0bff:
		a.Kind = "return"
	case w&0xfffffc1f == 0xd61f0000:
		a.Kind = "jump"
	case w&0xfffffc1f == 0xd63f0000:
		a.Kind = "call"
	case w>>25&0x5 == 0x4: // loads and stores
		a.Memory, a.Kind = true, "read"
		a.Base, a.Pointer = fmt.Sprintf("x%d", rn), regs[rn]
		if rn == 31 {
			a.Base = "sp"
		}
		a.Address = a.Pointer
		armLoadStore(&a, w, regs, pc)
	}
	return a
}

// armLoadStore tells load from store, and the address, of the classes of "Loads and Stores" of the architecture's manual.
func armLoadStore(a *Access, w uint32, regs []uint64, pc uint64) {
	store := func(yes bool) {
		if yes {
			a.Kind = "write"
		}
	}
	size := w >> 30
	vector := w>>26&1 == 1
	switch class := w >> 27 & 7; {
	case class == 3 && w>>24&1 == 0: // literal
		a.Base, a.Pointer = "", 0
		a.Address = pc + uint64(int64(int32(w<<8)>>13)<<2)
	case class == 5: // pairs
		store(w>>22&1 == 0)
		scale := 2 + size>>1
		if vector {
			scale = 2 + size
		}
		if w>>23&3 != 1 { // not post-indexed
			a.Address += uint64(int64(int32(w<<10)>>25) << scale)
		}
	case class == 7:
		opc := w >> 22 & 3
		scale := size
		if vector {
			scale |= opc >> 1 << 2
		}
		rmw := !vector && w>>24&1 == 0 && w>>21&1 == 1 && w>>10&3 == 0
		store(opc == 0 || vector && opc == 2 || rmw)
		switch {
		case w>>24&1 == 1: // unsigned offset
			a.Address += uint64(w>>10&0xfff) << scale
		case w>>21&1 == 0 && w>>10&3 != 1: // signed offset, or pre-indexed
			a.Address += uint64(int64(int32(w<<11) >> 23))
		case w>>21&1 == 1 && w>>10&3 == 2: // register
			rm := w >> 16 & 31
			if rm == 31 {
				break
			}
			v := regs[rm]
			a.Index, a.IndexVal = fmt.Sprintf("x%d", rm), v
			switch w >> 13 & 7 {
			case 2:
				v &= 0xffffffff
			case 6:
				v = uint64(int64(int32(v)))
			}
			if w>>12&1 == 1 {
				v <<= scale
			}
			a.Address += v
		}
	case class == 1: // exclusive, ordered; with vector: structures
		store(w>>22&1 == 0)
	default:
		a.Exact = false
	}
}
