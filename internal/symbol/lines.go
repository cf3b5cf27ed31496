package symbol

import (
	"debug/dwarf"
	"time"
)

// lineData is the DWARF of a binary, where it has some that is not too large to use.
type lineData struct {
	d       *dwarf.Data
	aranges []byte
}

// source is where an instruction came from.
type source struct {
	function string // linkage name, or plain name; empty where not known
	file     string
	line     int
}

// openLines reads what debug/dwarf needs. The sections stay in the file unless they are compressed.
func openLines(f *image) (l *lineData) {
	defer func() { // debug/dwarf on damaged sections
		if recover() != nil {
			l = nil
		}
	}()
	info := f.section(".debug_info")
	if info == nil || f.section(".debug_line") == nil {
		return nil
	}
	if info.flags&shfComp != 0 && info.size > maxInflate/3 {
		return nil
	}
	d, err := dwarf.New(f.content(".debug_abbrev"), nil, nil, f.content(".debug_info"), f.content(".debug_line"), nil,
		f.content(".debug_ranges"), f.content(".debug_str"))
	if err != nil {
		return nil
	}
	for _, name := range []string{".debug_line_str", ".debug_str_offsets", ".debug_rnglists", ".debug_addr"} {
		if b := f.content(name); b != nil {
			if d.AddSection(name, b) != nil {
				return nil
			}
		}
	}
	return &lineData{d: d, aranges: f.content(".debug_aranges")}
}

// find tells the source of vaddr: the innermost inlined function first, the physical function
// last. Nothing after the deadline.
func (l *lineData) find(vaddr uint64, deadline time.Time) (out []source) {
	defer func() {
		if recover() != nil {
			out = nil
		}
	}()
	cu, r := l.unit(vaddr, deadline)
	if cu == nil {
		return nil
	}
	lines, err := l.d.LineReader(cu)
	if err != nil || lines == nil {
		return nil
	}
	var at dwarf.LineEntry
	if lines.SeekPC(vaddr, &at) != nil {
		return nil
	}
	here := source{line: at.Line}
	if at.File != nil {
		here.file = at.File.Name
	}
	files := lines.Files()
	for _, e := range l.scopes(r, vaddr, deadline) { // the outermost first
		name := l.name(e, 0)
		if e.Tag == dwarf.TagSubprogram {
			out = append(out, source{function: name})
			continue
		}
		if len(out) > 0 {
			if n, ok := e.Val(dwarf.AttrCallFile).(int64); ok && n >= 0 && n < int64(len(files)) && files[n] != nil {
				out[len(out)-1].file = files[n].Name
			}
			if n, ok := e.Val(dwarf.AttrCallLine).(int64); ok {
				out[len(out)-1].line = int(n)
			}
		}
		out = append(out, source{function: name})
	}
	if len(out) == 0 {
		return []source{here}
	}
	out[len(out)-1].file, out[len(out)-1].line = here.file, here.line
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// unit finds the compile unit of vaddr and a reader that stands behind its entry.
func (l *lineData) unit(vaddr uint64, deadline time.Time) (*dwarf.Entry, *dwarf.Reader) {
	r := l.d.Reader()
	if off, ok := arange(l.aranges, vaddr); ok {
		// The section names the unit's header; its entry follows. Headers of versions 2 to 5, 32 and 64 bit.
		for _, skip := range []uint32{11, 12, 20, 23, 24} {
			r.Seek(dwarf.Offset(off + skip))
			if e, err := r.Next(); err == nil && e != nil && e.Tag == dwarf.TagCompileUnit && l.holds(e, vaddr) {
				return e, r
			}
		}
		r = l.d.Reader()
	}
	for time.Now().Before(deadline) {
		e, err := r.Next()
		if err != nil || e == nil {
			return nil, nil
		}
		if e.Tag == dwarf.TagCompileUnit && l.holds(e, vaddr) {
			return e, r
		}
		r.SkipChildren()
	}
	return nil, nil
}

func (l *lineData) holds(e *dwarf.Entry, vaddr uint64) bool {
	ranges, err := l.d.Ranges(e)
	if err != nil {
		return false
	}
	for _, x := range ranges {
		if vaddr >= x[0] && vaddr < x[1] {
			return true
		}
	}
	return false
}

// arange looks vaddr up in .debug_aranges: the offset of its unit's header.
func arange(b []byte, vaddr uint64) (uint32, bool) {
	for off := 0; off < len(b); {
		r := buf{b: b, off: off}
		n := uint64(r.u32())
		if n == 0xffffffff || n > uint64(r.left()) || n < 8 {
			return 0, false
		}
		next := r.off + int(n)
		r.b = b[:next]
		r.u16()
		unit := r.u32()
		if r.u8() != 8 || r.u8() != 0 {
			return 0, false
		}
		r.off = off + (r.off-off+15)&^15
		for r.left() >= 16 {
			start, size := r.u64(), r.u64()
			if vaddr >= start && vaddr-start < size {
				return unit, true
			}
		}
		off = next
	}
	return 0, false
}

// scopes are the entries of the function at vaddr and of what is inlined into it there, the outermost first.
func (l *lineData) scopes(r *dwarf.Reader, vaddr uint64, deadline time.Time) []*dwarf.Entry {
	var out []*dwarf.Entry
	depth, inside := 1, 0 // inside: depth at which the innermost scope's children stand
	for n := 0; depth > 0; n++ {
		if n%64 == 0 && time.Now().After(deadline) {
			return nil
		}
		e, err := r.Next()
		if err != nil || e == nil || e.Tag == dwarf.TagCompileUnit {
			break
		}
		if e.Tag == 0 {
			if depth--; depth < inside {
				break
			}
			continue
		}
		descend := false
		switch e.Tag {
		case dwarf.TagSubprogram, dwarf.TagInlinedSubroutine:
			if descend = l.holds(e, vaddr); descend && len(out) < maxInline {
				out = append(out, e)
				inside = depth + 1
			}
		case dwarf.TagNamespace, dwarf.TagModule, dwarf.TagStructType, dwarf.TagClassType:
			descend = len(out) == 0
		case dwarf.TagLexDwarfBlock:
			descend = len(out) > 0
		}
		switch {
		case !e.Children:
		case descend:
			depth++
		default:
			r.SkipChildren()
		}
	}
	return out
}

// name follows a scope to the entry that has its name.
func (l *lineData) name(e *dwarf.Entry, depth int) string {
	for _, a := range []dwarf.Attr{dwarf.AttrLinkageName, dwarf.AttrName} {
		if s, ok := e.Val(a).(string); ok && s != "" {
			return s
		}
	}
	for _, a := range []dwarf.Attr{dwarf.AttrAbstractOrigin, dwarf.AttrSpecification} {
		if off, ok := e.Val(a).(dwarf.Offset); ok && depth < 4 {
			r := l.d.Reader()
			r.Seek(off)
			if o, err := r.Next(); err == nil && o != nil {
				return l.name(o, depth+1)
			}
		}
	}
	return ""
}
