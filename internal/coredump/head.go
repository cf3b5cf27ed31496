package coredump

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
)

// Bounds of what is read of a core's beginning, which is held in memory.
const (
	maxDumpSegments = 1 << 18 // mappings of a process
	maxHeldNotes    = 16 << 20
	maxWholeNotes   = 8 << 20 // beyond these only the notes that stacks cannot be without
	headerSize      = 64
	segmentSize     = 56
)

// dumpHead is the beginning of a core as the kernel writes it, before any memory: the header, the segments
// and the notes.
type dumpHead struct {
	machine elf.Machine
	header  [headerSize]byte
	loads   []elf.ProgHeader // the process's mappings, in order of address
	notes   []byte           // of the PT_NOTE segment, whole but for NoteLost
	lost    int              // notes that had no room
	end     uint64           // bytes of the whole core, as the segments tell
	at      uint64           // of these read: where the notes end
	threads []threadRegs     // the one that died first
	auxv    map[uint64]uint64
	files   []fileMapping
	signal  struct { // siginfo of the thread that died; zero: not told
		number, code int32
		address      uint64
	}
}

// threadRegs is what of a thread's registers stacks need.
type threadRegs struct {
	tid        int32
	regs       []uint64 // general ones, in the kernel's order
	sp, pc, tp uint64   // tp: the thread pointer, 0: not known
}

type fileMapping struct {
	start, end, offset uint64
	path               string
}

// readHead reads r up to where memory begins.
func readHead(r io.Reader) (*dumpHead, error) {
	h := &dumpHead{auxv: map[uint64]uint64{}}
	if _, err := io.ReadFull(r, h.header[:]); err != nil {
		return nil, fmt.Errorf("read the core's header: %w", noEOF(err))
	}
	b := h.header[:]
	if !bytes.HasPrefix(b, []byte(elf.ELFMAG)) {
		return nil, errors.New("the core is no ELF file")
	}
	h.machine = elf.Machine(le.Uint16(b[18:]))
	if b[4] != byte(elf.ELFCLASS64) || b[5] != byte(elf.ELFDATA2LSB) || h.machine != elf.EM_X86_64 && h.machine != elf.EM_AARCH64 {
		return nil, fmt.Errorf("the core is of another kind of process (%v, %v, %v), of which only whole cores can be kept", elf.Class(b[4]), elf.Data(b[5]), h.machine)
	}
	if elf.Type(le.Uint16(b[16:])) != elf.ET_CORE || le.Uint64(b[32:]) != headerSize || le.Uint16(b[54:]) != segmentSize {
		return nil, errors.New("the ELF file is no core as the kernel writes it")
	}
	note, err := h.segments(r)
	if err != nil {
		return nil, err
	}
	if err := h.readNotes(r, note.Filesz); err != nil {
		return nil, fmt.Errorf("read the core's notes: %w", noEOF(err))
	}
	if len(h.threads) == 0 {
		return nil, errors.New("the core's notes tell of no thread")
	}
	return h, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// segments reads the table and what is between it and the notes. The kernel writes the notes'
// segment first, and the notes behind the table; so the number of segments is known also where it does
// not fit into the header.
func (h *dumpHead) segments(r io.Reader) (note elf.ProgHeader, err error) {
	read := func() (p elf.ProgHeader, err error) {
		var b [segmentSize]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return p, fmt.Errorf("read the core's segments: %w", noEOF(err))
		}
		return elf.ProgHeader{
			Type: elf.ProgType(le.Uint32(b[0:])), Flags: elf.ProgFlag(le.Uint32(b[4:])), Off: le.Uint64(b[8:]), Vaddr: le.Uint64(b[16:]),
			Filesz: le.Uint64(b[32:]), Memsz: le.Uint64(b[40:]), Align: le.Uint64(b[48:]),
		}, nil
	}
	if note, err = read(); err != nil {
		return note, err
	}
	n := uint64(le.Uint16(h.header[56:]))
	if n == 0xffff { // PN_XNUM
		n = (note.Off - headerSize) / segmentSize
	}
	table := headerSize + n*segmentSize
	if note.Type != elf.PT_NOTE || n > maxDumpSegments || note.Off < table || note.Off-table > 4096 {
		return note, fmt.Errorf("the core's segments are not as the kernel writes them: the first of %d is %v at %d", n, note.Type, note.Off)
	}
	h.end, h.at = note.Off+note.Filesz, note.Off+note.Filesz
	for range n - 1 {
		p, err := read()
		if err != nil {
			return note, err
		}
		if p.Type != elf.PT_LOAD || p.Vaddr+p.Memsz < p.Vaddr || p.Filesz > p.Memsz {
			continue
		}
		if k := len(h.loads); k > 0 && p.Vaddr < h.loads[k-1].Vaddr+h.loads[k-1].Memsz {
			continue // not in order: not of the kernel
		}
		h.loads = append(h.loads, p)
		h.end = max(h.end, p.Off+p.Filesz)
	}
	_, err = io.CopyN(io.Discard, r, int64(note.Off-table))
	return note, err
}

