package coredump

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

var le = binary.LittleEndian

const (
	emAMD64  = 62
	emARM64  = 183
	etCore   = 4
	ptLoad   = 1
	ptNote   = 4
	phdrSize = 56
	pnXNum   = 0xffff // the count of program headers is in the first section header
)

// machines names what a core may also be of (e_machine).
var machines = map[uint16]string{
	2: "SPARC", 3: "32-bit x86", 8: "MIPS", 15: "PA-RISC", 20: "32-bit PowerPC", 21: "64-bit PowerPC", 22: "IBM Z", 40: "32-bit ARM",
	42: "SuperH", 43: "64-bit SPARC", 50: "IA-64", emAMD64: "amd64", emARM64: "arm64", 243: "RISC-V", 258: "LoongArch",
}

// types names what an ELF file may also be (e_type).
var types = map[uint16]string{1: "an object file", 2: "an executable", 3: "a shared object or position-independent executable"}

// packed are the first bytes of files that a core may be packed in.
var packed = []struct{ magic, name string }{
	{"\x28\xb5\x2f\xfd", "zstd"}, {"\x1f\x8b", "gzip"}, {"\x04\x22\x4d\x18", "lz4"}, {"\xfd7zXZ\x00", "xz"}, {"BZh", "bzip2"},
}

// header is what the ELF header says.
type header struct {
	phoff, phnum, phsize uint64
	guessed              bool // phnum is not known: the notes follow the last program header
}

// segment is memory that the file has.
type segment struct {
	start, end uint64 // addresses
	off        int64
}

func (c *Core) readHeader() (h header, err error) {
	var b [64]byte
	n, err := c.read(b[:], 0)
	for _, p := range packed {
		if n >= len(p.magic) && string(b[:len(p.magic)]) == p.magic {
			return h, fmt.Errorf("the file is packed with %s, unpack it first", p.name)
		}
	}
	switch {
	case c.size == 0:
		return h, errors.New("the file is empty")
	case n < 4 && err != nil && !errors.Is(err, io.EOF):
		return h, fmt.Errorf("read the file's header: %w", err)
	case n < 4 || string(b[:4]) != "\x7fELF":
		return h, errors.New("the file is not ELF")
	case n < 20:
		return h, fmt.Errorf("the file ends within its header, after %d bytes", n)
	}
	order := binary.ByteOrder(le)
	endian := ""
	if b[5] == 2 {
		order, endian = binary.BigEndian, "big-endian "
	}
	machine, ok := machines[order.Uint16(b[18:])]
	if !ok {
		machine = fmt.Sprintf("unknown (e_machine %d)", order.Uint16(b[18:]))
	}
	if typ := order.Uint16(b[16:]); typ != etCore {
		what, ok := types[typ]
		if !ok {
			what = fmt.Sprintf("ELF of type %d", typ)
		}
		return h, fmt.Errorf("the file is %s (%s), not a core", what, machine)
	}
	width := ""
	if b[4] == 1 && (machine == "amd64" || machine == "arm64") {
		width = "32-bit " // x32, ILP32
	}
	switch c.Arch = machine; {
	case b[5] != 1 || b[4] != 2 || machine != "amd64" && machine != "arm64":
		return h, fmt.Errorf("a core of a %s%s%s process: only 64-bit little-endian amd64 and arm64 are read", width, endian, machine)
	case n < len(b):
		return h, fmt.Errorf("the file ends within its header, after %d bytes", n)
	}
	h = header{phoff: le.Uint64(b[32:]), phsize: uint64(le.Uint16(b[54:])), phnum: uint64(le.Uint16(b[56:]))}
	if h.phnum == pnXNum {
		var s [64]byte
		shoff := le.Uint64(b[40:])
		if n, _ := c.read(s[:], shoff); shoff == 0 || n < 48 {
			// The section headers stand at the end of a core: of one cut short the count is lost.
			c.damaged("the count of program headers was at the end of the file, which is missing")
			h.phnum, h.guessed = maxHeaders, true
		} else {
			h.phnum = uint64(le.Uint32(s[44:]))
		}
	}
	if h.phsize != phdrSize {
		return h, fmt.Errorf("program headers of %d bytes each where %d are expected: the header is damaged", h.phsize, phdrSize)
	}
	return h, nil
}

