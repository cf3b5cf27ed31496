package coredump

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
)

// How much is kept in a core of stacks. All of it together stays within Bounds.Stacks.
const (
	keepDying     = 256 << 10 // of the stack of the thread that died, from its top
	keepOther     = 64 << 10  // of each other thread's
	keepAllOther  = 8 << 20   // of all other threads'
	keepLeast     = 2 << 10   // of a thread's stack, however many there are
	keepBase      = 32 << 10  // of the dying thread's stack at its other end
	keepBelow     = 4 << 10   // below the dying thread's stack pointer
	redZone       = 256       // below the stack pointer, which leaf functions use
	keepHeader    = 4096      // of each mapped file: its ELF header
	maxFilesKept  = 1000
	maxLinks      = 2000     // of the dynamic linker's list
	scanned       = 16 << 10 // of the dying thread's stack: where its words point to is kept
	maxPointers   = 1500
	keepThreadTLS = 2304 // at the thread pointer: glibc's struct pthread
	keepGlobals   = 1 << 20
	keepLoader    = 16 << 10 // of each writable mapping of the dynamic linker
	atBase        = 7        // in the auxiliary vector: where the dynamic linker stands
)

// chooser picks what is kept of one process.
type chooser struct {
	*spans
	head *dumpHead
	mem  liveMemory
	exe  string // path of the executable as it can be opened
}

// stacks reads from a waiting process what a core of stacks holds.
func stacks(h *dumpHead, proc string, budget int64) (pieces []piece, unreadable int64, err error) {
	f, err := os.Open(filepath.Join(proc, "mem"))
	if err != nil {
		return nil, 0, fmt.Errorf("open the memory of the process: %w", err)
	}
	defer f.Close()
	return choose(h, liveMemory{f}, proc, budget)
}

func choose(h *dumpHead, mem liveMemory, proc string, budget int64) (pieces []piece, unreadable int64, err error) {
	if budget < 0 {
		budget = 1 << 40
	}
	c := &chooser{&spans{loads: h.loads, budget: uint64(budget)}, h, mem, filepath.Join(proc, "exe")}
	for _, add := range []func(){c.dying, c.headers, c.links, c.loader, c.others, c.pointers, c.goroutines} {
		add()
		c.add()
	}
	pieces, unreadable = c.mem.pieces(c.kept)
	if len(pieces) == 0 {
		return nil, unreadable, fmt.Errorf("none of the %d pieces of memory to keep could be read", unreadable)
	}
	return pieces, unreadable, nil
}

// dying keeps the stack of the thread that died: its top, and its other end, where the recursion of an
// overflow began and where a main thread has its arguments.
func (c *chooser) dying() {
	t := c.head.threads[0]
	c.stack(t.sp, keepDying)
	if m, ok := c.find(t.sp); ok { // the frame that was just left, whose return address may be the culprit
		c.want(max(m.Vaddr, t.sp-min(t.sp, keepBelow)), t.sp)
	}
	if m, ok := c.stackMapping(t.sp); ok {
		end := m.Vaddr + m.Memsz
		c.want(max(m.Vaddr, end-min(end, keepBase)), end)
	}
	c.thread(t)
}

// stackMapping gives the mapping of a stack pointer, which after an overflow stands below it.
func (c *chooser) stackMapping(sp uint64) (elf.ProgHeader, bool) {
	m, ok := c.find(sp)
	if ok && m.Flags&elf.PF_R != 0 {
		return m, true
	}
	for _, m := range c.loads {
		if m.Vaddr > sp {
			return m, m.Flags&elf.PF_R != 0 && m.Vaddr-sp < 1<<20 || ok && m.Vaddr-sp < 8<<20
		}
	}
	return m, false
}

