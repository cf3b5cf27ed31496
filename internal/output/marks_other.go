//go:build !amd64

package output

// plainPrefix is the number of bytes that p starts with which are plain. It may stop before a byte that is.
func plainPrefix(p []byte) int { return plainWords(p) }

// setMarks sets the marks of as many blocks of p as there are in out.
func setMarks(p []byte, out []marks) { markWords(p, out) }