// read reads at off as far as the file goes. It is io.EOF where that is not all of p.
func (c *Core) read(p []byte, off uint64) (int, error) {
	if off >= uint64(c.size) {
		return 0, io.EOF
	}
	short := uint64(len(p)) > uint64(c.size)-off
	if short {
		p = p[:uint64(c.size)-off]
	}
	n, err := c.r.ReadAt(p, int64(off))
	switch {
	case n == len(p) && short:
		err = io.EOF
	case n == len(p):
		err = nil
	}
	return n, err
}

// note is a segment of notes, in the file.
type note struct{ off, size uint64 }

// readProgramHeaders fills Mappings and segments; it is an error if there is none at all.
func (c *Core) readProgramHeaders(h header) (notes []note, err error) {
	if h.phnum > maxHeaders {
		c.damaged(fmt.Sprintf("the header tells of %d program headers, of which the first %d are read", h.phnum, maxHeaders))
		h.phnum = maxHeaders
	}
	if h.phnum == 0 {
		return nil, errors.New("the core has no program headers, hence no memory and no notes")
	}
	if h.phoff > uint64(c.size) {
		return nil, fmt.Errorf("the program headers are at byte %d, but the file has only %d", h.phoff, c.size)
	}
	b := make([]byte, min(h.phnum*phdrSize, 64<<10/phdrSize*phdrSize))
	for i := uint64(0); i < h.phnum; {
		want := min(uint64(len(b)), (h.phnum-i)*phdrSize)
		n, err := c.read(b[:want], h.phoff+i*phdrSize)
		n -= n % phdrSize
		for p := b[:n]; len(p) > 0; p = p[phdrSize:] {
			notes = c.programHeader(p[:phdrSize], notes)
			if i++; h.guessed && len(notes) > 0 && h.phoff+i*phdrSize >= notes[0].off {
				h.phnum, want = i, 0
				break
			}
		}
		if uint64(n) < want {
			if i == 0 {
				return nil, fmt.Errorf("the file ends before its program headers, after %d bytes", c.size)
			}
			if err == nil || errors.Is(err, io.EOF) {
				c.damaged(fmt.Sprintf("the file ends within its program headers: %d of %d are there", i, h.phnum))
			} else {
				c.damaged(fmt.Sprintf("read program header %d: %v", i, err))
			}
			break
		}
	}
	c.sortMappings()
	if len(notes) == 0 && len(c.Mappings) == 0 {
		return nil, errors.New("no program header tells of memory or notes: the headers are damaged")
	}
	return notes, nil
}

// programHeader takes one entry.
func (c *Core) programHeader(p []byte, notes []note) []note {
	flags, off, vaddr, filesz, memsz := le.Uint32(p[4:]), le.Uint64(p[8:]), le.Uint64(p[16:]), le.Uint64(p[32:]), le.Uint64(p[40:])
	switch le.Uint32(p) {
	case ptNote:
		if len(notes) < 64 && filesz > 0 {
			notes = append(notes, note{off, filesz})
		}
	case ptLoad:
		if memsz == 0 && filesz == 0 {
			break
		}
		memsz = max(memsz, filesz)
		if vaddr+memsz < vaddr {
			c.damaged(fmt.Sprintf("a mapping at %#x of %d bytes is beyond the address space", vaddr, memsz))
			break
		}
		m := Mapping{Start: vaddr, End: vaddr + memsz, Readable: flags&4 != 0, Writable: flags&2 != 0, Executable: flags&1 != 0}
		c.MemoryBytes = addUp(c.MemoryBytes, filesz)
		have := uint64(0)
		if off < uint64(c.size) {
			have = min(filesz, uint64(c.size)-off)
		}
		c.MissingBytes = addUp(c.MissingBytes, filesz-have)
		m.Saved, m.SavedBytes = have > 0, have
		m.Offset = off // for segments; the file's offset takes its place in nameMappings
		c.Mappings = append(c.Mappings, m)
	}
	return notes
}

// sortMappings orders mappings, drops those that overlap others, and makes the segments.
func (c *Core) sortMappings() {
	slices.SortStableFunc(c.Mappings, func(a, b Mapping) int { return cmp.Compare(a.Start, b.Start) })
	kept := c.Mappings[:0]
	var end uint64
	for _, m := range c.Mappings {
		if m.Start < end {
			c.damaged(fmt.Sprintf("the mapping at %#x overlaps the one before it", m.Start))
			continue
		}
		end = m.End
		if m.SavedBytes > 0 {
			c.segments = append(c.segments, segment{start: m.Start, end: m.Start + m.SavedBytes, off: int64(m.Offset)})
		}
		m.Offset = 0
		kept = append(kept, m)
	}
	c.Mappings = kept
}

// addUp adds what may be hostile.
func addUp(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}
