package output

import "golang.org/x/sys/cpu"

// The assembly does what the functions in marks.go do, 64 bytes at a time.

//go:noescape
func plainAVX2(p *byte, n int) int

//go:noescape
func markAVX2(p *byte, out *marks, n int)

var hasAVX2 = cpu.X86.HasAVX2

// plainPrefix is the number of bytes that p starts with which are plain. It may stop before a byte that is.
func plainPrefix(p []byte) int {
	if n := len(p) &^ 63; hasAVX2 && n > 0 {
		return plainAVX2(&p[0], n)
	}
	return plainWords(p)
}

// setMarks sets the marks of as many blocks of p as there are in out.
func setMarks(p []byte, out []marks) {
	if len(out) == 0 {
		return
	}
	p = p[:markBlock*len(out)]
	if hasAVX2 {
		markAVX2(&p[0], &out[0], len(out))
		return
	}
	markWords(p, out)
}
