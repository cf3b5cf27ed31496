package output

import (
	"bytes"
	"io"

	"golang.org/x/sys/unix"
)

// firstMark is the offset of the first mark; each further one stands at twice that.
const firstMark = 2 * printMost

// mark remembers what stands before each power of two that reading b, or that many NUL bytes, behind f.offset passes; before are
// the bytes in front of b.
func (f *file) mark(before, b []byte, zeros int64) {
	to := f.offset + max(int64(len(b)), zeros)
	for at := int64(firstMark) << len(f.marks); at <= to; at *= 2 {
		p := print{}
		switch i := int(at - f.offset); { // the mark stands before b[i]
		case zeros > 0:
		case i >= printMost:
			p = printOf(b[i-printMost : i])
		case i+len(before) >= printMost:
			p = printOf(append(append(make([]byte, 0, printMost), before[len(before)+i-printMost:]...), b[:i]...))
		}
		f.marks = append(f.marks, p)
	}
}

// marked says whether what r holds of size bytes, fewer than were read of f, is what was read: a file that was cut and filled
// with something else may begin alike, and hardly stands alike at its second half, too.
func (f *file) marked(r io.ReaderAt, size int64) bool {
	var b [printMost]byte
	is := func(at int64, p print) bool {
		n, _ := r.ReadAt(b[:p.Bytes], at)
		return printOf(b[:n]) == p
	}
	if f.head.Bytes < printMost || !is(0, f.head) {
		return false
	}
	known, at := false, int64(firstMark)
	for _, p := range f.marks {
		if at > size {
			break
		}
		if known = p.Bytes == printMost; known && !is(at-printMost, p) {
			return false
		}
		at *= 2
	}
	return known
}

// cutInside says whether a file was cut to what is a part of that which was read of it, and goes on there.
func (w *Follower) cutInside(l *followed, f *file, st fileStat) bool {
	fd := f.fd
	if fd < 0 {
		var err error
		var is fileStat
		if fd, is, err = openRead(l.path); err != nil {
			return false
		}
		defer unix.Close(fd)
		if is.id != st.id {
			return false
		}
	}
	if f.strange || f.zip || !f.marked(fdReader(fd), st.size) {
		return false
	}
	var lines int64
	for at := int64(0); at < st.size; {
		n, err := fdReader(fd).once(w.buf[:min(int64(len(w.buf)), st.size-at)], at)
		if err != nil || n == 0 { // it is being cut further
			return false
		}
		lines += int64(bytes.Count(w.buf[:n], []byte("\n")))
		at += int64(n)
	}
	n, err := fdReader(fd).ReadAt(w.buf[:printMost], st.size-printMost)
	if err != nil || n != printMost {
		return false
	}
	w.lose(l, f, f.size-f.offset, "the end was cut off")
	f.tail = printOf(w.buf[:n])
	f.offset, f.looked, f.size, f.mtime, f.line, f.read = st.size, st.size, st.size, st.mtime, lines, st.size
	for len(f.marks) > 0 && int64(firstMark)<<(len(f.marks)-1) > st.size {
		f.marks = f.marks[:len(f.marks)-1]
	}
	return true
}
