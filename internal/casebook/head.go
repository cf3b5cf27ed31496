package casebook

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sys/unix"
)

// A list needs the head of a case and its core's fingerprint; in the form that Put writes, the first stands before
// the timeline, and the second at the end. Of a file in any other form, or a damaged one, all is read.

const (
	headBytes = 4 << 10 // read at first; a longer head is read whole
	headMost  = 256 << 10
	tailBytes = 4 << 10 // likewise, from the end
	tailMost  = 1 << 20
)

// beforeCore are the members one of which is the last where there is no core, but for those afterCore.
var (
	beforeCore = []string{"timeline", "counters", "coverage", "fdTable", "lastOutput"}
	afterCore  = []string{"more", "withdrawnAt", "limit"}
)

var errHead = errors.New("not in the form that Put writes")

// head is the beginning of a case, as far as lists show it.
type head struct {
	ID       string
	Kind     evidence.CaseKind
	OpenedAt time.Time
	Subject  struct {
		Namespace   string   `json:"namespace"`
		Pod         string   `json:"pod"`
		Container   string   `json:"container"`
		ContainerID string   `json:"containerID"`
		Unit        string   `json:"unit"`
		Command     []string `json:"command"`
	}
	Death    *evidence.Death
	Findings []struct {
		Cause      string              `json:"cause"`
		Confidence evidence.Confidence `json:"confidence"`
		Title      string              `json:"title"`
		Summary    string              `json:"summary"`
	}
}

// quickReader has the memory to read many.
type quickReader struct {
	dec  *jsontext.Decoder
	tail []byte
}

func newQuickReader() *quickReader {
	return &quickReader{dec: jsontext.NewDecoder(strings.NewReader(""))}
}

// entryOf reads what a list shows of a case.
func (b *Book) entryOf(name string, q *quickReader) (Entry, error) {
	e, err := b.quick(name, q)
	if !errors.Is(err, errHead) {
		return e, err
	}
	c, err := b.read(name)
	if err != nil {
		return Entry{}, err
	}
	return entry(c), nil
}

// quick reads both ends of the file alone. The error is errHead where that is not enough.
func (b *Book) quick(name string, q *quickReader) (Entry, error) {
	f, err := os.OpenFile(filepath.Join(b.dir, name), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return Entry{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Entry{}, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return Entry{}, errHead
	}
	var tail Entry
	if q.readTail(f, st.Size(), &tail) != nil {
		return Entry{}, errHead
	}
	h, err := q.readHead(io.NewSectionReader(f, 0, min(st.Size(), headMost)))
	if err != nil {
		return Entry{}, errHead
	}
	if h.ID != strings.TrimSuffix(name, suffix) || h.Kind == "" {
		return Entry{}, errHead
	}
	e := h.entry()
	e.Fingerprint, e.WithdrawnAt = tail.Fingerprint, tail.WithdrawnAt
	return e, nil
}

// readTail checks that the file ends as a case does, and puts into e what stands there: the fingerprint of its core,
// and when a warning was withdrawn.
func (q *quickReader) readTail(f io.ReaderAt, size int64, e *Entry) error {
	for n := int64(tailBytes); ; n *= 4 {
		if int64(cap(q.tail)) < min(n, size) {
			q.tail = make([]byte, min(n, size))
		}
		tail := q.tail[:min(n, size)]
		if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil || !bytes.HasSuffix(tail, []byte("\n}\n")) {
			return errHead // torn
		}
		// Within strings of JSON there are no line ends: a line that begins so is a member of the case itself.
		at, rest, name := 0, tail, ""
		for {
			if at = lastMember(rest); at < 0 {
				break
			}
			if name = memberName(rest[at:]); !slices.Contains(afterCore, name) {
				break
			}
			if name == "withdrawnAt" {
				if err := member(tail[at:], &e.WithdrawnAt); err != nil {
					return err
				}
			}
			rest = rest[:at]
		}
		switch {
		case at < 0 && int64(len(tail)) < size && n < tailMost:
			continue
		case name == "core" && at >= 0:
			var c struct {
				Fingerprint string `json:"fingerprint"`
			}
			if err := member(tail[at:], &c); err != nil {
				return err
			}
			e.Fingerprint = c.Fingerprint
			return nil
		case at < 0 || !slices.Contains(beforeCore, name):
			return errHead // of another version
		}
		return nil
	}
}

// memberName is the name of the member that b begins with, behind a line's end.
func memberName(b []byte) string {
	_, b, _ = bytes.Cut(b, []byte{'"'})
	name, _, _ := bytes.Cut(b, []byte{'"'})
	return string(name)
}

// member reads the value of the member that b begins with.
func member(b []byte, into any) error {
	_, b, ok := bytes.Cut(b, []byte("\": "))
	if !ok {
		return errHead
	}
	return json.UnmarshalDecode(jsontext.NewDecoder(bytes.NewReader(b)), into)
}

// lastMember is where the last line begins that begins a member of the case, -1 where none does. The search goes
// forward since that is the quick direction.
func lastMember(b []byte) int {
	for at := -1; ; {
		i := bytes.Index(b[at+1:], []byte("\n  \""))
		if i < 0 {
			return at
		}
		at += 1 + i
	}
}

// readHead reads members up to the findings.
func (q *quickReader) readHead(r io.Reader) (*head, error) {
	d := q.dec
	d.Reset(&little{r})
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, errHead
	}
	h := new(head)
	for {
		t, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		if t.Kind() == '}' {
			return h, nil
		}
		var into any
		switch t.String() {
		case "id":
			into = &h.ID
		case "kind":
			into = &h.Kind
		case "openedAt":
			into = &h.OpenedAt
		case "subject":
			into = &h.Subject
		case "death":
			into = &h.Death
		case "findings":
			return h, json.UnmarshalDecode(d, &h.Findings)
		}
		if into == nil {
			err = d.SkipValue()
		} else {
			err = json.UnmarshalDecode(d, into)
		}
		if err != nil {
			return nil, err
		}
	}
}

// little reads little at once: most heads are short.
type little struct{ r io.Reader }

func (l *little) Read(p []byte) (int, error) { return l.r.Read(p[:min(len(p), headBytes)]) }

func (h *head) entry() Entry {
	s := &h.Subject
	e := Entry{ID: h.ID, OpenedAt: h.OpenedAt, Kind: h.Kind, Command: s.Command,
		Namespace: s.Namespace, Pod: s.Pod, Container: s.Container, ContainerID: s.ContainerID, Unit: s.Unit}
	if len(h.Findings) > 0 {
		first := &h.Findings[0]
		e.Cause, e.Confidence, e.Title, e.Summary = first.Cause, first.Confidence, first.Title, first.Summary
	}
	if d := h.Death; d != nil {
		e.ExitCode, e.Signal, e.Comm, e.NotStarted, e.DiedAt = d.ExitCode, d.Signal, d.Comm, d.NotStarted, d.At
	}
	return e
}
