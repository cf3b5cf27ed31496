package symbol

import (
	"encoding/hex"
	"errors"
	"sync"
)

// Bounds of what is believed in a foreign binary.
const (
	maxSegments = 128
	maxSections = 8192
	maxName     = 8192    // bytes of one symbol's name
	maxSymbols  = 4 << 20 // entries of one table
	maxInflate  = 8 << 20 // bytes of one compressed section, where Options do not say
)

var errELF = errors.New("not a 64-bit little-endian ELF file of amd64 or arm64")

type segment struct{ flags, off, vaddr, filesz, memsz uint64 }

type section struct {
	name                            uint32
	typ, link                       uint32
	flags, addr, off, size, entsize uint64
}

// image is a parsed ELF file. Its bytes are mapped; everything is looked up in them on demand.
type image struct {
	data     []byte
	arm      bool
	loads    []segment
	ehHdr    segment // PT_GNU_EH_FRAME, memsz 0 where there is none
	notes    []segment
	sections []section
	names    []byte // section names

	frameOnce sync.Once
	frame     []byte // .debug_frame, where it was needed
}

// ELF constants that are used; debug/elf is not, because it panics and allocates on damaged files.
const (
	emX86   = 62
	emARM   = 183
	ptLoad  = 1
	ptNote  = 4
	ptEH    = 0x6474e550
	pfX     = 1
	shNoBit = 8
	shfX    = 4
	shfComp = 0x800
)

func parseELF(data []byte) (*image, error) {
	if len(data) < 64 || string(data[:4]) != "\x7fELF" || data[4] != 2 || data[5] != 1 {
		return nil, errELF
	}
	f := &image{data: data}
	switch le.Uint16(data[18:]) {
	case emX86:
	case emARM:
		f.arm = true
	default:
		return nil, errELF
	}
	phoff, shoff := le.Uint64(data[32:]), le.Uint64(data[40:])
	phsize, phnum := uint64(le.Uint16(data[54:])), uint64(le.Uint16(data[56:]))
	shsize, shnum, shstr := uint64(le.Uint16(data[58:])), uint64(le.Uint16(data[60:])), uint64(le.Uint16(data[62:]))
	for i := uint64(0); i < min(phnum, maxSegments) && phsize >= 56; i++ {
		p := f.slice(phoff+i*phsize, 56)
		if p == nil {
			break
		}
		s := segment{flags: uint64(le.Uint32(p[4:])), off: le.Uint64(p[8:]), vaddr: le.Uint64(p[16:]), filesz: le.Uint64(p[32:]), memsz: le.Uint64(p[40:])}
		switch le.Uint32(p) {
		case ptLoad:
			f.loads = append(f.loads, s)
		case ptEH:
			f.ehHdr = s
		case ptNote:
			f.notes = append(f.notes, s)
		}
	}
	// The section headers may be missing: all that runs is in the segments.
	if p := f.slice(shoff, 64); shoff != 0 && shsize >= 64 && p != nil {
		if shnum == 0 {
			shnum = le.Uint64(p[32:])
		}
		if shstr == 0xffff {
			shstr = uint64(le.Uint32(p[40:]))
		}
		for i := uint64(0); i < min(shnum, maxSections); i++ {
			p := f.slice(shoff+i*shsize, 64)
			if p == nil {
				break
			}
			f.sections = append(f.sections, section{name: le.Uint32(p), typ: le.Uint32(p[4:]), flags: le.Uint64(p[8:]), addr: le.Uint64(p[16:]),
				off: le.Uint64(p[24:]), size: le.Uint64(p[32:]), link: le.Uint32(p[40:]), entsize: le.Uint64(p[56:])})
		}
		if shstr < uint64(len(f.sections)) {
			f.names = f.raw(&f.sections[shstr])
		}
	}
	return f, nil
}

// slice is n bytes of the file from off, nil if it has not so many.
func (f *image) slice(off, n uint64) []byte {
	if off > uint64(len(f.data)) || n > uint64(len(f.data))-off {
		return nil
	}
	return f.data[off : off+n : off+n]
}

// raw is a section as it stands in the file.
func (f *image) raw(s *section) []byte {
	if s == nil || s.typ == shNoBit {
		return nil
	}
	return f.slice(s.off, s.size)
}

func (f *image) section(name string) *section {
	for i := range f.sections {
		s := &f.sections[i]
		if uint64(s.name)+uint64(len(name)) < uint64(len(f.names)) && f.names[int(s.name)+len(name)] == 0 &&
			string(f.names[s.name:int(s.name)+len(name)]) == name {
			return s
		}
	}
	return nil
}

// content is a section's bytes, unpacked where they are compressed and make at most limit bytes.
func (f *image) content(name string, limit uint64) []byte {
	s := f.section(name)
	p := f.raw(s)
	if p == nil || s.flags&shfComp == 0 {
		return p
	}
	out, err := inflate(p, limit)
	if err != nil {
		return nil
	}
	return out
}

// sectionAt is the section with code that holds vaddr.
func (f *image) sectionAt(vaddr uint64) *section {
	for i := range f.sections {
		if s := &f.sections[i]; s.flags&shfX != 0 && vaddr >= s.addr && vaddr-s.addr < s.size {
			return s
		}
	}
	return nil
}

// vaddr turns an offset into the file into a virtual address of the file's own numbering.
func (f *image) vaddr(off uint64) (uint64, bool) {
	for _, exec := range []bool{true, false} {
		for _, s := range f.loads {
			if (s.flags&pfX != 0) == exec && off >= s.off&^0xfff && off-(s.off&^0xfff) < s.filesz+(s.off&0xfff) {
				return off - s.off + s.vaddr, true
			}
		}
	}
	return 0, false
}

// at is the bytes from vaddr to the end of its segment, nil if the file has none.
func (f *image) at(vaddr uint64) []byte {
	for _, s := range f.loads {
		if vaddr >= s.vaddr && vaddr-s.vaddr < s.filesz {
			d := vaddr - s.vaddr
			if s.off > uint64(len(f.data)) || d > uint64(len(f.data))-s.off {
				return nil
			}
			p := f.data[s.off+d:]
			return p[:min(uint64(len(p)), s.filesz-d)]
		}
	}
	return nil
}

// code is the instructions from vaddr on, nil where vaddr is not code.
func (f *image) code(vaddr uint64) []byte {
	for _, s := range f.loads {
		if s.flags&pfX != 0 && vaddr >= s.vaddr && vaddr-s.vaddr < s.filesz {
			return f.at(vaddr)
		}
	}
	return nil
}

// buildID is the GNU build id in hex, empty where there is none.
func (f *image) buildID() string {
	for _, s := range f.notes {
		if id := noteBuildID(f.slice(s.off, s.filesz)); id != "" {
			return id
		}
	}
	return noteBuildID(f.raw(f.section(".note.gnu.build-id")))
}

func noteBuildID(p []byte) string {
	r := buf{b: p}
	for i := 0; i < 16 && r.left() >= 12; i++ {
		namesz, descsz, typ := uint64(r.u32()), uint64(r.u32()), r.u32()
		name := r.bytes((namesz + 3) &^ 3)
		desc := r.bytes((descsz + 3) &^ 3)
		if r.bad {
			return ""
		}
		if typ == 3 && namesz == 4 && string(name) == "GNU\x00" && descsz >= 2 && descsz <= 64 {
			return hex.EncodeToString(desc[:descsz])
		}
	}
	return ""
}
