package coredump

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Kinds of runtime types (internal/abi).
const (
	goBool      = 1
	goInt       = 2
	goInt64     = 6
	goUint      = 7
	goUintptr   = 12
	goFloat32   = 13
	goFloat64   = 14
	goPointer   = 22
	goString    = 24
	goKindMask  = 31
	goTypeFlags = 20 // in abi.Type
	goTypeKind  = 23
	goTypeName  = 40
	goTypeElem  = 48 // in abi.PtrType
	maxPanics   = 8
	maxPanicLen = 1000 // bytes of a message
)

// panicOf is what the panic says that ended the program: the values of the goroutine on the thread that
// died, the first one first, as Go prints them; of another goroutine where that has none. When Go prints a panic
// it has put the message in the place of an error.
func (r *goReader) panicOf(gs []goroutine, tid int32) string {
	var g *goroutine
	for i := range gs {
		if gs[i].panic != 0 && (g == nil || gs[i].tid == tid && tid != 0) {
			g = &gs[i]
		}
	}
	if g == nil {
		return ""
	}
	var said []string
	for at, n := g.panic, 0; at != 0 && n < maxPanics; n++ {
		typ, ok := r.word(at + r.lay.panicArg)
		data, ok2 := r.word(at + r.lay.panicArg + 8)
		next, ok3 := r.word(at + r.lay.panicLink)
		if !ok || !ok2 || !ok3 {
			break
		}
		if typ != 0 { // 0: Goexit
			said = append(said, r.value(typ, data))
		}
		at = next
	}
	slices.Reverse(said)
	return strings.Join(slices.Compact(said), "; then panic: ")
}

// any reads memory of the process, or what its binary has there.
func (r *goReader) any(addr uint64, b []byte) bool {
	return r.read(addr, b) == len(b) || r.prog.Read(addr, b) == len(b)
}

// value is an interface's value as Go prints that of a panic.
func (r *goReader) value(typ, data uint64) string {
	var t [goTypeElem + 8]byte
	if !r.any(typ, t[:]) {
		return fmt.Sprintf("a value at %#x, of a type that could not be read", data)
	}
	name := r.typeName(le.Uint32(t[goTypeName:]), t[goTypeFlags]&2 != 0)
	kind := t[goTypeKind] & goKindMask
	var b [16]byte
	var s string
	switch {
	case kind == goString:
		if s, ok := r.str(data); ok {
			if name != "" && name != "string" && name != "runtime.errorString" && name != "runtime.plainError" && name != "runtime.boundsError" {
				return fmt.Sprintf("%s(%q)", name, s)
			}
			return s
		}
	case kind == goPointer && (name == "*errors.errorString" || name == "*fmt.wrapError" || name == "*fmt.wrapErrors"):
		if s, ok := r.str(data); ok {
			return s
		}
	case kind >= goBool && kind <= goFloat64 && r.any(data, b[:8]):
		size := le.Uint64(t[:])
		v := le.Uint64(b[:])
		if size < 8 {
			v &= 1<<(8*size) - 1
		}
		switch {
		case kind == goBool:
			s = strconv.FormatBool(v != 0)
		case kind <= goInt64 && size <= 8:
			shift := 64 - 8*size
			s = strconv.FormatInt(int64(v<<shift)>>shift, 10)
		case kind <= goUintptr:
			s = strconv.FormatUint(v, 10)
		case kind == goFloat32:
			s = strconv.FormatFloat(float64(math.Float32frombits(uint32(v))), 'g', -1, 32)
		default:
			s = strconv.FormatFloat(math.Float64frombits(v), 'g', -1, 64)
		}
		if !strings.Contains(name, ".") { // of the language itself
			return s
		}
		return name + "(" + s + ")"
	}
	if name == "" {
		name = "unknown type"
	}
	if kind == goString {
		return "a string that the core does not hold"
	}
	return fmt.Sprintf("(%s) %#x", name, data)
}

// str is the Go string whose header stands at addr.
func (r *goReader) str(addr uint64) (string, bool) {
	var h [16]byte
	if !r.any(addr, h[:]) {
		return "", false
	}
	ptr, n := le.Uint64(h[:]), le.Uint64(h[8:])
	if n == 0 {
		return "", true
	}
	if n > 1<<30 {
		return "", false
	}
	b := make([]byte, min(n, maxPanicLen))
	if !r.any(ptr, b) {
		return "", false
	}
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	if n > maxPanicLen {
		s += "…"
	}
	return s, true
}

// typeName is a type's name by its offset from runtime.moduledata's types.
func (r *goReader) typeName(off uint32, extraStar bool) string {
	base, ok := r.types()
	if !ok {
		return ""
	}
	var b [130]byte
	if !r.any(base+uint64(off), b[:3]) {
		return ""
	}
	n, at := uint64(b[1]&0x7f), 2
	if b[1]&0x80 != 0 {
		n, at = n|uint64(b[2]&0x7f)<<7, 3
	}
	s := make([]byte, min(n, 120))
	if len(s) == 0 || !r.any(base+uint64(off)+uint64(at), s) {
		return ""
	}
	name := strings.ToValidUTF8(string(s), "\uFFFD")
	if extraStar { // the linker shares the name of the pointer type
		name = strings.TrimPrefix(name, "*")
	}
	return name
}

// types finds runtime.firstmoduledata, whose first word is the address of pclntab, and what types count from.
func (r *goReader) types() (uint64, bool) {
	if r.typesAt != 0 {
		return r.typesAt, r.typesAt != 1
	}
	r.typesAt = 1
	buf := make([]byte, 1<<20)
	left := uint64(maxGoData)
	for _, s := range r.prog.Data {
		for at := s.Start; at+8 <= s.End && left > 0; {
			b := buf[:min(uint64(len(buf)), s.End-at, left)]
			got := r.read(at, b)
			if got == 0 { // a core of stacks: what the linker put there, right unless the program is relocated
				got = r.prog.Read(at, b)
			}
			for i := 0; i+8 <= got; i += 8 {
				if le.Uint64(b[i:]) != r.prog.PCLn {
					continue
				}
				md := at + uint64(i)
				var w [16]byte
				if !r.any(md+r.lay.moduleTypes, w[:]) {
					continue
				}
				first, end := le.Uint64(w[:]), le.Uint64(w[8:])
				if first < end && end-first < 1<<30 {
					r.typesAt = first
					return first, true
				}
			}
			left -= uint64(len(b))
			at += max(uint64(got)&^7, 4096)
		}
	}
	return 0, false
}
