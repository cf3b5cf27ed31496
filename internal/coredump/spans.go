package coredump

import (
	"cmp"
	"debug/elf"
	"io"
	"slices"
	"sort"
)

// span is a range of a process's memory.
type span struct{ start, end uint64 }

// spans collects what is to be kept, within the mappings and a budget.
type spans struct {
	loads  []elf.ProgHeader
	kept   []span // in order, apart from each other
	adding []span
	budget uint64
}

// find gives the mapping that holds addr.
func (s *spans) find(addr uint64) (elf.ProgHeader, bool) {
	i := sort.Search(len(s.loads), func(i int) bool { return s.loads[i].Vaddr+s.loads[i].Memsz > addr })
	if i < len(s.loads) && s.loads[i].Vaddr <= addr {
		return s.loads[i], true
	}
	return elf.ProgHeader{}, false
}

// grain is what the edges of a kept piece are rounded to.
const grain = 64

// want asks for the memory between two addresses, as far as it is in one mapping that the process could read.
func (s *spans) want(start, end uint64) {
	m, ok := s.find(start)
	if !ok || m.Flags&elf.PF_R == 0 || end <= start {
		return
	}
	start = max(start&^(grain-1), m.Vaddr)
	end = min((end+grain-1)&^(grain-1), m.Vaddr+m.Memsz)
	s.adding = append(s.adding, span{start, end})
}

// around asks for the memory around an address.
func (s *spans) around(addr, before, after uint64) {
	m, ok := s.find(addr)
	if !ok {
		return
	}
	s.want(max(m.Vaddr, addr-min(addr, before)), addr+after)
}

// add takes what was asked for since the last add. Where that is beyond the budget, the first of it.
func (s *spans) add() {
	for n := len(s.adding); n > 0; n /= 2 {
		all := merged(append(slices.Clone(s.kept), s.adding[:n]...))
		if total(all) <= s.budget {
			s.kept = all
			break
		}
	}
	s.adding = s.adding[:0]
}

func merged(list []span) []span {
	slices.SortFunc(list, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	out := list[:0]
	for _, v := range list {
		if n := len(out); n > 0 && v.start <= out[n-1].end {
			out[n-1].end = max(out[n-1].end, v.end)
			continue
		}
		out = append(out, v)
	}
	return out
}

func total(list []span) (n uint64) {
	for _, v := range list {
		n += v.end - v.start
	}
	return n
}

// liveMemory reads another process's memory. It is of use only while the process exists.
type liveMemory struct{ f io.ReaderAt }

const pageSize = 4096 // or a multiple of it: only how far apart reads are tried that fail

// read fills as much of p as can be read from its start on.
func (m liveMemory) read(addr uint64, p []byte) int {
	if int64(addr) < 0 {
		return 0
	}
	n := 0
	for n < len(p) {
		k, err := m.f.ReadAt(p[n:], int64(addr)+int64(n))
		n += max(k, 0)
		if err != nil || k <= 0 {
			break
		}
	}
	return n
}

func (m liveMemory) u64(addr uint64) (uint64, bool) {
	var b [8]byte
	if m.read(addr, b[:]) < 8 {
		return 0, false
	}
	return le.Uint64(b[:]), true
}

// coreMemory is the memory of a process as its core has it, by address.
type coreMemory struct {
	h *dumpHead
	b []byte // what follows the notes
}

// ReadAt reads at an address, within one mapping.
func (m coreMemory) ReadAt(p []byte, addr int64) (int, error) {
	for _, l := range m.h.loads {
		if uint64(addr) < l.Vaddr || uint64(addr) >= l.Vaddr+l.Filesz || l.Off < m.h.at {
			continue
		}
		from := l.Off - m.h.at + uint64(addr) - l.Vaddr
		to := l.Off - m.h.at + l.Filesz
		if from >= uint64(len(m.b)) {
			break
		}
		return copy(p, m.b[from:min(to, uint64(len(m.b)))]), nil
	}
	return 0, io.EOF
}

// piece is memory that was read.
type piece struct {
	addr uint64
	b    []byte
}

// pieces reads the spans. What cannot be read is left out, page by page, and counted.
func (m liveMemory) pieces(list []span) (out []piece, unreadable int64) {
	for _, v := range list {
		for v.start < v.end {
			b := make([]byte, v.end-v.start)
			n := m.read(v.start, b)
			if n > 0 {
				out = append(out, piece{v.start, b[:n:n]})
			}
			v.start += uint64(n)
			if v.start < v.end {
				unreadable++
				v.start = (v.start + pageSize) &^ (pageSize - 1)
			}
		}
	}
	return out, unreadable
}
