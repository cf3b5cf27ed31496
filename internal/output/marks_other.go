//go:build !amd64

package output

// plainPrefix is the number of bytes that p starts with which are plain. It may stop before a byte that is.
func plainPrefix(p []byte) int { return plainWords(p) }

func assembly() bool { return false }

// setBlocks marks the blocks of p.
func (m *marks) setBlocks(p []byte) { m.setWords(p) }

// and leaves those of the first n blocks of s that are bytes by so many, 0 to 63, before those of x, or with not before none of x.
// x may be s.
func (s *bitset) and(x *bitset, by int, not bool, n int) { s.andWords(x, by, not, n) }
