package output

import (
	"bytes"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// Form is how a log is written.
type Form string

// The forms.
const (
	Raw    Form = "raw"
	CRI    Form = "CRI"    // "2026-11-22T07:24:16.123456789Z stdout F text", P in place of F: the line goes on
	Docker Form = "Docker" // {"log":"text\n","stream":"stdout","time":"…"}
)

const (
	stampForm = "dddd-dd-ddTdd:dd:dd"
	formMost  = 128 << 10 // bytes of a first line that a form is told by; Docker's lines are 16 KiB, escaped up to 96
	lineMost  = 1 << 20   // bytes of a line in CRI's or Docker's form; what is behind is taken for a line of its own
)

// FormOf tells the form of a log by its beginning, of which a line or more should be there.
func FormOf(start []byte) Form {
	form, _ := formOf(start, true)
	return form
}

// formOf tells the form of a log by its beginning, and whether more of it cannot change that.
// Where all is there is says that nothing will follow.
func formOf(start []byte, all bool) (form Form, sure bool) {
	start = bytes.TrimLeft(start, "\x00") // a log that was cut under its writer
	line, _, whole := bytes.Cut(start, []byte("\n"))
	sure = all || whole || len(line) >= formMost
	switch {
	case len(line) == 0:
		return Raw, sure
	case line[0] == '{':
		if docker := []byte(`{"log":"`); !bytes.HasPrefix(line, docker) {
			return Raw, sure || !bytes.HasPrefix(docker, line)
		}
		if p, ok := parseDocker(line, nil); ok && p.stamp != nil {
			return Docker, true
		}
		return Raw, sure
	case !stamped(line):
		return Raw, true
	}
	if e, ok := parseCRI(line); ok {
		return CRI, sure || line[e.skip-1] == ' ' // else the tag may go on
	}
	return Raw, sure || len(line) > 64
}

// stamped says whether line begins as CRI's do, or is the start of such a beginning.
func stamped(line []byte) bool {
	for i := range min(len(line), len(stampForm)) {
		if c := line[i]; c != stampForm[i] && (stampForm[i] != 'd' || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// entry is a line of a log, taken apart.
type entry struct {
	text   []byte // that the program wrote
	skip   int    // where in the line it begins; 0 in Docker's form, where it is escaped
	stream int    // 0: stdout, 1: stderr
	stamp  []byte // time, as it stands there; nil: none
}

// payload takes a line apart. A line that has no such form is what it is: somebody else wrote it into the
// file. In Docker's form scratch holds the text.
func payload(form Form, line []byte, scratch *[]byte) entry {
	switch form {
	case CRI:
		if e, ok := parseCRI(line); ok {
			return e
		}
	case Docker:
		if e, ok := parseDocker(line, scratch); ok {
			return e
		}
	}
	return entry{text: line}
}

// parseCRI takes a line of CRI's form apart: stamp, stream, tags, text. The end of a line that goes on (P)
// is none of the text's.
func parseCRI(line []byte) (e entry, ok bool) {
	n := len(stampForm)
	if len(line) < n || !stamped(line) {
		return e, false
	}
	for n < len(line) && line[n] > ' ' { // fraction and zone
		n++
	}
	const tags = len(" stdout ")
	if len(line) < n+tags+1 {
		return e, false
	}
	switch string(line[n : n+tags]) {
	case " stdout ":
	case " stderr ":
		e.stream = 1
	default:
		return e, false
	}
	e.stamp = line[:n]
	n += tags
	partial := line[n] == 'P'
	if !partial && line[n] != 'F' {
		return e, false
	}
	n++
	if n < len(line) && line[n] == ':' { // more tags, none of which is in use
		for n < len(line) && line[n] > ' ' {
			n++
		}
	}
	switch {
	case n == len(line) || line[n] == '\n':
	case line[n] == ' ':
		n++
	default:
		return e, false
	}
	e.text, e.skip = line[n:], n
	if partial {
		e.text = bytes.TrimSuffix(e.text, []byte("\n"))
	}
	return e, true
}

// parseDocker takes a line of Docker's form apart. A text without a line's end is a part of a line.
// What Docker writes is read here; what others write in another order, by the library.
func parseDocker(line []byte, scratch *[]byte) (e entry, ok bool) {
	line = bytes.TrimRight(line, "\r\n")
	rest, ok := bytes.CutPrefix(line, []byte(`{"log":"`))
	if !ok {
		return dockerBySlow(line)
	}
	var own []byte
	if scratch == nil {
		scratch = &own
	}
	text, rest, ok := unquote((*scratch)[:0], rest)
	*scratch = text
	if !ok {
		return e, false
	}
	const stream = `,"stream":"std`
	if len(rest) < len(stream)+len(`out"}`) || string(rest[:len(stream)]) != stream || rest[len(rest)-1] != '}' {
		return dockerBySlow(line)
	}
	switch rest = rest[len(stream):]; string(rest[:4]) {
	case `out"`:
	case `err"`:
		e.stream = 1
	default:
		return dockerBySlow(line)
	}
	const stamp = `"time":"`
	if at := bytes.LastIndex(rest, []byte(stamp)); at >= 0 {
		e.stamp, _, _ = bytes.Cut(rest[at+len(stamp):], []byte(`"`))
	}
	e.text = text
	return e, true
}

func dockerBySlow(line []byte) (e entry, ok bool) {
	var d struct {
		Log    *string `json:"log"`
		Stream string  `json:"stream"`
		Time   string  `json:"time"`
	}
	if json.Unmarshal(line, &d) != nil || d.Log == nil {
		return e, false
	}
	e.text = []byte(*d.Log)
	if d.Stream == "stderr" {
		e.stream = 1
	}
	if d.Time != "" {
		e.stamp = []byte(d.Time)
	}
	return e, true
}

// unquote appends to dst what a JSON string holds, from behind its opening quote, and gives what follows its
// closing one. Bytes that JSON does not allow stay as they are: they are what is looked for.
func unquote(dst, s []byte) (text, rest []byte, ok bool) {
	quote := bytes.IndexByte(s, '"')
	for {
		if quote < 0 {
			return dst, s, false
		}
		at := bytes.IndexByte(s[:quote], '\\')
		if at < 0 {
			return append(dst, s[:quote]...), s[quote+1:], true
		}
		dst = append(dst, s[:at]...)
		n := 2
		switch c := s[at+1]; c { // s[quote] is behind at
		case 'n':
			dst = append(dst, '\n')
		case 't':
			dst = append(dst, '\t')
		case 'r':
			dst = append(dst, '\r')
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'u':
			r, ok := hex4(s[at+2:])
			if !ok {
				return dst, s, false
			}
			n = 6
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if bytes.HasPrefix(s[at+6:], []byte(`\u`)) {
					low, ok = hex4(s[at+8:])
				}
				if r = utf16.DecodeRune(r, low); ok && r != utf8.RuneError {
					n = 12
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			return dst, s, false
		}
		s = s[at+n:]
		if quote -= at + n; quote < 0 {
			quote = bytes.IndexByte(s, '"')
		}
	}
}

func hex4(s []byte) (r rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for _, c := range s[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// stampTime is the time that a line bears, the zero time where there is none.
func stampTime(stamp []byte) time.Time {
	t, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return time.Time{}
	}
	return t
}

// nextLine says how many bytes at the beginning of b belong together in CRI's and Docker's form: a line, what
// is cut off one that is too long, or NUL bytes before a line. 0: not yet known. Where all is set
// nothing will follow.
func nextLine(b []byte, all bool) (n int, zeros bool) {
	if len(b) == 0 {
		return 0, false
	}
	if b[0] == 0 {
		return leadingZeros(b), true
	}
	if i := bytes.IndexByte(b[:min(len(b), lineMost)], '\n'); i >= 0 {
		return i + 1, false
	}
	switch {
	case len(b) >= lineMost:
		return lineMost, false
	case all:
		return len(b), false
	}
	return 0, false
}

var someZeros [4096]byte

// leadingZeros counts the NUL bytes that b begins with.
func leadingZeros(b []byte) int {
	n := 0
	for len(b)-n >= len(someZeros) && bytes.Equal(b[n:n+len(someZeros)], someZeros[:]) {
		n += len(someZeros)
	}
	for n < len(b) && b[n] == 0 {
		n++
	}
	return n
}
