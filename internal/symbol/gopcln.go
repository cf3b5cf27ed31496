package symbol

import "strings"

// goTable reads Go's pclntab, which tells for every instruction of a Go program its function, its
// line, what was inlined there and how large the stack frame is. Go 1.18 and later.
//
// debug/gosym is not used: it makes a Go value of every function, tens of megabytes for a large
// program, and knows neither frame sizes nor inlined functions.
type goTable struct {
	f       *image
	tab     []byte // .gopclntab
	addr    uint64
	text    uint64 // what function addresses count from
	nfunc   int
	quantum uint32
	names   []byte
	cutab   []byte
	files   []byte
	pctab   []byte
	funcs   []byte // function table, and the functions' descriptions
	v120    bool   // Go 1.20 and later
	gofunc  uint64 // what funcdata counts from, 0 where not found: then inlined functions are not told
}

// Places in runtime.moduledata, in words.
const (
	mdText     = 22
	mdEnd      = 23
	mdGofunc18 = 38
	mdGofunc20 = 40
)

// openGo finds the pclntab of a binary, nil where it has none that is understood.
func openGo(f *image) *goTable {
	s := f.section(".gopclntab")
	if s == nil {
		s = f.section(".data.rel.ro.gopclntab")
	}
	if s == nil {
		return nil
	}
	t := &goTable{f: f, tab: f.raw(s), addr: s.addr}
	r := buf{b: t.tab}
	magic := r.u32()
	if magic != 0xfffffff0 && magic != 0xfffffff1 || r.u16() != 0 {
		return nil
	}
	t.v120 = magic == 0xfffffff1
	t.quantum = uint32(r.u8())
	if r.u8() != 8 {
		return nil
	}
	nfunc := r.u64()
	r.u64() // files
	t.text = r.u64()
	var part [5][]byte
	for i := range part {
		off := r.u64()
		if r.bad || off > uint64(len(t.tab)) {
			return nil
		}
		part[i] = t.tab[off:]
	}
	t.names, t.cutab, t.files, t.pctab, t.funcs = part[0], part[1], part[2], part[3], part[4]
	if nfunc == 0 || nfunc > uint64(len(t.funcs)/8) || t.quantum == 0 {
		return nil
	}
	t.nfunc = int(nfunc)
	t.readModuledata()
	if t.text == 0 {
		// Go 1.26 leaves it out, and a position-independent program has its moduledata relocated
		// at start only. Without cgo the section begins with runtime.text; with it, Go's first
		// function is still known by name in a program that was not stripped.
		if v, ok := f.symbolValue("runtime.text"); ok {
			t.text = v
		} else if s := f.section(".text"); s != nil && f.section(".eh_frame") == nil {
			t.text = s.addr
		} else {
			return nil
		}
	}
	return t
}

// readModuledata looks for runtime.firstmoduledata, whose first word is the table's address.
func (t *goTable) readModuledata() {
	for _, name := range []string{".go.module", ".noptrdata", ".data.rel.ro", ".data"} {
		s := t.f.section(name)
		if s == nil {
			continue
		}
		b := t.f.raw(s)
		b = b[:min(len(b), 16<<20)]
		for off := 0; off+(mdGofunc20+1)*8 <= len(b); off += 8 {
			if le.Uint64(b[off:]) != t.addr {
				continue
			}
			word := func(i int) uint64 { return le.Uint64(b[off+i*8:]) }
			text, end := word(mdText), word(mdEnd)
			if word(1) <= t.addr || word(1) > t.addr+uint64(len(t.tab)) || text >= end || t.f.code(text) == nil {
				continue
			}
			t.text = text
			t.gofunc = word(mdGofunc18)
			if t.v120 {
				t.gofunc = word(mdGofunc20)
			}
			return
		}
	}
	if v, ok := t.f.symbolValue("go:func.*"); ok {
		t.gofunc = v
	}
}

// goFunc is one function's description.
type goFunc struct {
	t            *goTable
	b            []byte // _func
	entry, limit uint64
}