func (h *dumpHead) readNotes(r io.Reader, size uint64) error {
	for size >= 12 {
		var b [12]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return err
		}
		nameSize, descSize, kind := uint64(le.Uint32(b[0:])), uint64(le.Uint32(b[4:])), le.Uint32(b[8:])
		length := (nameSize+3)&^3 + (descSize+3)&^3
		if length > size-12 {
			return fmt.Errorf("a note of %d bytes where %d are left", length, size-12)
		}
		size -= 12 + length
		needed := kind == ntPRStatus || kind == ntPRPSInfo || kind == ntAuxv || kind == ntSigInfo || kind == ntFile || kind == ntARMTLS
		if have := uint64(len(h.notes)) + 12 + length; have > maxHeldNotes || have > maxWholeNotes && !needed {
			h.lost++
			if _, err := io.CopyN(io.Discard, r, int64(length)); err != nil {
				return err
			}
			continue
		}
		at := len(h.notes)
		h.notes = append(append(h.notes, b[:]...), make([]byte, length)...)
		body := h.notes[at+12:]
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		h.note(kind, body[(nameSize+3)&^3:][:descSize])
	}
	_, err := io.CopyN(io.Discard, r, int64(size))
	return err
}

func (h *dumpHead) note(kind uint32, b []byte) {
	word := func(i int) uint64 { return le.Uint64(b[8*i:]) }
	switch kind {
	case ntPRStatus:
		n, sp, pc := 27, 19, 16
		if h.machine == elf.EM_AARCH64 {
			n, sp, pc = 34, 31, 32
		}
		if len(b) < prRegs+8*n {
			return
		}
		t := threadRegs{tid: int32(le.Uint32(b[prPID:])), regs: make([]uint64, n)}
		for i := range t.regs {
			t.regs[i] = word(prRegs/8 + i)
		}
		t.sp, t.pc = t.regs[sp], t.regs[pc]
		if h.machine == elf.EM_X86_64 {
			t.tp = t.regs[21]
		}
		h.threads = append(h.threads, t)
	case ntARMTLS:
		if len(b) >= 8 && len(h.threads) > 0 {
			h.threads[len(h.threads)-1].tp = word(0)
		}
	case ntAuxv:
		for i := 0; 8*i+16 <= len(b); i += 2 {
			h.auxv[word(i)] = word(i + 1)
		}
	case ntSigInfo:
		if len(b) >= 24 && h.signal.number == 0 {
			h.signal.number, h.signal.code, h.signal.address = int32(le.Uint32(b)), int32(le.Uint32(b[8:])), word(2)
		}
	case ntFile:
		if len(b) < 16 {
			return
		}
		n, page := word(0), word(1)
		if n > uint64(len(b)-16)/24 {
			return
		}
		names := b[16+24*n:]
		for i := range int(n) {
			name, rest, _ := bytes.Cut(names, []byte{0})
			names = rest
			h.files = append(h.files, fileMapping{word(2 + 3*i), word(3 + 3*i), word(4+3*i) * page, string(name)})
		}
	}
}

// fileAt gives the file that is mapped at addr, or nil.
func (h *dumpHead) fileAt(addr uint64) *fileMapping {
	for i := range h.files {
		if f := &h.files[i]; f.start <= addr && addr < f.end {
			return f
		}
	}
	return nil
}
