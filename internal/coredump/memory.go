package coredump

import (
	"bytes"
	"sort"
	"strings"
)

// Memory reads the process's memory at addr, as the core has it, and says how many bytes it read: fewer than
// len(p) where the core ends or has a gap, 0 where it does not hold addr. Pages that were still as
// in their file are not in a core (see Mapping.Path).
func (c *Core) Memory(addr uint64, p []byte) int {
	done := 0
	i := sort.Search(len(c.segments), func(i int) bool { return c.segments[i].end > addr })
	for ; i < len(c.segments) && done < len(p); i++ {
		s := &c.segments[i]
		at := addr + uint64(done)
		if at < addr || s.start > at {
			break
		}
		want := p[done:]
		if n := s.end - at; uint64(len(want)) > n {
			want = want[:n]
		}
		n, _ := c.read(want, uint64(s.off)+at-s.start)
		done += n
		if n < len(want) {
			break
		}
	}
	return done
}

// Word reads 8 bytes at addr.
func (c *Core) Word(addr uint64) (uint64, bool) {
	var p [8]byte
	if c.Memory(addr, p[:]) < len(p) {
		return 0, false
	}
	return le.Uint64(p[:]), true
}

// String reads a C string of at most limit bytes at addr; ok is false where the core does not hold
// its first byte. A string without an end is cut at limit, or where the core ends.
func (c *Core) String(addr uint64, limit int) (s string, ok bool) {
	b := make([]byte, limit)
	n := c.Memory(addr, b)
	if n == 0 {
		return "", false
	}
	b = b[:n]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.ToValidUTF8(string(b), "\ufffd"), true
}

// mappingAfter is the index of the first mapping that begins beyond addr.
func (c *Core) mappingAfter(addr uint64) int {
	return sort.Search(len(c.Mappings), func(i int) bool { return c.Mappings[i].Start > addr })
}
