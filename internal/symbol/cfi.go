package symbol

// maxEntries bounds a walk of a whole .eh_frame without a search table.
const maxEntries = 1 << 20

// cie is the common part of unwind descriptions. initial are its first instructions.
type cie struct {
	code    uint64
	data    int64
	ra      uint64 // column of the return address
	enc     byte   // of addresses
	aug     bool   // its FDEs have augmentation data
	signal  bool   // 'S': the frame was interrupted, not called from
	initial []byte
}

// fde describes how to unwind the code from begin up to end, in the file's addresses.
type fde struct {
	cie
	begin, end uint64
	instr      []byte
	addr       uint64 // virtual address of instr, for pc-relative pointers in it
	method     string
}

// table is a section of unwind descriptions.
type table struct {
	b    []byte
	addr uint64 // virtual address of b[0]
	eh   bool   // .eh_frame, not .debug_frame
}

// entry splits the entry at off: its body after the length, where the body begins, and the next
// entry. ok is false at the end.
func (t *table) entry(off int) (r buf, next int, wide, ok bool) {
	r = buf{b: t.b, off: off}
	n := uint64(r.u32())
	if n == 0xffffffff {
		n, wide = r.u64(), true
	}
	if r.bad || n == 0 || n > uint64(r.left()) {
		return r, 0, false, false
	}
	next = r.off + int(n)
	r.b = t.b[:next]
	return r, next, wide, true
}

// id reads the CIE pointer of an entry; isCIE, or the offset of the CIE that it names.
func (t *table) id(r *buf, wide bool) (isCIE bool, cieOff int) {
	at := r.off
	var id uint64
	if wide {
		id = r.u64()
	} else {
		id = uint64(r.u32())
	}
	if t.eh {
		if id == 0 {
			return true, 0
		}
		if id > uint64(at) {
			r.bad = true
			return false, 0
		}
		return false, at - int(id)
	}
	if id == 0xffffffff && !wide || id == ^uint64(0) {
		return true, 0
	}
	if id > uint64(len(t.b)) {
		r.bad = true
		return false, 0
	}
	return false, int(id)
}

// parseCIE reads the CIE at off.
func (t *table) parseCIE(off int) (c cie, ok bool) {
	r, _, wide, ok := t.entry(off)
	if !ok {
		return c, false
	}
	if is, _ := t.id(&r, wide); !is || r.bad {
		return c, false
	}
	version := r.u8()
	aug := r.str()
	if version == 4 {
		if r.u8() != 8 || r.u8() != 0 { // address size, segment selector size
			return c, false
		}
	}
	c.code, c.data = r.uleb(), r.sleb()
	if version == 1 {
		c.ra = uint64(r.u8())
	} else {
		c.ra = r.uleb()
	}
	if aug != "" {
		if aug[0] != 'z' {
			return c, false
		}
		c.aug = true
		n := r.uleb()
		body := buf{b: r.b, off: r.off}
		r.bytes(n)
		for _, a := range aug[1:] {
			switch a {
			case 'L':
				body.u8()
			case 'R':
				c.enc = body.u8()
			case 'P':
				enc := body.u8()
				body.pointer(enc&^peIndir, t.addr, 0)
			case 'S':
				c.signal = true
			case 'B', 'G': // arm64: return addresses are signed with key B; memory is tagged
			default:
				return c, false
			}
		}
		if body.bad {
			return c, false
		}
	}
	c.initial = r.b[min(r.off, len(r.b)):]
	return c, !r.bad && (version == 1 || version == 3 || version == 4)
}

// parseFDE reads the FDE at off. known and knownOff are the CIE of the entry before, which most
// share; the new one is returned by the fde.
func (t *table) parseFDE(off int, known *cie, knownOff *int) (d fde, next int, ok bool) {
	r, next, wide, ok := t.entry(off)
	if !ok {
		return d, 0, false
	}
	is, cieOff := t.id(&r, wide)
	if is || r.bad {
		return d, next, !r.bad
	}
	if cieOff != *knownOff {
		c, ok := t.parseCIE(cieOff)
		if !ok {
			return d, next, true
		}
		*known, *knownOff = c, cieOff
	}
	d.cie = *known
	d.begin = r.pointer(d.enc, t.addr, 0)
	size := r.pointer(d.enc&0x0f, 0, 0)
	d.end = d.begin + size
	if d.aug {
		r.bytes(r.uleb())
	}
	if r.bad || d.end < d.begin {
		return fde{}, next, true
	}
	d.addr = t.addr + uint64(r.off)
	d.instr = r.b[r.off:]
	d.method = byDebugFrame
	if t.eh {
		d.method = byEHFrame
	}
	return d, next, true
}

