package coredump

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"
)

const vsyscallStart = 0xffffffffff600000

// nameMappings gives mappings their files, from NT_FILE, and the names that the auxiliary vector tells.
func (c *Core) nameMappings() {
	slices.SortStableFunc(c.lines, func(a, b Line) int { return cmp.Compare(a.Start, b.Start) })
	rows := c.lines[:0]
	var last uint64
	for _, l := range c.lines { // hostile rows overlap each other
		if l.Start >= last {
			last = l.End
			rows = append(rows, l)
		}
	}
	c.lines = rows
	var more []Mapping
	k := 0
	for _, l := range c.lines {
		for k < len(c.Mappings) && c.Mappings[k].End <= l.Start {
			k++
		}
		at := l.Start
		for i := k; i < len(c.Mappings) && c.Mappings[i].Start < l.End; i++ {
			m := &c.Mappings[i]
			if m.Start > at {
				more = append(more, unsaved(l, at, m.Start))
			}
			if m.Start >= l.Start && m.Path == "" {
				m.Path, m.Deleted = strings.CutSuffix(l.Path, " (deleted)")
				m.Offset = l.Offset + m.Start - l.Start
			}
			at = max(at, m.End)
		}
		if at < l.End {
			more = append(more, unsaved(l, at, l.End))
		}
	}
	if len(more) > 0 {
		c.Mappings = append(c.Mappings, more...)
		slices.SortFunc(c.Mappings, func(a, b Mapping) int { return cmp.Compare(a.Start, b.Start) })
	}
	name := func(addr uint64, name string) {
		if m := c.MappingAt(addr); m != nil && addr != 0 && m.Path == "" {
			m.Path = name
		}
	}
	vdso, _ := c.Aux(atSysinfoEhdr)
	name(vdso, "[vdso]")
	random, _ := c.Aux(atRandom)
	name(random, "[stack]")
	name(vsyscallStart, "[vsyscall]")
	c.findBuildIDs()
}

// unsaved is a part of a file that was mapped and has no program header: gdb leaves those out that were
// never written. It may have been executable.
func unsaved(l Line, from, to uint64) Mapping {
	m := Mapping{Start: from, End: to, Offset: l.Offset + from - l.Start, Readable: true, Executable: true}
	m.Path, m.Deleted = strings.CutSuffix(l.Path, " (deleted)")
	return m
}

// maxBuildIDs bounds how many files' first pages are read.
const maxBuildIDs = 8192

// findBuildIDs reads the build id of each file whose first page the core holds; the kernel saves that of
// each ELF file (bit 4 of coredump_filter, on by default).
func (c *Core) findBuildIDs() {
	var path, id, head string
	n := 0
	for i := range c.Mappings {
		m := &c.Mappings[i]
		if m.Path == "" {
			continue
		}
		if m.Offset == 0 && n < maxBuildIDs && (m.Saved || m.Path != path) {
			n++
			path = m.Path
			id, head = c.imageAt(m.Start)
		}
		if m.Path == path {
			m.BuildID, m.head = id, head
		}
	}
}

// imageAt is the GNU build id of the ELF image that was mapped at start, and the image's first bytes: its headers,
// and without a build id all of its first page. Both are empty where the core does not hold them.
func (c *Core) imageAt(start uint64) (id, head string) {
	var page [4096]byte
	b := page[:c.Memory(start, page[:])]
	if len(b) < 64 || string(b[:4]) != "\x7fELF" || b[4] != 2 || b[5] != 1 {
		return "", ""
	}
	phoff, size, num := le.Uint64(b[32:]), uint64(le.Uint16(b[54:])), uint64(le.Uint16(b[56:]))
	if size != phdrSize || phoff > uint64(len(b)) {
		return "", ""
	}
	top := min(phoff+num*phdrSize, uint64(len(b)))
	var base uint64
	first := true
	for i := range min(num, 64) {
		if at := phoff + i*phdrSize; at+phdrSize <= uint64(len(b)) && le.Uint32(b[at:]) == ptLoad && first {
			base, first = le.Uint64(b[at+16:])&^0xfff, false
		}
	}
	for i := range min(num, 64) {
		at := phoff + i*phdrSize
		if at+phdrSize > uint64(len(b)) || le.Uint32(b[at:]) != ptNote {
			continue
		}
		vaddr, n := le.Uint64(b[at+16:]), min(le.Uint64(b[at+32:]), 4096)
		notes := make([]byte, n)
		if id := noteBuildID(notes[:c.Memory(start+vaddr-base, notes)]); id != "" {
			return id, string(b[:top])
		}
	}
	return "", string(b)
}

// noteBuildID finds NT_GNU_BUILD_ID among notes.
func noteBuildID(b []byte) string {
	for i := 0; i < 16 && len(b) >= 12; i++ {
		namesz, descsz, typ := uint64(le.Uint32(b)), uint64(le.Uint32(b[4:])), le.Uint32(b[8:])
		at := 12 + (namesz+3)&^3
		if at+descsz > uint64(len(b)) {
			return ""
		}
		if typ == 3 && namesz == 4 && string(b[12:16]) == "GNU\x00" && descsz >= 2 && descsz <= 64 {
			return hex.EncodeToString(b[at : at+descsz])
		}
		b = b[min(at+(descsz+3)&^3, uint64(len(b))):]
	}
	return ""
}
