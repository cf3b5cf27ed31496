package symbol

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// smallELF makes a program of a few hundred bytes with unwind information, a symbol table and
// notes: a seed that a fuzzer can damage in every place.
func smallELF() []byte {
	const base = 0x400000
	text := []byte{0x55, 0x48, 0x89, 0xe5, 0xe8, 0, 0, 0, 0, 0x5d, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc}
	le := binary.LittleEndian
	var b []byte
	u16 := func(v ...uint16) {
		for _, x := range v {
			b = le.AppendUint16(b, x)
		}
	}
	u32 := func(v ...uint32) {
		for _, x := range v {
			b = le.AppendUint32(b, x)
		}
	}
	u64 := func(v ...uint64) {
		for _, x := range v {
			b = le.AppendUint64(b, x)
		}
	}
	frame := append([]byte{20, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0}, // CIE
		24, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0, 0, 0) // FDE
	frame = append(frame, 0, 0, 0, 0)
	const textAt, frameAt = 0x200, 0x220
	hdrAt := frameAt + len(frame)
	rel := func(to, from int) uint32 { return uint32(int32(to - from)) }
	le.PutUint32(frame[32:], rel(textAt, frameAt+32))
	symAt := hdrAt + 20
	strs := "\x00f\x00.text\x00.symtab\x00.strtab\x00.eh_frame\x00_ZN4shop4cartEv\x00"
	strAt := symAt + 72
	shAt := (strAt + len(strs) + 15) &^ 15
	b = append(b, "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	u16(2, 62)
	u32(1)
	u64(base+textAt, 64, uint64(shAt))
	u32(0)
	u16(64, 56, 2, 64, 5, 3)
	u32(1, 5)
	u64(0, base, base, uint64(shAt), uint64(shAt), 0x1000)
	u32(0x6474e550, 4)
	u64(uint64(hdrAt), uint64(base+hdrAt), uint64(base+hdrAt), 20, 20, 4)
	b = append(b, make([]byte, textAt-len(b))...)
	b = append(b, text...)
	b = append(b, make([]byte, frameAt-len(b))...)
	b = append(b, frame...)
	b = append(b, 1, 0x1b, 3, 0x3b)
	u32(rel(frameAt, hdrAt+4), 1, rel(textAt, hdrAt), rel(frameAt+24, hdrAt))
	b = append(b, make([]byte, 24)...)
	u32(1)
	b = append(b, 0x12, 0)
	u16(1)
	u64(base+textAt, 16)
	u32(41)
	b = append(b, 0x02, 0)
	u16(1)
	u64(base+textAt, 0)
	b = append(b, strs...)
	b = append(b, make([]byte, shAt-len(b))...)
	b = append(b, make([]byte, 64)...)
	sh := func(name, typ uint32, flags, addr uint64, off, size int, link uint32, ent uint64) {
		u32(name, typ)
		u64(flags, addr, uint64(off), uint64(size))
		u32(link, 0)
		u64(1, ent)
	}
	sh(3, 1, 6, base+textAt, textAt, 16, 0, 0)
	sh(9, 2, 0, 0, symAt, 72, 3, 24)
	sh(17, 3, 0, 0, strAt, len(strs), 0, 0)
	sh(25, 1, 2, base+frameAt, frameAt, len(frame), 0, 0)
	return b
}

func TestSmallELF(t *testing.T) {
	f, err := parseELF(smallELF())
	if err != nil {
		t.Fatal(err)
	}
	d, ok := f.findFDE(0x400204)
	if !ok || d.begin != 0x400200 || d.end != 0x400210 || d.method != byEHFrame {
		t.Fatalf("%+v", d)
	}
	r, ok := d.rules(0x400204)
	if !ok || r.cfaReg != amdFP || r.cfaOff != 16 || r.regs[amdFP].kind != ruleOffset || r.regs[amdFP].off != -16 {
		t.Errorf("%+v", r)
	}
	r, _ = d.rules(0x400200)
	if r.cfaReg != amdSP || r.cfaOff != 8 {
		t.Errorf("at the entry: %+v", r)
	}
	q := []query{{vaddr: 0x400204}}
	f.answer(f, q)
	if q[0].name != "f" || q[0].value != 0x400200 {
		t.Errorf("%+v", q)
	}
	// Without the search table the section itself is read.
	f.ehHdr = segment{}
	if d, ok = f.findFDE(0x400204); !ok || d.begin != 0x400200 {
		t.Errorf("without .eh_frame_hdr: %+v", d)
	}
}

// exercise does with a binary all that unwinding and naming do.
func exercise(data []byte, vaddrs ...uint64) {
	f, err := parseELF(data)
	if err != nil {
		return
	}
	if len(f.loads) > 0 {
		vaddrs = append(vaddrs, f.loads[0].vaddr, f.loads[0].vaddr+f.loads[0].filesz/2)
	}
	f.buildID()
	slices.Sort(vaddrs)
	var qs []query
	for _, v := range vaddrs {
		if d, ok := f.findFDE(v); ok {
			d.rules(v)
		}
		f.vaddr(v)
		f.code(v)
		qs = append(qs, query{vaddr: v})
	}
	f.answer(f, qs)
	for _, q := range qs {
		pretty(q.name)
	}
	if g := openGo(f); g != nil {
		for _, v := range append(vaddrs, g.text, g.text+100) {
			if fn, ok := g.find(v); ok {
				fn.frames(v)
				fn.frame(v)
			}
		}
	}
	if l := openLines(f, maxInflate); l != nil {
		l.find(vaddrs, time.Now().Add(20*time.Millisecond))
	}
}

// FuzzELF damages whole programs: whatever they say, nothing panics and time is bounded. The
// wholes go through the Resolver as well, with a stack, as a foreign binary would.
func FuzzELF(f *testing.F) {
	f.Add(smallELF())
	if b, err := os.ReadFile("testdata/lines.elf"); err == nil {
		f.Add(b)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		exercise(data, 0x400200, 0x400204, 0x40020f, 0x400210)
		path := filepath.Join(dir, "binary")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r := New(Options{DebugDirs: []string{}})
		defer r.Close()
		stack := make([]byte, 512)
		for i := 0; i < len(stack); i += 8 {
			binary.LittleEndian.PutUint64(stack[i:], 0x400209+uint64(i%16)*0x1000)
		}
		for _, arch := range []string{"amd64", "arm64"} {
			tr := r.Unwind(&Context{Arch: arch, PC: 0x400204, SP: 0x7000, Regs: make([]uint64, 34), Stack: stack,
				Maps: []Mapping{{Start: 0x400000, End: 0x500000, Path: path}}})
			if len(tr.Frames) == 0 || len(tr.Frames) > 128 || tr.Frames[0].PC != 0x400204 {
				t.Errorf("%+v", tr)
			}
		}
	})
}

