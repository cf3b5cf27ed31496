package coredump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// Types of notes (elf.h). All but ntARMTLS have the name "CORE".
const (
	ntPRStatus = 1
	ntPRPSInfo = 3
	ntAuxv     = 6
	ntARMTLS   = 0x401 // name "LINUX"
	ntFile     = 0x46494c45
	ntSigInfo  = 0x53494749
)

// Sizes of struct elf_prstatus's parts, in bytes; they are the same on amd64 and arm64.
const (
	prCursig = 12
	prPID    = 32
	prRegs   = 112
)

// regCount is how many registers NT_PRSTATUS has.
func (c *Core) regCount() int {
	if c.Arch == "arm64" {
		return 34 // x0 to x30 sp pc pstate
	}
	return 27 // user_regs_struct: pt_regs, then fs_base gs_base ds es fs gs
}

// readNotes reads one segment of notes. What is of no use is not read at all: the notes of a core
// with thousands of threads have megabytes of vector registers.
func (c *Core) readNotes(n note) {
	w := window{c: c}
	end := n.off + n.size
	if end < n.off || end > uint64(c.size) {
		c.damaged(fmt.Sprintf("the file ends within its notes: threads, registers and names of files may be missing (the notes are %s at byte %d, the file has %s)",
			bytesText(n.size), n.off, bytesText(uint64(c.size))))
		end = uint64(c.size)
	}
	for off, i := n.off, 0; off < end && end-off >= 12; i++ {
		if i == maxNotes {
			c.damaged(fmt.Sprintf("more than %d notes: the rest is not read", maxNotes))
			return
		}
		h, err := w.bytes(off, 12)
		if err != nil {
			c.damaged("read the notes: " + err.Error())
			return
		}
		namesz, descsz, typ := uint64(le.Uint32(h)), uint64(le.Uint32(h[4:])), le.Uint32(h[8:])
		if namesz == 0 && descsz == 0 && typ == 0 {
			return // padding up to a page
		}
		at := off + 12 + (namesz+3)&^3
		next := at + (descsz+3)&^3
		if at+descsz > end {
			c.damaged(fmt.Sprintf("a note of %s at byte %d goes beyond the end of the notes", bytesText(descsz), off))
			if at >= end {
				return
			}
			descsz = end - at
		}
		if namesz >= 4 && namesz <= 16 {
			name, err := w.bytes(off+12, namesz)
			if err == nil {
				c.oneNote(&w, string(bytes.TrimRight(name, "\x00")), typ, at, descsz)
			}
		}
		off = next
	}
}

// oneNote takes a note whose content is n bytes at off.
func (c *Core) oneNote(w *window, name string, typ uint32, off, n uint64) {
	get := func(atLeast, atMost uint64, what string) []byte {
		if n < atLeast {
			c.damaged(fmt.Sprintf("the note with %s has %d bytes of %d", what, n, atLeast))
			return nil
		}
		b, err := w.bytes(off, min(n, atMost))
		if err != nil {
			c.damaged(fmt.Sprintf("read the note with %s: %v", what, err))
			return nil
		}
		return b
	}
	switch {
	case name == "CORE" && typ == ntPRStatus:
		want := uint64(prRegs + c.regCount()*8)
		if b := get(want, want, "the registers of a thread"); b != nil {
			c.prStatus(b)
		}
	case name == "CORE" && typ == ntPRPSInfo:
		if b := get(136, 136, "the process's name"); b != nil {
			c.prPSInfo(b)
		}
	case name == "CORE" && typ == ntSigInfo:
		if b := get(32, 128, "the signal"); b != nil {
			c.sigInfo(b)
		}
	case name == "CORE" && typ == ntAuxv:
		if b := get(16, maxAux*16, "the auxiliary vector"); b != nil && len(c.Auxv) == 0 {
			for ; len(b) >= 16 && le.Uint64(b) != 0; b = b[16:] {
				c.Auxv = append(c.Auxv, Aux{le.Uint64(b), le.Uint64(b[8:])})
			}
		}
	case name == "CORE" && typ == ntFile && len(c.lines) == 0:
		if b := get(16, maxFileNote, "the names of mapped files"); b != nil {
			c.fileNote(b)
		}
	case name == "LINUX" && typ == ntARMTLS && c.Arch == "arm64" && len(c.Threads) > 0:
		if b := get(8, 8, "a thread pointer"); b != nil {
			c.Threads[len(c.Threads)-1].TLS = le.Uint64(b)
		}
	}
}