// find is the function that holds vaddr.
func (t *goTable) find(vaddr uint64) (goFunc, bool) {
	if vaddr < t.text || vaddr-t.text > 1<<32-1 {
		return goFunc{}, false
	}
	rel := uint32(vaddr - t.text)
	lo, hi := 0, t.nfunc
	for lo < hi {
		if mid := (lo + hi) / 2; le.Uint32(t.funcs[mid*8:]) <= rel {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 || len(t.funcs) < lo*8+4 {
		return goFunc{}, false
	}
	e := t.funcs[(lo-1)*8:]
	f := goFunc{t: t, entry: t.text + uint64(le.Uint32(e)), limit: t.text + uint64(le.Uint32(e[8:]))}
	off := le.Uint32(e[4:])
	if vaddr >= f.limit || uint64(off)+44 > uint64(len(t.funcs)) {
		return goFunc{}, false
	}
	f.b = t.funcs[off:]
	return f, f.u32(0) == le.Uint32(e)
}

func (f goFunc) u32(off int) uint32 {
	if off < 0 || off+4 > len(f.b) {
		return 0
	}
	return le.Uint32(f.b[off:])
}

func goString(b []byte, off uint32) string {
	if uint64(off) >= uint64(len(b)) {
		return ""
	}
	r := buf{b: b, off: int(off)}
	return r.str()
}

func (f goFunc) name() string { return goName(goString(f.t.names, f.u32(4))) }

// goName shortens type arguments, as Go's own tracebacks do.
func goName(s string) string {
	if i, j := strings.IndexByte(s, '['), strings.LastIndexByte(s, ']'); i > 0 && j > i {
		return s[:i] + "[...]" + s[j+1:]
	}
	return s
}

// value looks vaddr up in one of the function's tables, -1 where it has none.
func (f goFunc) value(tab uint32, vaddr uint64) int32 {
	if tab == 0 || uint64(tab) >= uint64(len(f.t.pctab)) {
		return -1
	}
	r := buf{b: f.t.pctab, off: int(tab)}
	pc, v := f.entry, int32(-1)
	for first := true; !r.bad; first = false {
		d := uint32(r.uleb())
		if d == 0 && !first {
			return -1
		}
		if d&1 != 0 {
			d = ^(d >> 1)
		} else {
			d >>= 1
		}
		v += int32(d)
		step := r.uleb()
		pc += step * uint64(f.t.quantum)
		if vaddr < pc {
			return v
		}
		if step == 0 {
			return -1
		}
	}
	return -1
}

// frame is the bytes between the stack pointer at vaddr and the place of the return address.
func (f goFunc) frame(vaddr uint64) (uint64, bool) {
	v := f.value(f.u32(16), vaddr)
	return uint64(v), v >= 0
}

func (f goFunc) file(vaddr uint64) (string, int) {
	file, line := f.value(f.u32(20), vaddr), f.value(f.u32(24), vaddr)
	if file < 0 || line <= 0 {
		return "", 0
	}
	at := (uint64(f.u32(32)) + uint64(file)) * 4
	if at+4 > uint64(len(f.t.cutab)) {
		return "", 0
	}
	return goString(f.t.files, le.Uint32(f.t.cutab[at:])), int(line)
}

// Indexes of tables of a function, from internal/abi.
const (
	pcdataInlIndex  = 2
	funcdataInlTree = 3
	maxInline       = 32
)

// frames are the function at vaddr and those that were inlined into it there, the innermost first.
func (f goFunc) frames(vaddr uint64) []Frame {
	var out []Frame
	at := vaddr
	if tree := f.inlineTree(); tree != nil {
		ix := f.value(f.pcdata(pcdataInlIndex), at)
		for range maxInline {
			if ix < 0 || (int(ix)+1)*16 > len(tree) {
				break
			}
			call := tree[ix*16:]
			file, line := f.file(at)
			out = append(out, Frame{Function: goName(goString(f.t.names, le.Uint32(call[4:]))), File: file, Line: line, Inlined: true})
			at = f.entry + uint64(le.Uint32(call[8:])) // an instruction at the call's position
			if at >= f.limit {
				break
			}
			ix = f.value(f.pcdata(pcdataInlIndex), at)
		}
	}
	file, line := f.file(at)
	out = append(out, Frame{Function: f.name(), File: file, Line: line})
	for i := range out {
		out[i].Offset = vaddr - f.entry
		out[i].runtime = isGoRuntime(out[i].Function)
	}
	return out
}

// header is the length of a function's description before its tables.
func (f goFunc) header() int {
	if f.t.v120 {
		return 44
	}
	return 40
}

func (f goFunc) pcdata(i int) uint32 {
	if n := f.u32(28); uint32(i) >= n {
		return 0
	}
	return f.u32(f.header() + 4*i)
}

func (f goFunc) inlineTree() []byte {
	npcdata := f.u32(28)
	if !f.t.v120 || f.t.gofunc == 0 || npcdata > 64 || f.b[f.header()-1] <= funcdataInlTree {
		return nil
	}
	off := f.u32(f.header() + 4*int(npcdata) + 4*funcdataInlTree)
	if off == ^uint32(0) {
		return nil
	}
	return f.t.f.at(f.t.gofunc + uint64(off))
}
