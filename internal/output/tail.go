package output

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// Tail is the end of what a program wrote, as its log holds it.
type Tail struct {
	Form   Form
	Stream [2][]byte // stdout, and all of a raw log; stderr
	Whole  [2]bool   // that is surely all that the log holds of the stream
	Files  []string  // that were read, the youngest first
}

const (
	tailBlock    = 256 << 10
	tailLeast    = 8 << 20 // bytes of log that are read for streams that write little or nothing
	tailUnpacked = 256 << 20
)

// ReadTail reads the last bytes that a program wrote to each stream, most of each at most, from its log at path and from
// what was rotated away of it. It reads from the end backwards, 32 times what is asked for at most or 8 MiB, whichever is
// more: a stream that is silent for that long has none. Packed files are unpacked whole, up to 256 MiB of it. It fails where there is
// neither the log nor anything that was rotated away; a file that cannot be read ends it.
func ReadTail(path string, most int) (Tail, error) {
	t := &tail{most: most, budget: max(32*int64(most), tailLeast), seen: map[FileID]bool{}}
	real := realPath(path)
	err := t.file(real, false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Tail{}, err
	}
	all, lerr := generations(real)
	if err != nil && (lerr != nil || len(all) == 0) {
		return Tail{}, err
	}
	whole := true
	for _, g := range slices.Backward(all) {
		if t.full() {
			whole = false
			break
		}
		if !t.seen[g.id] && t.file(g.path, g.zip) != nil {
			t.cut = true
			break
		}
	}
	x := Tail{Form: t.form, Files: t.files}
	for s := range x.Stream {
		slices.Reverse(t.parts[s])
		b := bytes.Join(t.parts[s], nil)
		x.Stream[s] = b[max(0, len(b)-most):]
		x.Whole[s] = whole && !t.cut && len(b) <= most
	}
	return x, nil
}

// tail is being read.
type tail struct {
	most   int
	budget int64 // bytes of files that may still be read
	form   Form
	parts  [2][][]byte // youngest first
	have   [2]int
	cut    bool // not all was read
	files  []string
	seen   map[FileID]bool
	text   []byte
}

func (t *tail) full() bool {
	if t.budget <= 0 {
		t.cut = true
	}
	return t.budget <= 0 || t.have[0] >= t.most && (t.have[1] >= t.most || t.form == Raw)
}

// file reads one file backwards.
func (t *tail) file(path string, zip bool) error {
	if zip {
		return t.packed(path)
	}
	fd, st, err := openRead(path)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	t.seen[st.id] = true
	t.files = append(t.files, path)
	start := make([]byte, min(st.size, formMost))
	n, err := fdReader(fd).ReadAt(start, 0)
	if err != nil && err != io.EOF {
		return fmt.Errorf("read the end of %s: %w", path, err)
	}
	form := t.formOf(start[:n])
	size := int64(tailBlock)
	end := st.size
	for end > 0 && !t.full() {
		from := max(0, end-size)
		b := make([]byte, end-from)
		n, err := fdReader(fd).ReadAt(b, from)
		if err != nil && err != io.EOF {
			return fmt.Errorf("read the end of %s: %w", path, err)
		}
		b = b[:n] // less where it was cut meanwhile
		t.budget -= int64(n)
		next := from
		if form != Raw && from > 0 { // its first line may begin before
			at := bytes.IndexByte(b, '\n')
			if (at < 0 || at == len(b)-1) && size < lineMost {
				size *= 2
				continue
			}
			if at >= 0 && at < len(b)-1 {
				b = b[at+1:]
				next += int64(at + 1)
			}
		}
		t.add(form, b)
		end, size = next, tailBlock
	}
	t.cut = t.cut || end > 0
	return nil
}

// formOf is the form of a file whose beginning this is: the younger file's, where the beginning is torn.
func (t *tail) formOf(start []byte) Form {
	form := FormOf(start)
	if len(start) == 0 || form == Raw && t.form != "" {
		return t.form
	}
	t.form = form
	return form
}

// add takes apart lines that stand before all that was added.
func (t *tail) add(form Form, b []byte) {
	var streams [2][]byte
	t.split(form, b, true, func(s int, text []byte) { streams[s] = append(streams[s], text...) })
	for s, text := range streams {
		if len(text) > 0 && t.have[s] < t.most {
			t.parts[s] = append(t.parts[s], text)
			t.have[s] += len(text)
		}
	}
}

// split hands on the payload of the lines in b, and gives what is left.
func (t *tail) split(form Form, b []byte, all bool, take func(stream int, text []byte)) (rest []byte) {
	if form != CRI && form != Docker {
		take(0, b)
		return nil
	}
	for {
		n, zeros := nextLine(b, all)
		if n == 0 {
			return b
		}
		if e := (entry{text: b[:n]}); zeros {
			take(0, e.text)
		} else {
			e = payload(form, b[:n], &t.text)
			take(e.stream, e.text)
		}
		b = b[n:]
	}
}

// packed reads one file forwards, and keeps the end.
func (t *tail) packed(path string) error {
	u, err := newUnpacker(path)
	if err != nil {
		return err
	}
	defer u.close()
	t.files = append(t.files, path)
	form, left := Form(""), int64(tailUnpacked)
	var streams [2][]byte
	var dropped [2]bool
	buf := make([]byte, 0, lineMost+tailBlock)
	for end := false; !end; {
		n, err := u.r.Read(buf[len(buf) : len(buf)+tailBlock])
		if err != nil && err != io.EOF {
			t.cut = true // a packer that was stopped: what there is counts
		}
		left -= int64(n)
		end = err != nil || left <= 0
		t.cut = t.cut || left <= 0
		buf = buf[:len(buf)+n]
		if form == "" {
			form = t.formOf(buf)
		}
		rest := t.split(form, buf, end, func(s int, text []byte) {
			if streams[s] = append(streams[s], text...); len(streams[s]) > 4*t.most+tailBlock {
				streams[s] = streams[s][:copy(streams[s], streams[s][len(streams[s])-t.most:])]
				dropped[s] = true
			}
		})
		buf = buf[:copy(buf, rest)]
	}
	for s, text := range streams {
		if len(text) > 0 && t.have[s] < t.most {
			t.parts[s] = append(t.parts[s], text)
			t.have[s] += len(text)
		}
		t.cut = t.cut || dropped[s] && t.have[s] < t.most
	}
	return nil
}
