package output

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var (
	errNotRegular = errors.New("it is no regular file")
	errReplaced   = errors.New("it does not hold what was read of it")
)

// printMost is how many bytes are remembered of a file's beginning, and of those before what is read next,
// to know it again: a file's number is given to another file as soon as it is free.
const printMost = 64

// print is what is remembered of some bytes.
type print struct {
	Bytes int
	Sum   uint64
}

func printOf(b []byte) print {
	sum := uint64(14695981039346656037) // FNV-1a
	for _, c := range b {
		sum = (sum ^ uint64(c)) * 1099511628211
	}
	return print{len(b), sum}
}

// file is a file that a followed log is, or was until it was rotated away.
type file struct {
	path   string // where it was last
	id     FileID
	zip    bool // offsets are those in what it unpacks to
	fd     int  // -1: closed
	unpack *unpacker

	form   Form // "": not known yet
	offset int64
	line   int64   // lines before offset
	looked int64   // up to here there is no end of the line that begins at offset
	read   int64   // was handed on before a restart, as far as is known
	size   int64   // last seen
	mtime  int64   // ns, last seen
	head   print   // of its first bytes
	tail   print   // of those before offset
	marks  []print // of those before byte 128, 256, 512 and so on, as far as it was read by this process

	born    int64 // ns, of one that was empty when it was seen first: its number may be given to another; 0: not known
	missed  bool  // others came after it, and were deleted before they were seen
	strange bool  // it comes from a kept position, and was not compared yet
	over    bool  // what comes next has begun: the last line is whole as it is
	grew    int64 // ns, when something was read of it last
	used    int64 // ns, when its descriptor was used last
}

func (f *file) start() int64 { return f.offset - int64(f.tail.Bytes) }

// compare says whether what r holds is what was read of f.
func (f *file) compare(r io.ReaderAt) bool {
	var b [printMost]byte
	n, _ := r.ReadAt(b[:f.head.Bytes], 0)
	if printOf(b[:n]) != f.head {
		return false
	}
	n, _ = r.ReadAt(b[:f.tail.Bytes], f.start())
	return printOf(b[:n]) == f.tail
}

type fdReader int

// ReadAt reads without a position of its own, as pread does.
func (fd fdReader) ReadAt(b []byte, at int64) (int, error) {
	for n := 0; ; {
		m, err := unix.Pread(int(fd), b[n:], at+int64(n))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return n, err
		case m == 0 && n < len(b):
			return n, io.EOF
		}
		if n += m; n == len(b) {
			return n, nil
		}
	}
}

// once reads what one call gives: less than b is the end of a file, but where the file system gives pieces. What it keeps
// back comes with the next look.
func (fd fdReader) once(b []byte, at int64) (n int, err error) {
	for {
		n, err = unix.Pread(int(fd), b, at)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, err
		case n < len(b):
			return n, io.EOF
		}
		return n, nil
	}
}

// openRead opens a file for reading, and says what it is.
func openRead(path string) (fd int, st fileStat, err error) {
	for {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return -1, st, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if st, err = statFd(path, fd); err != nil {
		unix.Close(fd)
		return -1, st, err
	}
	return fd, st, nil
}

// unpacker reads a packed file once, from front to back.
type unpacker struct {
	f   *os.File
	r   io.Reader
	end func() // of r
	buf []byte // read, and not yet handed on
	at  int64  // of buf's first byte in what is unpacked
	err error
}

func newUnpacker(path string) (*unpacker, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, end, err := unpack(f, filepath.Ext(path))
	if err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "unpack", Path: path, Err: err}
	}
	return &unpacker{f: f, r: r, end: end}, nil
}

// ReadAt reads from at on, which must not lie before what was asked for last.
func (u *unpacker) ReadAt(b []byte, at int64) (int, error) {
	if at < u.at {
		return 0, fmt.Errorf("unpack %s: byte %d has passed", u.f.Name(), at)
	}
	for {
		if drop := min(at-u.at, int64(len(u.buf))); drop > 0 {
			u.buf = u.buf[:copy(u.buf, u.buf[drop:])]
			u.at += drop
		}
		if u.err != nil || at == u.at && len(u.buf) >= len(b) {
			break
		}
		const step = 64 << 10
		have := len(u.buf)
		if cap(u.buf) < have+step {
			u.buf = append(make([]byte, 0, max(2*cap(u.buf), have+step)), u.buf...)
		}
		n, err := u.r.Read(u.buf[have : have+step])
		u.buf, u.err = u.buf[:have+n], err
	}
	if at != u.at {
		return 0, io.EOF
	}
	n := copy(b, u.buf)
	if n < len(b) {
		return n, u.err
	}
	return n, nil
}