// stack keeps n bytes of a stack from its top on, and of the stacks that signals interrupted to get there.
func (c *chooser) stack(sp, n uint64) {
	for range 4 {
		m, ok := c.stackMapping(sp)
		if !ok {
			return
		}
		start := max(m.Vaddr, sp-min(sp, redZone))
		end := min(m.Vaddr+m.Memsz, max(sp, m.Vaddr)+n)
		c.want(start, end)
		b := make([]byte, min(end-start, scanned))
		b = b[:c.mem.read(start, b)]
		if sp, ok = c.interrupted(b, start, m); !ok {
			return
		}
	}
}

// interrupted looks for a signal's frame on a stack of its own (sigaltstack), and gives the stack
// pointer of what it interrupted, which then is in another mapping.
func (c *chooser) interrupted(b []byte, start uint64, m elf.ProgHeader) (uint64, bool) {
	word := func(i int) uint64 { return le.Uint64(b[8*i:]) }
	for i := 4; 8*i+8 <= len(b); i++ {
		var sp, pc uint64
		switch {
		case c.head.machine == elf.EM_X86_64 && word(i) == 0x002b_0000_0000_0033: // ss, cs behind ip and flags
			sp, pc = word(i-3), word(i-2)
		case c.head.machine == elf.EM_AARCH64 && word(i) == 0x0000_0210_4650_8001: // FPSIMD_MAGIC and its size
			sp, pc = word(i-4), word(i-3)
		default:
			continue
		}
		if sp >= m.Vaddr && sp < m.Vaddr+m.Memsz && sp < start+uint64(len(b)) {
			continue // the same stack, kept already
		}
		if _, ok := c.stackMapping(sp); ok {
			if code, ok := c.find(pc); !ok || code.Flags&elf.PF_X != 0 { // it may have jumped to nowhere
				return sp, true
			}
		}
	}
	return 0, false
}

// thread keeps the thread's own block and the code that it was in.
func (c *chooser) thread(t threadRegs) {
	if t.tp != 0 {
		c.around(t.tp, 256, keepThreadTLS)
	}
	c.around(t.pc, 128, 128)
}

// others keeps the stacks of all other threads, shorter ones where there are many.
func (c *chooser) others() {
	rest := c.head.threads[1:]
	if len(rest) == 0 {
		return
	}
	n := max(min(keepAllOther/uint64(len(rest)), keepOther), keepLeast)
	for i, t := range rest {
		if uint64(i)*n > keepAllOther {
			break
		}
		c.stack(t.sp, n)
		c.thread(t)
	}
}

// headers keeps the first page of each mapped ELF file, with its build id wherever it stands, and [vdso].
func (c *chooser) headers() {
	if m, ok := c.find(c.head.auxv[atSysinfoEhdr]); ok {
		c.want(m.Vaddr, m.Vaddr+m.Memsz)
	}
	n := 0
	for _, f := range c.head.files {
		if f.offset != 0 || n >= maxFilesKept {
			continue
		}
		page := make([]byte, keepHeader)
		page = page[:c.mem.read(f.start, page)]
		if len(page) < headerSize || string(page[:4]) != elf.ELFMAG {
			continue
		}
		n++
		c.want(f.start, f.start+keepHeader)
		for _, p := range memorySegments(page) {
			if p.Type == elf.PT_NOTE && p.Filesz <= 4096 && p.Off+p.Filesz > keepHeader && p.Off < f.end-f.start {
				c.want(f.start+p.Off, f.start+p.Off+p.Filesz)
			}
		}
	}
}

// loader keeps what the dynamic linker writes: libthread_db finds threads by its lists.
func (c *chooser) loader() {
	m := c.head.fileAt(c.head.auxv[atBase])
	if m == nil {
		return
	}
	for _, f := range c.head.files {
		if f.path != m.path {
			continue
		}
		if l, ok := c.find(f.start); ok && l.Flags&elf.PF_W != 0 {
			c.want(f.start, min(f.end, f.start+keepLoader))
		}
	}
}

