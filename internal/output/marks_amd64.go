package output

import "golang.org/x/sys/cpu"

// The assembly does what the functions in marks.go do, 64 bytes at a time.

//go:noescape
func plainAVX2(p *byte, n int) int

//go:noescape
func markAVX2(p *byte, out *marks, n int)

//go:noescape
func andAVX2(dst, src *bitset, by uint64, flip uint64, n int)

var hasAVX2 = cpu.X86.HasAVX2

// plainPrefix is the number of bytes that p starts with which are plain. It may stop before a byte that is.
func plainPrefix(p []byte) int {
	if n := len(p) &^ 63; hasAVX2 && n > 0 {
		return plainAVX2(&p[0], n)
	}
	return plainWords(p)
}

func assembly() bool { return hasAVX2 }

// setBlocks marks the blocks of p.
func (m *marks) setBlocks(p []byte) {
	if hasAVX2 {
		markAVX2(&p[0], m, len(p)/markBlock)
		return
	}
	m.setWords(p)
}

// and leaves those of the first n blocks of s that are bytes by so many, 0 to 63, before those of x, or with not before none of x.
// x may be s.
func (s *bitset) and(x *bitset, by int, not bool, n int) {
	if !hasAVX2 {
		s.andWords(x, by, not, n)
		return
	}
	flip := uint64(0)
	if not {
		flip = ^flip
	}
	andAVX2(s, x, uint64(by), flip, n)
}