// walk looks at every entry for the one that holds vaddr.
func (t *table) walk(vaddr uint64) (fde, bool) {
	var c cie
	known := -1
	for off, n := 0, 0; off < len(t.b) && n < maxEntries; n++ {
		d, next, ok := t.parseFDE(off, &c, &known)
		if !ok {
			break
		}
		if vaddr >= d.begin && vaddr < d.end {
			return d, true
		}
		off = next
	}
	return fde{}, false
}

// findFDE is the unwind description of vaddr: by the search table of .eh_frame_hdr where there is
// one, else by reading all of .eh_frame or .debug_frame.
func (f *image) findFDE(vaddr uint64) (fde, bool) {
	if f.ehHdr.memsz != 0 {
		if d, ok, sure := f.searchHdr(vaddr); sure {
			return d, ok
		}
	}
	if s := f.section(".eh_frame"); s != nil && s.size > 4 && s.flags&shfComp == 0 {
		t := table{b: f.raw(s), addr: s.addr, eh: true}
		return t.walk(vaddr)
	}
	f.frameOnce.Do(func() { f.frame = f.content(".debug_frame", maxInflate) })
	t := table{b: f.frame}
	return t.walk(vaddr)
}

// searchHdr looks vaddr up in .eh_frame_hdr. sure means that the table is whole and has no entry.
func (f *image) searchHdr(vaddr uint64) (d fde, ok, sure bool) {
	hdr := f.at(f.ehHdr.vaddr)
	if uint64(len(hdr)) > f.ehHdr.memsz {
		hdr = hdr[:f.ehHdr.memsz]
	}
	r := buf{b: hdr}
	if r.u8() != 1 {
		return d, false, false
	}
	ptrEnc, cntEnc, tabEnc := r.u8(), r.u8(), r.u8()
	frame := r.pointer(ptrEnc, f.ehHdr.vaddr, f.ehHdr.vaddr)
	count := r.pointer(cntEnc, f.ehHdr.vaddr, f.ehHdr.vaddr)
	if r.bad || tabEnc != peDataRel|peS4 { // no linker writes another
		return d, false, false
	}
	tab := r.b[r.off:]
	count = min(count, uint64(len(tab)/8))
	key := func(i uint64) uint64 { return f.ehHdr.vaddr + uint64(int64(int32(le.Uint32(tab[i*8:])))) }
	lo, hi := uint64(0), count
	for lo < hi {
		if mid := (lo + hi) / 2; key(mid) <= vaddr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return d, false, count > 0
	}
	at := f.ehHdr.vaddr + uint64(int64(int32(le.Uint32(tab[(lo-1)*8+4:]))))
	t := table{b: f.at(frame), addr: frame, eh: true}
	if at < frame || at-frame >= uint64(len(t.b)) {
		// A CIE is found backward from its FDE: the section must begin at or before it.
		return d, false, false
	}
	var c cie
	known := -1
	d, _, sure = t.parseFDE(int(at-frame), &c, &known)
	return d, sure && vaddr >= d.begin && vaddr < d.end, sure
}

// How a register of the caller is found.
type ruleKind uint8

const (
	ruleNone      ruleKind = iota // not said
	ruleUndefined                 // lost; of the return address: the stack ends here
	ruleSame
	ruleOffset    // at CFA+off
	ruleValOffset // is CFA+off
	ruleRegister  // is in register off
	ruleExpr      // at the address that expr gives
	ruleValExpr   // is what expr gives
)

type rule struct {
	kind ruleKind
	off  int64
	expr []byte
}

// numRegs: DWARF columns 0 to 16 of amd64, 0 to 31 of arm64.
const (
	numRegs  = 33
	maxSaved = 16 // DW_CFA_remember_state
)

// row is the rules in force at one address.
type row struct {
	cfaReg  uint64
	cfaOff  int64
	cfaExpr []byte
	regs    [numRegs]rule
	signed  bool // arm64: the return address carries a pointer authentication code
}

// rules executes d's instructions up to vaddr.
func (d *fde) rules(vaddr uint64) (row, bool) {
	var now, first row
	x := cfaMachine{fde: d, row: &now, loc: d.begin, upTo: vaddr}
	if !x.run(d.initial) {
		return now, false
	}
	first = now
	x.first = &first
	x.loc = d.begin
	return now, x.run(d.instr)
}