// prStatus is struct elf_prstatus.
func (c *Core) prStatus(b []byte) {
	if len(c.Threads) == maxThreads {
		c.damaged(fmt.Sprintf("more than %d threads: the rest is not read", maxThreads))
		return
	}
	t := Thread{TID: int32(le.Uint32(b[prPID:])), Signal: evidence.Signal(le.Uint16(b[prCursig:])), Regs: make([]uint64, c.regCount())}
	for i := range t.Regs {
		t.Regs[i] = le.Uint64(b[prRegs+8*i:])
	}
	if c.Arch == "arm64" {
		t.SP, t.PC = t.Regs[31], t.Regs[32]
	} else {
		t.PC, t.SP, t.TLS = t.Regs[16], t.Regs[19], t.Regs[21]
	}
	c.Threads = append(c.Threads, t)
}

// prPSInfo is struct elf_prpsinfo.
func (c *Core) prPSInfo(b []byte) {
	c.UID, c.GID = le.Uint32(b[16:]), le.Uint32(b[20:])
	c.PID, c.PPID = int32(le.Uint32(b[24:])), int32(le.Uint32(b[28:]))
	c.Comm = text(b[40:56])
	c.Command = strings.TrimRight(text(b[56:136]), " ")
}

// text is a C string of a foreign array.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}

// sigInfo is siginfo_t. The kernel writes one, of the thread that died; gdb one for each thread.
func (c *Core) sigInfo(b []byte) {
	if c.signals++; c.signals > 1 || len(c.Threads) > 1 {
		return
	}
	c.Signal, c.Errno, c.Code = evidence.Signal(le.Uint32(b)), int32(le.Uint32(b[4:])), int32(le.Uint32(b[8:]))
	// Of a signal that the kernel did not raise for a fault these are who sent it (SI_USER, SI_QUEUE and SI_TKILL are 0 or less).
	switch {
	case c.Code <= 0:
		c.Sender, c.SenderUID = int32(le.Uint32(b[16:])), le.Uint32(b[20:])
	case c.Signal == sigSYS:
		c.FaultAddress, c.Syscall = le.Uint64(b[16:]), int32(le.Uint32(b[24:]))
	case isFault(c.Signal) && c.Code != siKernel:
		c.FaultAddress = le.Uint64(b[16:])
	}
}

// fileNote is NT_FILE: count, page size, count times start, end and offset in pages, then the names.
func (c *Core) fileNote(b []byte) {
	count, page := le.Uint64(b), le.Uint64(b[8:])
	rows := b[16:]
	if page == 0 || page > 1<<30 || page&(page-1) != 0 {
		c.damaged(fmt.Sprintf("the note with the names of mapped files counts in pages of %d bytes", page))
		return
	}
	if count > maxLines || count*24 > uint64(len(rows)) {
		c.damaged(fmt.Sprintf("the note with the names of mapped files tells of %d files, and has room for %d", count, min(maxLines, len(rows)/24)))
		return
	}
	names := rows[count*24:]
	for i := range count {
		row := rows[i*24:]
		end := bytes.IndexByte(names, 0)
		if end < 0 {
			c.damaged(fmt.Sprintf("the note with the names of mapped files ends after %d of %d names", i, count))
			return
		}
		name := names[:end]
		names = names[end+1:]
		l := Line{Start: le.Uint64(row), End: le.Uint64(row[8:]), Offset: le.Uint64(row[16:]) * page}
		if l.End <= l.Start || end > maxPath {
			continue
		}
		if n := len(c.lines); n > 0 && c.lines[n-1].Path == string(name) {
			l.Path = c.lines[n-1].Path // the parts of one file share its name
		} else {
			l.Path = string(name)
		}
		c.lines = append(c.lines, l)
	}
}

// window reads a file front to back in larger pieces, so that a packed core need not seek for each note.
type window struct {
	c   *Core
	buf []byte
	off uint64
}

const windowSize = 32 << 10

// bytes are n bytes at off, valid until the next call. It is an error if the file has not so many.
func (w *window) bytes(off, n uint64) ([]byte, error) {
	if off >= w.off && off+n >= off && off+n <= w.off+uint64(len(w.buf)) {
		return w.buf[off-w.off : off-w.off+n], nil
	}
	if off > uint64(w.c.size) || n > uint64(w.c.size)-off {
		return nil, io.ErrUnexpectedEOF
	}
	size := min(max(n, windowSize), uint64(w.c.size)-off)
	if uint64(cap(w.buf)) < size {
		w.buf = make([]byte, size)
	}
	w.buf, w.off = w.buf[:size], off
	got, err := w.c.read(w.buf, off)
	w.buf = w.buf[:got]
	if uint64(got) < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return w.buf[:n], nil
}