func (u *unpacker) close() {
	u.end()
	u.f.Close()
}

// chunk is what was read of a file at once.
type chunk struct {
	text  []byte // from f.offset on
	zeros int64  // NUL bytes in its place, which are a hole
	more  bool
}

// next reads on at f.offset; buf takes printMost and a line of any length that is kept together. It gives
// errReplaced where the file is another than it was.
func (f *file) next(buf []byte) (c chunk, err error) {
	var r io.ReaderAt = fdReader(f.fd)
	if f.zip {
		r = f.unpack
	} else if f.looked > f.offset && !f.over && f.form != "" {
		// Of a line without an end, only what is new can hold the end.
		b := buf[:min(len(buf), 64<<10)]
		n, err := r.ReadAt(b, f.looked)
		if err != nil && err != io.EOF {
			return c, &fs.PathError{Op: "read", Path: f.path, Err: err}
		}
		if !f.compare(r) {
			return c, errReplaced
		}
		f.size = max(f.size, f.looked+int64(n))
		if n == 0 {
			return c, nil
		}
		if bytes.IndexByte(b[:n], '\n') < 0 && f.looked+int64(n)-f.offset < lineMost {
			f.looked += int64(n)
			return chunk{more: n == len(b)}, nil
		}
	}
	if !f.zip && f.offset > printMost { // what stands before the offset may be alike in many files: blanks, rulers
		var b [printMost]byte
		if n, _ := r.ReadAt(b[:f.head.Bytes], 0); printOf(b[:n]) != f.head {
			return c, errReplaced
		}
	}
	var n int
	if f.zip {
		n, err = r.ReadAt(buf, f.start())
	} else if n, err = fdReader(f.fd).once(buf, f.start()); err == io.EOF && (n < f.tail.Bytes || f.over) { // it counts on the end
		n, err = r.ReadAt(buf, f.start())
	}
	end := err == io.EOF
	if err != nil && !end {
		return c, &fs.PathError{Op: "read", Path: f.path, Err: err}
	}
	b := buf[:n]
	if n < f.tail.Bytes || printOf(b[:f.tail.Bytes]) != f.tail {
		return c, errReplaced
	}
	b = b[f.tail.Bytes:]
	f.size = max(f.size, f.offset+int64(len(b)))
	c = chunk{text: b, more: !end}
	if !f.zip && len(b) >= len(someZeros) && bytes.Equal(b[:len(someZeros)], someZeros[:]) {
		c.zeros = f.hole()
	}
	if c.zeros > 0 {
		f.size = max(f.size, f.offset+c.zeros)
		c.text, c.more = nil, true
	}
	return c, nil
}

// hole gives how long the hole is that f.offset lies in, 0: it lies in none, or the file system does not tell.
func (f *file) hole() int64 {
	at, err := unix.Seek(f.fd, f.offset, unix.SEEK_DATA)
	if err == unix.ENXIO { // to its end
		st, err := statFd(f.path, f.fd)
		if err != nil {
			return 0
		}
		at = st.size
	} else if err != nil {
		return 0
	}
	if at-f.offset < int64(len(someZeros)) {
		return 0
	}
	return at - f.offset
}

// advance notes that b, or that many NUL bytes, were handed on of f; before are the bytes of f.tail.
func (f *file) advance(before, b []byte, zeros int64) {
	n := int64(len(b))
	f.mark(before, b, zeros)
	if zeros > 0 { // a hole is longer than any print
		n, b, before = zeros, someZeros[:printMost], nil
	}
	if f.head.Bytes < printMost && int64(f.tail.Bytes) == f.offset {
		whole := append(append(make([]byte, 0, 2*printMost), before...), b[:min(len(b), printMost)]...)
		f.head = printOf(whole[:min(len(whole), printMost)])
	}
	f.offset += n
	f.looked = f.offset
	if len(b) < printMost {
		last := before[len(before)-min(len(before), printMost-len(b)):]
		b = append(append(make([]byte, 0, printMost), last...), b...)
	}
	f.tail = printOf(b[len(b)-min(len(b), printMost):])
}
