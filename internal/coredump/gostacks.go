package coredump

import (
	"bytes"
	"debug/elf"
	"io"
	"os"
)

// What is kept of a Go program: the tops of all goroutines' stacks.
const (
	keepG       = 512     // bytes of a runtime.g
	keepGoStack = 4 << 10 // of a goroutine's stack, from its top
	keepLastG   = 1 << 10 // likewise, beyond manyG
	manyG       = 1000
	maxKeptGo   = 10_000
	maxTable    = 64 << 20 // bytes of a section that is searched
)

// Where the stack pointer stands of a goroutine in a system call, in runtime.g; the other offsets are golayout.go's.
const (
	gSyscallSP25 = 104 // since Go 1.25
	gSyscallSP18 = 112 // before
)

// goroutines keeps, where the executable is Go's, the runtime's globals, each runtime.g and the top of
// each goroutine's stack.
func (c *chooser) goroutines() {
	f, err := os.Open(c.exe)
	if err != nil {
		return
	}
	defer f.Close()
	exe, err := elf.NewFile(f)
	if err != nil || exe.Section(".gopclntab") == nil && exe.Section(".data.rel.ro.gopclntab") == nil && exe.Section(".go.buildinfo") == nil {
		return
	}
	bias := c.bias(exe)
	left := uint64(keepGlobals)
	for _, name := range []string{".go.buildinfo", ".go.module", ".noptrdata", ".data", ".bss", ".noptrbss"} {
		if s := exe.Section(name); s != nil && left > 0 {
			n := min(s.Size, left)
			left -= n
			c.want(bias+s.Addr, bias+s.Addr+n)
		}
	}
	c.add()
	addr := c.allgs(exe, bias)
	if addr == 0 {
		return
	}
	c.want(addr, addr+24)
	var slice [16]byte
	c.mem.read(addr, slice[:])
	array, n := le.Uint64(slice[:]), min(le.Uint64(slice[8:]), maxKeptGo)
	list := make([]byte, 8*n)
	list = list[:c.mem.read(array, list)]
	c.want(array, array+uint64(len(list)))
	c.add()
	length := uint64(keepGoStack)
	if n > manyG {
		length = keepLastG
	}
	var g [keepG]byte
	for ; len(list) >= 8; list = list[8:] {
		at := le.Uint64(list)
		if c.mem.read(at, g[:]) < len(g) {
			continue
		}
		c.want(at, at+keepG)
		word := func(i int) uint64 { return le.Uint64(g[i:]) }
		lo, hi := word(gStackLo), word(gStackHi)
		for _, sp := range []uint64{word(gSchedSP), word(gSyscallSP25), word(gSyscallSP18)} {
			if lo < sp && sp < hi {
				c.want(max(lo, sp-64), min(hi, sp+length))
			}
		}
	}
}

// bias is how far the executable was moved from its addresses.
func (c *chooser) bias(exe *elf.File) uint64 {
	if exe.Type != elf.ET_DYN {
		return 0
	}
	return c.head.auxv[atEntry] - exe.Entry
}

// allgs gives the address of runtime.allgs, by the symbol table.
func (c *chooser) allgs(exe *elf.File, bias uint64) uint64 {
	if v := symbolAddress(exe, "runtime.allgs"); v != 0 {
		return bias + v
	}
	return c.findAllgs(exe, bias)
}

// findAllgs looks in a stripped executable's zeroed globals for a slice of pointers to what looks like
// runtime.g: each with a stack that has bounds, and the first with the one of a known goroutine.
func (c *chooser) findAllgs(exe *elf.File, bias uint64) uint64 {
	s := exe.Section(".bss")
	if s == nil || s.Size > 16<<20 {
		return 0
	}
	b := make([]byte, s.Size)
	b = b[:c.mem.read(bias+s.Addr, b)]
	for i := 0; i+24 <= len(b); i += 8 {
		array, n, room := le.Uint64(b[i:]), le.Uint64(b[i+8:]), le.Uint64(b[i+16:])
		if n < 2 || n > room || room > 1<<24 || !c.pointsInto(array) {
			continue
		}
		var list [16]byte
		if c.mem.read(array, list[:]) == len(list) && c.looksLikeG(le.Uint64(list[:])) && c.looksLikeG(le.Uint64(list[8:])) {
			return bias + s.Addr + uint64(i)
		}
	}
	return 0
}

func (c *chooser) looksLikeG(at uint64) bool {
	var g [gSchedG + 8]byte
	if !c.pointsInto(at) || c.mem.read(at, g[:]) < len(g) {
		return false
	}
	word := func(i int) uint64 { return le.Uint64(g[i:]) }
	lo, hi := word(gStackLo), word(gStackHi)
	if lo == 0 && hi == 0 {
		return false // a dead one; the first two are of the runtime and live
	}
	// gobuf.g points back to the g itself.
	return lo < hi && hi-lo <= 1<<30 && c.pointsInto(lo) && word(gSchedG) == at
}

// symbolAddress finds one symbol without reading all of them: it looks for the name first, and then for
// the entry that has it.
func symbolAddress(exe *elf.File, name string) uint64 {
	table := exe.SectionByType(elf.SHT_SYMTAB)
	if table == nil || table.Type == elf.SHT_NOBITS || int(table.Link) >= len(exe.Sections) || exe.Class != elf.ELFCLASS64 {
		return 0
	}
	at := findIn(exe.Sections[table.Link].Open(), "\x00"+name+"\x00")
	if at < 0 {
		return 0
	}
	want := uint32(at + 1)
	r := io.LimitReader(table.Open(), maxTable)
	const entry = 24
	b := make([]byte, 4096*entry)
	for {
		n, err := io.ReadFull(r, b)
		for e := b[:n]; len(e) >= entry; e = e[entry:] {
			if le.Uint32(e) == want {
				return le.Uint64(e[8:])
			}
		}
		if err != nil {
			return 0
		}
	}
}

// findIn gives where s first stands in r, within maxTable bytes, or -1.
func findIn(r io.Reader, s string) int64 {
	r = io.LimitReader(r, maxTable)
	b := make([]byte, 256<<10)
	kept, off := 0, int64(0) // kept: bytes of the last piece that stand at the front
	for {
		n, err := io.ReadFull(r, b[kept:])
		if i := bytes.Index(b[:kept+n], []byte(s)); i >= 0 {
			return off + int64(i)
		}
		if err != nil {
			return -1
		}
		next := min(len(s)-1, kept+n)
		copy(b, b[kept+n-next:kept+n])
		off += int64(kept + n - next)
		kept = next
	}
}
