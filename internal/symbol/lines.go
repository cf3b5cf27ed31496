package symbol

import (
	"debug/dwarf"
	"slices"
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
func openLines(f *image, limit uint64) (l *lineData) {
	defer func() { // debug/dwarf on damaged sections
		if recover() != nil {
			l = nil
		}
	}()
	info := f.section(".debug_info")
	if info == nil || f.section(".debug_line") == nil {
		return nil
	}
	if info.flags&shfComp != 0 && info.size > limit/3 {
		return nil
	}
	d, err := dwarf.New(f.content(".debug_abbrev", limit), nil, nil, f.content(".debug_info", limit), f.content(".debug_line", limit), nil,
		f.content(".debug_ranges", limit), f.content(".debug_str", limit))
	if err != nil {
		return nil
	}
	for _, name := range []string{".debug_line_str", ".debug_str_offsets", ".debug_rnglists", ".debug_addr"} {
		if b := f.content(name, limit); b != nil {
			if d.AddSection(name, b) != nil {
				return nil
			}
		}
	}
	return &lineData{d: d, aranges: f.content(".debug_aranges", limit)}
}

// unitQueries are the addresses that lie in one compile unit.
type unitQueries struct {
	cu     *dwarf.Entry
	vaddrs []uint64
}

// find tells the source of each address: the innermost inlined function first, the physical
// function last. Nothing after the deadline. Addresses of one unit are answered together, since a
// unit's entries can only be read from its first to its last.
func (l *lineData) find(vaddrs []uint64, deadline time.Time) (out map[uint64][]source) {
	out = map[uint64][]source{}
	defer func() {
		recover() //nolint:errcheck // debug/dwarf on damaged sections: what was found stays
	}()
	var units []*unitQueries
	for _, v := range vaddrs {
		cu := l.unit(v, deadline)
		if cu == nil {
			continue
		}
		i := slices.IndexFunc(units, func(u *unitQueries) bool { return u.cu.Offset == cu.Offset })
		if i < 0 {
			i = len(units)
			units = append(units, &unitQueries{cu: cu})
		}
		units[i].vaddrs = append(units[i].vaddrs, v)
	}
	for _, u := range units {
		if time.Now().After(deadline) {
			return out
		}
		l.findIn(u, out, deadline)
	}
	return out
}

func (l *lineData) findIn(u *unitQueries, out map[uint64][]source, deadline time.Time) {
	lines, err := l.d.LineReader(u.cu)
	if err != nil || lines == nil {
		return
	}
	rows := lineRows(lines, u.vaddrs, deadline)
	files := lines.Files()
	scopes := l.scopes(u, false, deadline)
	if len(scopes) < len(u.vaddrs) { // lambdas and local classes stand within functions
		scopes = l.scopes(u, true, deadline)
	}
	for _, v := range u.vaddrs {
		row, ok := rows[v]
		if !ok {
			continue
		}
		var found []source
		for _, e := range scopes[v] { // the outermost first
			if n := len(found); n > 0 {
				if k, ok := e.Val(dwarf.AttrCallFile).(int64); ok && k >= 0 && k < int64(len(files)) && files[k] != nil {
					found[n-1].file = files[k].Name
				}
				if k, ok := e.Val(dwarf.AttrCallLine).(int64); ok {
					found[n-1].line = int(k)
				}
			}
			found = append(found, source{function: l.name(e, 0)})
		}
		if len(found) == 0 {
			found = []source{{}}
		}
		found[len(found)-1].file, found[len(found)-1].line = row.file, row.line
		slices.Reverse(found)
		out[v] = found
	}
}

// lineRows finds the statement of each address in a unit's line table.
func lineRows(lines *dwarf.LineReader, vaddrs []uint64, deadline time.Time) map[uint64]source {
	out := map[uint64]source{}
	var e dwarf.LineEntry
	var last source
	var from uint64 // where the last statement began
	open := false
	for n := 0; lines.Next(&e) == nil; n++ {
		if n%1024 == 0 && time.Now().After(deadline) {
			return out
		}
		if open && e.Address > from && (e.IsStmt || e.EndSequence) {
			for _, v := range vaddrs {
				if v >= from && v < e.Address {
					out[v] = last
				}
			}
		}
		if e.EndSequence {
			open = false
		} else if e.IsStmt {
			open, from = true, e.Address
			if last = (source{line: e.Line}); e.File != nil {
				last.file = e.File.Name
			}
		}
	}
	return out
}

// unit finds the compile unit of vaddr.
func (l *lineData) unit(vaddr uint64, deadline time.Time) *dwarf.Entry {
	r := l.d.Reader()
	if off, ok := arange(l.aranges, vaddr); ok {
		// The section names the unit's header; its entry follows. Headers of versions 2 to 5, 32 and 64 bit.
		for _, skip := range []uint32{11, 12, 20, 23, 24} {
			r.Seek(dwarf.Offset(off + skip))
			if e, err := r.Next(); err == nil && e != nil && e.Tag == dwarf.TagCompileUnit && l.holds(e, vaddr) {
				return e
			}
		}
		r = l.d.Reader()
	}
	for time.Now().Before(deadline) {
		e, err := r.Next()
		if err != nil || e == nil {
			return nil
		}
		if e.Tag == dwarf.TagCompileUnit && l.holds(e, vaddr) {
			return e
		}
		r.SkipChildren()
	}
	return nil
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

// scopes are, for each address, the entries of its function and of what is inlined into it there,
// the outermost first. all looks into functions that do not hold an address, too.
func (l *lineData) scopes(u *unitQueries, all bool, deadline time.Time) map[uint64][]*dwarf.Entry {
	out := map[uint64][]*dwarf.Entry{}
	nested := map[uint64]int{} // how deep the last one stands
	r := l.d.Reader()
	r.Seek(u.cu.Offset)
	if _, err := r.Next(); err != nil {
		return out
	}
	for depth, n := 1, 0; depth > 0; n++ {
		if n%64 == 0 && time.Now().After(deadline) {
			return out
		}
		e, err := r.Next()
		if err != nil || e == nil || e.Tag == dwarf.TagCompileUnit {
			break
		}
		descend := all
		switch e.Tag {
		case 0:
			depth--
			continue
		case dwarf.TagSubprogram, dwarf.TagInlinedSubroutine:
			for _, v := range u.vaddrs {
				// Assembler has an entry for each name of a function, one beside the other.
				if l.holds(e, v) && len(out[v]) < maxInline && depth > nested[v] {
					out[v] = append(out[v], e)
					nested[v] = depth
					descend = true
				}
			}
		case dwarf.TagNamespace, dwarf.TagModule, dwarf.TagStructType, dwarf.TagClassType, dwarf.TagLexDwarfBlock:
			descend = true
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
