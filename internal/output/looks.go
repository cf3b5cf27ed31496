package output

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
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

// span is what the evidence amounts to.
func (e *evidenceOfGarbage) span() Span {
	s := Span{Offset: e.start, Length: e.end - e.start}
	head := e.head[:min(int64(e.nhead), s.Length)]
	s.LooksLike = e.looksLike(head, s.Length)
	if s.LooksLike == "zstd" { // its first byte is a parenthesis
		s.Offset, s.Length = s.Offset-1, s.Length+1
		head = append([]byte{e.before}, head...)
	}
	s.Preview = hex.EncodeToString(head[:min(len(head), previewBytes)])
	return s
}

func (e *evidenceOfGarbage) looksLike(head []byte, length int64) string {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.start)) && (m.looksLike != "zstd" || e.before == '(') && (m.looksLike != "zip" || e.before == 'K') {
			return m.looksLike
		}
	}
	share := func(n int64) float64 { return float64(n) / float64(length) }
	switch {
	case share(e.nuls) > 0.95:
		return "NUL bytes"
	case share(e.alts) > 0.5:
		return "UTF-16"
	case isTLS(head):
		return "TLS records"
	case isHTTP2(head):
		return "HTTP/2 frames"
	case share(e.nuls) > 0.1:
		return "binary memory"
	case length >= 64 && share(e.nuls) < 0.03 && share(e.controls) > 0.04 && share(e.controls) < 0.16 && share(e.high) > 0.35 && share(e.high) < 0.62:
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