// memorySegments reads the table of an ELF file's first page.
func memorySegments(page []byte) (list []elf.ProgHeader) {
	off, n := le.Uint64(page[32:]), uint64(le.Uint16(page[56:]))
	if page[4] != byte(elf.ELFCLASS64) || le.Uint16(page[54:]) != segmentSize || off > uint64(len(page)) {
		return nil
	}
	for b := page[off:]; n > 0 && len(b) >= segmentSize; n, b = n-1, b[segmentSize:] {
		list = append(list, elf.ProgHeader{Type: elf.ProgType(le.Uint32(b)), Off: le.Uint64(b[8:]), Vaddr: le.Uint64(b[16:]), Filesz: le.Uint64(b[32:]), Memsz: le.Uint64(b[40:])})
	}
	return list
}

// links keeps what debuggers find the libraries by: the executable's segments and .dynamic, and the
// list of the dynamic linker.
func (c *chooser) links() {
	addr, n := c.head.auxv[atPhdr], c.head.auxv[atPhnum]
	if addr < headerSize || n > 200 {
		return
	}
	table := make([]byte, n*segmentSize)
	if c.mem.read(addr, table) < len(table) {
		return
	}
	c.want(addr, addr+uint64(len(table)))
	var bias uint64
	var dynamic elf.ProgHeader
	for b := table; len(b) > 0; b = b[segmentSize:] {
		switch elf.ProgType(le.Uint32(b)) {
		case elf.PT_PHDR:
			bias = addr - le.Uint64(b[16:])
		case elf.PT_DYNAMIC:
			dynamic = elf.ProgHeader{Vaddr: le.Uint64(b[16:]), Memsz: le.Uint64(b[40:])}
		}
	}
	if dynamic.Memsz == 0 || dynamic.Memsz > 64<<10 {
		return
	}
	start := bias + dynamic.Vaddr
	c.want(start, start+dynamic.Memsz)
	b := make([]byte, dynamic.Memsz)
	b = b[:c.mem.read(start, b)]
	var debug uint64
	for ; len(b) >= 16; b = b[16:] {
		if elf.DynTag(le.Uint64(b)) == elf.DT_DEBUG {
			debug = le.Uint64(b[8:])
		}
	}
	if debug == 0 {
		return
	}
	c.want(debug, debug+64)
	link, _ := c.mem.u64(debug + 8)
	for i := 0; link != 0 && i < maxLinks; i++ {
		var m [40]byte // l_addr, l_name, l_ld, l_next, l_prev
		if c.mem.read(link, m[:]) < len(m) {
			break
		}
		c.want(link, link+128)
		c.around(le.Uint64(m[8:]), 0, 256)
		c.around(le.Uint64(m[16:]), 0, 768)
		link = le.Uint64(m[24:])
	}
}

// pointers keeps what the registers of the thread that died, and the words at the top of its stack, point to.
func (c *chooser) pointers() {
	t := c.head.threads[0]
	n := 0
	point := func(v uint64, before, after uint64) {
		m, ok := c.find(v)
		if !ok || m.Flags&elf.PF_R == 0 || m.Flags&elf.PF_X != 0 || n >= maxPointers {
			return
		}
		n++
		c.around(v, before, after)
	}
	for _, v := range t.regs {
		point(v, 64, 448)
	}
	sp := t.sp
	if m, ok := c.stackMapping(sp); ok {
		sp = max(sp, m.Vaddr)
	}
	b := make([]byte, scanned)
	b = b[:c.mem.read(sp, b)]
	for ; len(b) >= 8; b = b[8:] {
		v := le.Uint64(b)
		if m, ok := c.find(v); ok && m.Flags&elf.PF_W != 0 { // what is not written stands in the file
			point(v, 32, 224)
		}
	}
}

// pointsInto reports whether a word is an address of the process.
func (s *spans) pointsInto(v uint64) bool {
	_, ok := s.find(v)
	return ok
}