// FuzzEHFrame gives any bytes as .eh_frame and .debug_frame.
func FuzzEHFrame(f *testing.F) {
	b := smallELF()
	f.Add(b[0x220:0x250], uint64(0x400204))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 8, 0, 0, 0, 0, 0, 0, 0}, uint64(1))
	f.Fuzz(func(t *testing.T, data []byte, vaddr uint64) {
		for _, tab := range []table{{b: data, addr: 0x400220, eh: true}, {b: data}} {
			if d, ok := tab.walk(vaddr); ok {
				if vaddr < d.begin || vaddr >= d.end {
					t.Errorf("%#x is not within %#x to %#x", vaddr, d.begin, d.end)
				}
				d.rules(vaddr)
			}
		}
		// As a program of unwind instructions, and as an expression.
		d := fde{cie: cie{code: 1, data: -8, initial: data}, begin: 0, end: 1 << 20, instr: data}
		d.rules(vaddr)
		eval(data, []uint64{vaddr}, func(n uint64) (uint64, bool) { return n, true }, func(a uint64) (uint64, bool) { return a, true })
	})
}

// FuzzMaps reads any text as maps; what it returns is sane.
func FuzzMaps(f *testing.F) {
	if own, err := os.ReadFile("/proc/self/maps"); err == nil {
		f.Add(own)
	}
	f.Add([]byte("559e3ba1c000-559e3ba1d000 r-xp 00001000 fe:00 1573 /tmp/a b (deleted)\n7ffd-7fff r-xp 0 00:00 0 [vdso]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range ParseMaps(data) {
			if m.End <= m.Start {
				t.Errorf("%+v", m)
			}
		}
	})
}

// FuzzPerfMap reads any text as the map of a JIT.
func FuzzPerfMap(f *testing.F) {
	f.Add([]byte("7f00 10 LazyCompile:~f /a.js:1:2\n0x7f10 0x8 g\n7f00 4 newer\n"), uint64(0x7f02))
	f.Fuzz(func(t *testing.T, data []byte, pc uint64) {
		q := []jitQuery{{pc: pc}}
		searchPerfMap(bytes.NewReader(data), q)
		if len(q[0].name) > maxPerfName || q[0].name != "" && q[0].start > pc {
			t.Errorf("%+v", q)
		}
	})
}
