package output

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
)

const previewBytes = 16

// magics are the starts of what is known by its first bytes.
var magics = []struct {
	looksLike string
	start     string
}{
	{"ELF", "\x7fELF"},
	{"gzip", "\x1f\x8b\x08"},
	{"PNG", "\x89PNG\r\n\x1a\n"},
	{"zip", "\x03\x04"}, // behind "PK", which is text
	{"zstd", "\xb5\x2f\xfd"},
	{"UTF-16", "\xff\xfe"},
	{"UTF-16", "\xfe\xff"},
}

// shape counts what tells one kind of garbage from another.
type shape struct {
	nuls     int64
	controls int64 // that no text has, without NUL
	high     int64 // from 0x80 on
	alt      int64 // bytes up to now of which every second one is NUL and the others are printable
	alts     int64 // bytes in such stretches of altLeast and more: UTF-16
	last     byte
}

const altLeast = 16 // so many bytes of letters and NULs in turn are UTF-16

func (s *shape) add(b byte) {
	printable := b >= 0x20 && b < 0x7f || b == '\n' || b == '\r' || b == '\t'
	switch {
	case b == 0 && s.last == 0, b != 0 && s.last != 0, b != 0 && !printable:
		s.alt = 0
	default:
		if s.alt++; s.alt == altLeast {
			s.alts += altLeast
		} else if s.alt > altLeast {
			s.alts++
		}
	}
	s.last = b
	switch {
	case b == 0:
		s.nuls++
	case b >= 0x80:
		s.high++
	case class[b] == hard:
		s.controls++
	}
}

// span is what was found.
func (m *spanInMaking) span() Span {
	s := Span{Offset: m.start, Length: m.end - m.start}
	s.Confidence = confidence(m.margin)
	head := m.head[:min(int64(m.nhead), s.Length)]
	s.LooksLike = m.looksLike(head, s.Length)
	if s.LooksLike == "zstd" { // its first byte is a parenthesis
		s.Offset, s.Length = s.Offset-1, s.Length+1
		head = append([]byte{m.before}, head...)
	}
	s.Preview = hex.EncodeToString(head[:min(len(head), previewBytes)])
	return s
}

// confidence is 0.5 where garbage is just surely cheaper than text, 0.9 at thrice that, and nears 1.
func confidence(margin int32) float64 {
	x := float64(margin) / surely
	return math.Round(1000*(1-1/(1+x*x))) / 1000
}

func (m *spanInMaking) looksLike(head []byte, length int64) string {
	for _, k := range magics {
		if bytes.HasPrefix(head, []byte(k.start)) && (k.looksLike != "zstd" || m.before == '(') && (k.looksLike != "zip" || m.before == 'K') {
			return k.looksLike
		}
	}
	share := func(n int64) float64 { return float64(n) / float64(length) }
	switch {
	case share(m.nuls) > 0.95:
		return "NUL bytes"
	case share(m.alts) > 0.5:
		return "UTF-16"
	case isTLS(head):
		return "TLS records"
	case isHTTP2(head):
		return "HTTP/2 frames"
	case share(m.nuls) > 0.1:
		return "binary memory"
	case length >= 64 && share(m.nuls) < 0.03 && share(m.controls) > 0.04 && share(m.controls) < 0.16 && share(m.high) > 0.35 && share(m.high) < 0.65:
		return "random bytes" // encrypted or compressed
	}
	return "binary data"
}

// isTLS knows the header of a record: type, version 3.1 to 3.4, a length that is allowed.
func isTLS(b []byte) bool {
	return len(b) >= 5 && b[0] >= 20 && b[0] <= 23 && b[1] == 3 && b[2] <= 4 &&
		binary.BigEndian.Uint16(b[3:]) > 0 && binary.BigEndian.Uint16(b[3:]) <= 1<<14+2048
}

// isHTTP2 knows a SETTINGS frame, with which every connection starts: a length in sixes, no flags
// but ACK, stream 0.
func isHTTP2(b []byte) bool {
	if len(b) < 9 || b[0] != 0 || b[3] != 4 || b[4] > 1 || binary.BigEndian.Uint32(b[5:]) != 0 {
		return false
	}
	n := int(b[1])<<8 | int(b[2])
	return n%6 == 0 && n <= 6*64 && (b[4] == 0 || n == 0)
}
