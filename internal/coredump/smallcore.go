package coredump

import (
	"bytes"
	"debug/elf"
	"io"
)

const maxSegmentsWritten = 60_000 // below 65535, where the format needs another form

// writeCore writes a small ELF core: the notes, a segment for each piece of memory, and one without
// content for what lies between them. The pieces are in order.
func writeCore(w io.Writer, h *dumpHead, pieces []piece) error {
	segments := smallSegments(h.loads, pieces, len(h.loads)+2*len(pieces) > maxSegmentsWritten)
	off := uint64(headerSize + (1+len(segments))*segmentSize)
	header := h.header
	le.PutUint64(header[40:], 0) // no sections
	le.PutUint16(header[56:], uint16(1+len(segments)))
	le.PutUint16(header[60:], 0)
	le.PutUint16(header[62:], 0)
	b := append([]byte(nil), header[:]...)
	b = appendSegment(b, elf.ProgHeader{Type: elf.PT_NOTE, Off: off, Filesz: uint64(len(h.notes)), Align: 4})
	off += uint64(len(h.notes))
	for _, p := range segments {
		p.Off = off
		off += p.Filesz
		b = appendSegment(b, p)
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	if _, err := w.Write(h.notes); err != nil {
		return err
	}
	for _, p := range pieces {
		if _, err := w.Write(p.b); err != nil {
			return err
		}
	}
	return nil
}

// smallSegments splits the mappings into what is kept and what is not. A piece lies in one mapping, or
// in several that adjoin. With few, mappings of which nothing is kept are left out.
func smallSegments(loads []elf.ProgHeader, pieces []piece, few bool) (list []elf.ProgHeader) {
	for _, m := range loads {
		addr, end := m.Vaddr, m.Vaddr+m.Memsz
		part := func(to uint64, saved bool) {
			if to <= addr {
				return
			}
			p := elf.ProgHeader{Type: elf.PT_LOAD, Flags: m.Flags, Vaddr: addr, Memsz: to - addr, Align: 1}
			if saved {
				p.Filesz = p.Memsz
			}
			if saved || !few {
				list = append(list, p)
			}
			addr = to
		}
		for len(pieces) > 0 {
			p := pieces[0]
			to := p.addr + uint64(len(p.b))
			if p.addr >= end {
				break
			}
			part(p.addr, false)
			part(min(to, end), true)
			if to > end {
				// The rest of it is the next mapping's.
				pieces = append([]piece{{end, p.b[end-p.addr:]}}, pieces[1:]...)
				break
			}
			pieces = pieces[1:]
		}
		part(end, false)
	}
	return list
}

func appendSegment(b []byte, p elf.ProgHeader) []byte {
	b = le.AppendUint32(b, uint32(p.Type))
	b = le.AppendUint32(b, uint32(p.Flags))
	for _, v := range []uint64{p.Off, p.Vaddr, 0, p.Filesz, p.Memsz, p.Align} {
		b = le.AppendUint64(b, v)
	}
	return b
}

// Notes that hold vector registers.
const (
	ntFPRegSet  = 2
	ntX86XState = 0x202
	ntARMSVE    = 0x405
)

// leastVectorText is the length of text that is overwritten in vector registers.
const leastVectorText = 6

// maskNotes overwrites what looks like secrets in the command line that a core's notes hold, and any text
// in vector registers: what was copied or compared last is left there in pieces, too short to be known for what it is.
func maskNotes(notes []byte) (n int) {
	for b := notes; len(b) >= 12; {
		name, desc, kind := int(le.Uint32(b)), int(le.Uint32(b[4:])), le.Uint32(b[8:])
		at := 12 + (name+3)&^3
		end := at + (desc+3)&^3
		if name < 0 || desc < 0 || end > len(b) {
			return n
		}
		const psargs, length = 56, 80
		if d := b[at : at+desc]; kind == ntPRPSInfo && len(d) >= psargs+length {
			args := d[psargs : psargs+length]
			text, _, _ := bytes.Cut(args, []byte{0})
			n += maskWords(text, ' ')
		}
		if kind == ntFPRegSet || kind == ntX86XState || kind == ntARMSVE {
			n += maskRuns(b[at : at+desc])
		}
		b = b[end:]
	}
	return n
}

// maskRuns overwrites all text.
func maskRuns(b []byte) (n int) {
	for i := 0; i < len(b); i++ {
		j := i
		for j < len(b) && printable(b[j]) {
			j++
		}
		if j-i >= leastVectorText {
			maskAll(b[i:j])
			n++
		}
		i = max(i, j)
	}
	return n
}