type cfaMachine struct {
	*fde
	row       *row
	first     *row
	saved     []row
	loc, upTo uint64
}

func (x *cfaMachine) set(reg uint64, r rule) {
	if reg < numRegs {
		x.row.regs[reg] = r
	}
}

func (x *cfaMachine) restore(reg uint64) {
	if reg < numRegs && x.first != nil {
		x.row.regs[reg] = x.first.regs[reg]
	}
}

// run executes a program; false means that it cannot be trusted. It ends when the location passes
// upTo, and every instruction takes a byte, so it is bounded by the program's length.
func (x *cfaMachine) run(program []byte) bool {
	r := buf{b: program}
	c := x.row
	for r.left() > 0 && !r.bad {
		op := r.u8()
		var advance uint64
		switch op & 0xc0 {
		case 0x40:
			advance = uint64(op & 0x3f)
			op = 0xff
		case 0x80:
			x.set(uint64(op&0x3f), rule{kind: ruleOffset, off: int64(r.uleb()) * x.data})
			continue
		case 0xc0:
			x.restore(uint64(op & 0x3f))
			continue
		}
		switch op {
		case 0x00: // nop
		case 0x01: // set_loc
			if x.loc = r.pointer(x.enc, x.addr, 0); x.loc > x.upTo {
				return !r.bad
			}
		case 0x02:
			advance = uint64(r.u8())
		case 0x03:
			advance = uint64(r.u16())
		case 0x04:
			advance = uint64(r.u32())
		case 0x05: // offset_extended
			reg := r.uleb()
			x.set(reg, rule{kind: ruleOffset, off: int64(r.uleb()) * x.data})
		case 0x06:
			x.restore(r.uleb())
		case 0x07:
			x.set(r.uleb(), rule{kind: ruleUndefined})
		case 0x08:
			x.set(r.uleb(), rule{kind: ruleSame})
		case 0x09:
			reg := r.uleb()
			x.set(reg, rule{kind: ruleRegister, off: int64(r.uleb())})
		case 0x0a:
			if len(x.saved) == maxSaved {
				return false
			}
			x.saved = append(x.saved, *c)
		case 0x0b:
			n := len(x.saved)
			if n == 0 {
				return false
			}
			*c, x.saved = x.saved[n-1], x.saved[:n-1]
		case 0x0c: // def_cfa
			c.cfaReg, c.cfaOff, c.cfaExpr = r.uleb(), int64(r.uleb()), nil
		case 0x0d:
			c.cfaReg, c.cfaExpr = r.uleb(), nil
		case 0x0e:
			c.cfaOff = int64(r.uleb())
		case 0x0f:
			if c.cfaExpr = r.bytes(r.uleb()); len(c.cfaExpr) == 0 {
				return false
			}
		case 0x10:
			reg := r.uleb()
			x.set(reg, rule{kind: ruleExpr, expr: r.bytes(r.uleb())})
		case 0x11:
			reg := r.uleb()
			x.set(reg, rule{kind: ruleOffset, off: r.sleb() * x.data})
		case 0x12:
			c.cfaReg, c.cfaOff, c.cfaExpr = r.uleb(), r.sleb()*x.data, nil
		case 0x13:
			c.cfaOff = r.sleb() * x.data
		case 0x14:
			reg := r.uleb()
			x.set(reg, rule{kind: ruleValOffset, off: int64(r.uleb()) * x.data})
		case 0x15:
			reg := r.uleb()
			x.set(reg, rule{kind: ruleValOffset, off: r.sleb() * x.data})
		case 0x16:
			reg := r.uleb()
			x.set(reg, rule{kind: ruleValExpr, expr: r.bytes(r.uleb())})
		case 0x2c, 0x2d: // AARCH64_negate_ra_state, with and without the address of the signing instruction
			c.signed = !c.signed
		case 0x2e: // GNU_args_size
			r.uleb()
		case 0x2f: // GNU_negative_offset_extended
			reg := r.uleb()
			x.set(reg, rule{kind: ruleOffset, off: -int64(r.uleb()) * x.data})
		case 0xff: // advance_loc
		default:
			return false
		}
		if advance != 0 {
			if x.loc += advance * x.code; x.loc > x.upTo {
				return !r.bad
			}
		}
	}
	return !r.bad
}
