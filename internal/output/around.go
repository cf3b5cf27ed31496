package output

import (
	"bytes"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// ErrOtherFile says that a path leads to another file by now.
var ErrOtherFile = fmt.Errorf("%w: it was rotated", errReplaced)

// Around reads what a stream wrote before and behind a place of its log, as Found tells it: before bytes and behind bytes at
// most, less where the file begins or ends there. In Docker's form, whose places are those of lines, behind begins with the
// whole line. The error is ErrOtherFile where the log is another file than id by now.
func Around(path string, id FileID, form Form, stream int, offset int64, before, behind int) (pre, post []byte, err error) {
	fd, st, err := openRead(path)
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(fd)
	if st.id != id {
		return nil, nil, ErrOtherFile
	}
	// A line of CRI's form may hold a byte of the program's, and the other stream's lines stand between.
	factor := 1
	if form != Raw {
		factor = 4
	}
	from := max(0, offset-int64(factor*before+stampMost))
	b := make([]byte, int(offset-from)+factor*behind+stampMost)
	n, err := fdReader(fd).ReadAt(b, from)
	if err != nil && err != io.EOF {
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	}
	b = b[:n]
	at := min(int(offset-from), len(b))
	if form == Raw {
		return bytes.Clone(b[max(0, at-before):at]), bytes.Clone(b[at:min(len(b), at+behind)]), nil
	}
	var scratch []byte
	if from > 0 { // the first line may have begun before
		k := bytes.IndexByte(b[:at], '\n') + 1
		b, at = b[k:], at-k
	}
	for pos := 0; pos < len(b) && len(post) < behind; {
		n, zeros := nextLine(b[pos:], true)
		e := entry{text: b[pos : pos+n]}
		if !zeros {
			e = payload(form, b[pos:pos+n], &scratch)
		}
		if e.stream == stream {
			cut := min(max(0, at-pos-e.skip), len(e.text))
			if form == Docker && pos >= at {
				cut = 0
			} else if form == Docker {
				cut = len(e.text)
			}
			pre = append(pre, e.text[:cut]...)
			post = append(post, e.text[cut:]...)
		}
		pos += n
	}
	return bytes.Clone(pre[max(0, len(pre)-before):]), post[:min(len(post), behind)], nil
}

// stampMost is more than stands in front of the text of a line of CRI's form.
const stampMost = 512
