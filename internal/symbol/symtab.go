package symbol

import (
	"bytes"
	"sort"
	"strings"

	"github.com/ianlancetaylor/demangle"
)

// query asks for the symbol of one address. Queries of one binary are answered together, in one
// pass over its tables, because a table is sorted by nothing that helps.
type query struct {
	vaddr uint64
	floor uint64 // the function begins here or later, 0 where not known
	// The answer.
	name  string
	value uint64
	// The best so far.
	size  uint64
	bind  int
	near  uint64 // where the nearest symbol before vaddr begins
	label string // its name, if it is one without a size
}

// symbolTable is one ELF symbol table.
type symbolTable struct {
	syms, strs []byte
	full       bool // .symtab: has every function that was not stripped one by one
}

func (f *image) symbolTables() []symbolTable {
	var out []symbolTable
	for i := range f.sections {
		s := &f.sections[i]
		if s.typ != 2 && s.typ != 11 || s.flags&shfComp != 0 || uint64(s.link) >= uint64(len(f.sections)) { // SHT_SYMTAB, SHT_DYNSYM
			continue
		}
		t := symbolTable{syms: f.raw(s), strs: f.raw(&f.sections[s.link]), full: s.typ == 2}
		if len(t.syms) >= 24 && len(t.strs) > 0 {
			t.syms = t.syms[:min(len(t.syms), maxSymbols*24)]
			out = append(out, t)
		}
	}
	return out
}

func (t *symbolTable) name(sym []byte) string {
	off := uint64(le.Uint32(sym))
	if off == 0 || off >= uint64(len(t.strs)) {
		return ""
	}
	p := t.strs[off:min(uint64(len(t.strs)), off+maxName)]
	n := bytes.IndexByte(p, 0)
	if n < 0 {
		return ""
	}
	return string(p[:n])
}

// symbolValue is the value of a symbol by its name.
func (f *image) symbolValue(name string) (uint64, bool) {
	for _, t := range f.symbolTables() {
		for i := 0; i+24 <= len(t.syms); i += 24 {
			off := uint64(le.Uint32(t.syms[i:]))
			if end := off + uint64(len(name)); end < uint64(len(t.strs)) && t.strs[end] == 0 && string(t.strs[off:end]) == name {
				return le.Uint64(t.syms[i+8:]), true
			}
		}
	}
	return 0, false
}

// answer looks qs, sorted by vaddr, up in the tables of f. code is the binary that runs: a
// separate debug file has the same addresses and symbols, but not the code.
func (f *image) answer(code *image, qs []query) {
	if len(qs) == 0 {
		return
	}
	last := qs[len(qs)-1].vaddr
	for _, t := range f.symbolTables() {
		for i := 0; i+24 <= len(t.syms); i += 24 {
			sym := t.syms[i : i+24]
			value, size := le.Uint64(sym[8:]), le.Uint64(sym[16:])
			if value == 0 || value > last {
				continue
			}
			typ := sym[4] & 0xf
			if typ != 0 && typ != 2 && typ != 10 || le.Uint16(sym[6:]) == 0 { // NOTYPE, FUNC, IFUNC; undefined
				continue
			}
			k := 0
			if value > qs[0].vaddr {
				k = sort.Search(len(qs), func(k int) bool { return qs[k].vaddr >= value })
			}
			t.nearest(sym, qs[k:])
			for ; k < len(qs) && qs[k].vaddr-value < size; k++ {
				t.offer(sym, &qs[k])
			}
		}
	}
	for k := range qs {
		q := &qs[k]
		s := code.sectionAt(q.vaddr)
		if q.name == "" && q.label != "" && s != nil && q.near >= s.addr && q.near >= q.floor {
			q.name, q.value = q.label, q.near
		}
		q.name, _, _ = strings.Cut(q.name, "@")
	}
}

// bindRank prefers global and weak symbols to local ones. libc's weak names are the ones people know.
func bindRank(sym []byte) int { return min(int(sym[4]>>4), 1) }

// offer takes a symbol that holds q if it is better than what q has: the narrower one, then the
// more public one, then the plainer name.
func (t *symbolTable) offer(sym []byte, q *query) {
	value, size, bind := le.Uint64(sym[8:]), le.Uint64(sym[16:]), bindRank(sym)
	if q.name != "" {
		switch {
		case value != q.value:
			if value < q.value {
				return
			}
		case size != q.size:
			if size > q.size {
				return
			}
		case bind < q.bind:
			return
		}
	}
	name := t.name(sym)
	if name == "" || isLabel(name) {
		return
	}
	if q.name != "" && value == q.value && size == q.size && bind == q.bind && !betterName(name, q.name) {
		return
	}
	q.name, q.value, q.size, q.bind = name, value, size, bind
}

// nearest notes where a symbol begins for the queries after it. A label reaches no further than the
// next symbol, and only a full table is sure to have that.
func (t *symbolTable) nearest(sym []byte, qs []query) {
	value, label := le.Uint64(sym[8:]), ""
	for k := range qs {
		q := &qs[k]
		if q.near > value || q.near == value && q.label != "" {
			break // sorted: what is nearer to this query is nearer to those after it
		}
		if k == 0 && t.full && le.Uint64(sym[16:]) == 0 {
			if label = t.name(sym); label != "" && isLabel(label) {
				return
			}
		}
		q.near, q.label = value, label
	}
}

// isLabel tells a compiler's mark from a function's name: .L7, and $x or $d where arm64 changes
// between code and data.
func isLabel(name string) bool {
	return strings.HasPrefix(name, ".L") || name[0] == '$' && len(name) > 1 && strings.ContainsRune("xdat", rune(name[1])) &&
		(len(name) == 2 || name[2] == '.')
}

// pretty demangles a C++ or Rust name, without parameters, and removes what a compiler adds to the
// name of a part or a variant of a function. Names too long to be worth it stay.
func pretty(name string) (out string) {
	if i := strings.IndexByte(name, '.'); i > 0 {
		for _, s := range []string{".cold", ".part", ".isra", ".constprop", ".llvm", ".lto_priv"} {
			if strings.HasPrefix(name[i:], s) {
				name = name[:i]
				break
			}
		}
	}
	if len(name) > 4096 || !strings.HasPrefix(name, "_Z") && !strings.HasPrefix(name, "_R") {
		return name
	}
	defer func() {
		if recover() != nil {
			out = name
		}
	}()
	d, err := demangle.ToString(name, demangle.NoParams, demangle.MaxLength(12))
	if err != nil {
		return name
	}
	if strings.Contains(name, "__rust_") && !strings.Contains(d, "::__rust_") {
		d = strings.Replace(d, "::_rust_", "::__rust_", 1) // the library takes one underscore for a separator
	}
	return d
}

// TypeName demangles the name that a C++ type_info has: "std::out_of_range" of "St12out_of_range".
func TypeName(mangled string) string {
	const prefix = "typeinfo name for "
	if d := pretty("_ZTS" + mangled); strings.HasPrefix(d, prefix) {
		return d[len(prefix):]
	}
	return mangled
}

func isColdName(name string) bool {
	return strings.HasSuffix(name, ".cold") || strings.Contains(name, ".cold.")
}
