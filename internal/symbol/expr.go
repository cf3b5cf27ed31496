package symbol

// Bounds of a DWARF expression: a jump backward can loop.
const (
	maxExprSteps = 1000
	maxExprStack = 64
)

// memory reads 8 bytes of the process.
type memory func(addr uint64) (uint64, bool)

// eval executes a DWARF expression with first on its stack, where it is given, and registers reg.
func eval(expr []byte, first []uint64, reg func(uint64) (uint64, bool), mem memory) (uint64, bool) {
	st := append(make([]uint64, 0, 16), first...)
	r := buf{b: expr}
	pop := func() uint64 {
		if len(st) == 0 {
			r.bad = true
			return 0
		}
		v := st[len(st)-1]
		st = st[:len(st)-1]
		return v
	}
	pick := func(i int) uint64 {
		if i < 0 || i >= len(st) {
			r.bad = true
			return 0
		}
		return st[len(st)-1-i]
	}
	truth := func(b bool) uint64 {
		if b {
			return 1
		}
		return 0
	}
	for steps := 0; r.left() > 0 && !r.bad; steps++ {
		if steps == maxExprSteps || len(st) > maxExprStack {
			return 0, false
		}
		op := r.u8()
		push := func(v uint64) { st = append(st, v) }
		switch {
		case op >= 0x30 && op <= 0x4f: // lit0 to lit31
			push(uint64(op - 0x30))
			continue
		case op >= 0x70 && op <= 0x8f: // breg0 to breg31
			v, ok := reg(uint64(op - 0x70))
			push(v + uint64(r.sleb()))
			r.bad = r.bad || !ok
			continue
		case op >= 0x50 && op <= 0x6f: // reg0 to reg31
			v, ok := reg(uint64(op - 0x50))
			push(v)
			r.bad = r.bad || !ok
			continue
		}
		switch op {
		case 0x03, 0x0e, 0x0f: // addr, const8u, const8s
			push(r.u64())
		case 0x06: // deref
			v, ok := mem(pop())
			push(v)
			r.bad = r.bad || !ok
		case 0x94: // deref_size
			n := r.u8()
			v, ok := mem(pop())
			if n == 0 || n > 8 {
				return 0, false
			}
			push(v & (^uint64(0) >> (64 - 8*n)))
			r.bad = r.bad || !ok
		case 0x08:
			push(uint64(r.u8()))
		case 0x09:
			push(uint64(int64(int8(r.u8()))))
		case 0x0a:
			push(uint64(r.u16()))
		case 0x0b:
			push(uint64(int64(int16(r.u16()))))
		case 0x0c:
			push(uint64(r.u32()))
		case 0x0d:
			push(uint64(int64(int32(r.u32()))))
		case 0x10:
			push(r.uleb())
		case 0x11:
			push(uint64(r.sleb()))
		case 0x12: // dup
			push(pick(0))
		case 0x13: // drop
			pop()
		case 0x14: // over
			push(pick(1))
		case 0x15: // pick
			push(pick(int(r.u8())))
		case 0x16: // swap
			a, b := pop(), pop()
			push(a)
			push(b)
		case 0x17: // rot
			a, b, c := pop(), pop(), pop()
			push(a)
			push(c)
			push(b)
		case 0x19: // abs
			if v := int64(pop()); v < 0 {
				push(uint64(-v))
			} else {
				push(uint64(v))
			}
		case 0x1a:
			b, a := pop(), pop()
			push(a & b)
		case 0x1b: // div, signed
			b, a := int64(pop()), int64(pop())
			if b == 0 {
				return 0, false
			}
			push(uint64(a / b))
		case 0x1c:
			b, a := pop(), pop()
			push(a - b)
		case 0x1d: // mod
			b, a := pop(), pop()
			if b == 0 {
				return 0, false
			}
			push(a % b)
		case 0x1e:
			push(pop() * pop())
		case 0x1f:
			push(-pop())
		case 0x20:
			push(^pop())
		case 0x21:
			b, a := pop(), pop()
			push(a | b)
		case 0x22:
			push(pop() + pop())
		case 0x23:
			push(pop() + r.uleb())
		case 0x24:
			b, a := pop(), pop()
			push(a << b)
		case 0x25:
			b, a := pop(), pop()
			push(a >> b)
		case 0x26:
			b, a := pop(), int64(pop())
			push(uint64(a >> b))
		case 0x27:
			b, a := pop(), pop()
			push(a ^ b)
		case 0x28, 0x2f: // bra, skip
			d := int(int16(r.u16()))
			if op == 0x28 && pop() == 0 {
				break
			}
			if to := r.off + d; to < 0 || to > len(r.b) {
				return 0, false
			} else {
				r.off = to
			}
		case 0x29:
			b, a := pop(), pop()
			push(truth(a == b))
		case 0x2a: // ge
			b, a := int64(pop()), int64(pop())
			push(truth(a >= b))
		case 0x2b: // gt
			b, a := int64(pop()), int64(pop())
			push(truth(a > b))
		case 0x2c: // le
			b, a := int64(pop()), int64(pop())
			push(truth(a <= b))
		case 0x2d: // lt
			b, a := int64(pop()), int64(pop())
			push(truth(a < b))
		case 0x2e:
			b, a := pop(), pop()
			push(truth(a != b))
		case 0x92: // bregx
			n := r.uleb()
			v, ok := reg(n)
			push(v + uint64(r.sleb()))
			r.bad = r.bad || !ok
		case 0x96: // nop
		default:
			return 0, false
		}
	}
	if r.bad || len(st) == 0 {
		return 0, false
	}
	return st[len(st)-1], true
}
