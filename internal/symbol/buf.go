package symbol

import "encoding/binary"

var le = binary.LittleEndian

// buf reads foreign bytes. Reading past the end gives zeros and sets bad, so that a parser checks once.
type buf struct {
	b   []byte
	off int
	bad bool
}

func (r *buf) bytes(n uint64) []byte {
	if r.bad || r.off < 0 || r.off > len(r.b) || n > uint64(len(r.b)-r.off) {
		r.bad = true
		return nil
	}
	p := r.b[r.off : r.off+int(n)]
	r.off += int(n)
	return p
}

func (r *buf) left() int { return len(r.b) - r.off }

func (r *buf) u8() byte {
	if p := r.bytes(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *buf) u16() uint16 {
	if p := r.bytes(2); p != nil {
		return le.Uint16(p)
	}
	return 0
}

func (r *buf) u32() uint32 {
	if p := r.bytes(4); p != nil {
		return le.Uint32(p)
	}
	return 0
}

func (r *buf) u64() uint64 {
	if p := r.bytes(8); p != nil {
		return le.Uint64(p)
	}
	return 0
}

func (r *buf) uleb() uint64 {
	var v uint64
	for shift := uint(0); shift < 70; shift += 7 {
		c := r.u8()
		if shift < 64 {
			v |= uint64(c&0x7f) << shift
		}
		if c&0x80 == 0 {
			return v
		}
	}
	r.bad = true
	return 0
}

func (r *buf) sleb() int64 {
	var v int64
	for shift := uint(0); shift < 70; {
		c := r.u8()
		if shift < 64 {
			v |= int64(c&0x7f) << shift
		}
		shift += 7
		if c&0x80 == 0 {
			if shift < 64 && c&0x40 != 0 {
				v |= -1 << shift
			}
			return v
		}
	}
	r.bad = true
	return 0
}

// str reads up to a zero byte.
func (r *buf) str() string {
	for i := r.off; !r.bad && i >= 0 && i < len(r.b) && i-r.off < maxName; i++ {
		if r.b[i] == 0 {
			s := string(r.b[r.off:i])
			r.off = i + 1
			return s
		}
	}
	r.bad = true
	return ""
}

// Pointer encodings (DW_EH_PE_*).
const (
	peAbs     = 0x00
	peULEB    = 0x01
	peU2      = 0x02
	peU4      = 0x03
	peU8      = 0x04
	peSLEB    = 0x09
	peS2      = 0x0a
	peS4      = 0x0b
	peS8      = 0x0c
	pePCRel   = 0x10
	peDataRel = 0x30
	peIndir   = 0x80
	peOmit    = 0xff
)

// pointer reads an encoded pointer. addr is the virtual address of the buffer's first byte and
// data what data-relative pointers count from. An indirect pointer cannot be followed here: its
// address is read over.
func (r *buf) pointer(enc byte, addr, data uint64) uint64 {
	if enc == peOmit {
		return 0
	}
	at := addr + uint64(r.off)
	var v uint64
	switch enc & 0x0f {
	case peAbs, peU8, peS8:
		v = r.u64()
	case peULEB:
		v = r.uleb()
	case peU2:
		v = uint64(r.u16())
	case peU4:
		v = uint64(r.u32())
	case peSLEB:
		v = uint64(r.sleb())
	case peS2:
		v = uint64(int64(int16(r.u16())))
	case peS4:
		v = uint64(int64(int32(r.u32())))
	default:
		r.bad = true
		return 0
	}
	switch enc & 0x70 {
	case peAbs:
	case pePCRel:
		v += at
	case peDataRel:
		v += data
	default:
		r.bad = true
	}
	return v
}
