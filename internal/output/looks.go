package output

import (
	"bytes"
	"encoding/hex"
	"math"
	"math/bits"
)

const previewBytes = 16

// magics are the starts of what is known by its first bytes. Those that are text stand in front of the span:
// they are added to it.
var magics = []struct {
	looksLike   string
	text, start string
}{
	{"gzip", "", "\x1f\x8b\x08"},
	{"zstd", "(", "\xb5\x2f\xfd"},
	{"xz", "", "\xfd7zXZ\x00"},
	{"zip", "PK", "\x03\x04"},
	{"zip", "PK", "\x01\x02"},
	{"PNG", "", "\x89PNG\r\n\x1a\n"},
	{"JPEG", "", "\xff\xd8\xff"},
	{"lz4", "", "\x04\x22\x4d\x18"},
	{"a pack of git", "PACK", "\x00\x00\x00\x02"},
	{"an archive of pg_dump", "PGDMP", "\x01"},
	{"GIF", "GIF89a", ""},
	{"GIF", "GIF87a", ""},
	{"Java class", "", "\xca\xfe\xba\xbe\x00\x00\x00"},
	{"WebAssembly", "", "\x00asm\x01\x00\x00\x00"},
	{"SQLite", "SQLite format 3", "\x00"},
}

// shape counts what tells one kind of garbage from another.
type shape struct {
	counted  int64 // bytes that the next three are of
	nuls     int64
	controls int64 // that no text has, without NUL
	high     int64 // from 0x80 on
	alt      int64 // bytes up to now of which every second one is NUL and the others are printable
	walked   int64 // bytes that the next are of
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
	s.walked++
	s.count(b, 1)
}

// sampleEach is of how many bytes one is counted in blocks that were only glanced at.
const sampleEach = 16

func (s *shape) sample(p []byte) {
	s.alt = 0
	for i := 0; i < len(p); i += sampleEach {
		s.count(p[i], sampleEach)
	}
}

func (s *shape) count(b byte, n int64) {
	s.counted += n
	switch {
	case b == 0:
		s.nuls += n
	case b >= 0x80:
		s.high += n
	case class[b] == hard:
		s.controls += n
	}
}

// span is what was found; the span before it ended at least.
func (m *spanInMaking) span(least int64) Span {
	s := Span{Offset: m.start, Length: m.end - m.start}
	s.Confidence = confidence(m.margin)
	head := m.head[:min(int64(m.nhead), s.Length)]
	text := m.before.bytes()
	text = text[max(0, len(text)-int(m.start-least)):]
	looksLike, back := m.looksLike(text, head, s.Length)
	s.LooksLike = looksLike
	s.Offset, s.Length = s.Offset-int64(back), s.Length+int64(back)
	start := append(text[len(text)-back:len(text):len(text)], head[:min(len(head), previewBytes)]...)
	s.Preview = hex.EncodeToString(start[:min(len(start), previewBytes)])
	return s
}

// confidence is 0.5 where garbage is just surely cheaper than text, 0.9 at thrice that, and nears 1.
func confidence(margin int32) float64 {
	x := float64(margin) / surely
	return math.Round(1000*(1-1/(1+x*x))) / 1000
}

// magic names what starts with head, behind text.
func magic(text, head []byte) (name string, back int) {
	for _, k := range magics {
		if bytes.HasPrefix(head, []byte(k.start)) && bytes.HasSuffix(text, []byte(k.text)) {
			return k.looksLike, len(k.text)
		}
	}
	return "", 0
}

// looksLike names what a span is that starts with head. Text of which so many bytes as it says belong to it
// stands in front.
func (m *spanInMaking) looksLike(text, head []byte, length int64) (name string, back int) {
	if name, back = magic(text, head); name != "" {
		return name, back
	}
	share := func(n int64) float64 { return float64(n) / float64(max(m.counted, 1)) }
	switch {
	case isELF(head):
		if isCore(head) {
			return "core dump (ELF)", 0
		}
		return "ELF", 0
	case isPython(head):
		return "Python bytecode", 0
	case share(m.nuls) > 0.95:
		return "NUL bytes", 0
	case m.alts*2 > m.walked, isUTF16(head):
		return "UTF-16", 0
	case repeats(head)*4 > len(head)*3:
		return "repeated bytes", 0
	case isTLS(head, length):
		return "TLS records", 0
	case isHTTP2(head, length):
		return "HTTP/2 frames", 0
	}
	if isGRPC(head, length) {
		return "gRPC messages", 0
	}
	if back, ok := isProtobuf(text, head); ok {
		return "protobuf", back
	}
	switch {
	case share(m.nuls) > 0.1:
		return "binary memory", 0
	case length >= 64 && share(m.nuls) < 0.03 && share(m.controls) > 0.04 && share(m.controls) < 0.16 && share(m.high) > 0.35 && share(m.high) < 0.65:
		return "random bytes", 0 // encrypted or compressed
	}
	return "binary data", 0
}

// isELF knows an ELF header: its class, its byte order and its version.
func isELF(b []byte) bool {
	return len(b) >= 4 && string(b[:4]) == "\x7fELF" &&
		(len(b) < 7 || (b[4] == 1 || b[4] == 2) && (b[5] == 1 || b[5] == 2) && b[6] == 1)
}

// isCore says of an ELF file whether its type is that of a core.
func isCore(b []byte) bool {
	return len(b) >= 18 && (b[5] == 1 && b[16] == 4 && b[17] == 0 || b[5] == 2 && b[16] == 0 && b[17] == 4)
}

// isPython knows the magic number of a .pyc, which ends in CR LF, and behind it flags that are 0 to 3.
func isPython(b []byte) bool {
	return len(b) >= 16 && b[2] == '\r' && b[3] == '\n' && (b[1] == 0x0c || b[1] == 0x0d || b[1] == 0x0e) && b[4] <= 3 && b[5]|b[6]|b[7] == 0
}

// isUTF16 knows text of which every second byte is the number of its alphabet: Cyrillic, Greek, Hebrew,
// Arabic. Behind a byte order mark all that is in use will do.
func isUTF16(b []byte) bool {
	if len(b) < 24 {
		return false
	}
	if bom := string(b[:2]); bom == "\xff\xfe" || bom == "\xfe\xff" {
		units, used := 0, 0
		for i := 2; i+1 < len(b); i += 2 {
			high := b[i]
			if bom == "\xff\xfe" {
				high = b[i+1]
			}
			units++
			if high <= 0x0e || high >= 0x20 && high <= 0x30 || high >= 0x4e && high <= 0x9f || high >= 0xac && high < 0xdc || high == 0xff {
				used++
			}
		}
		if units >= 12 && used*100 >= units*97 {
			return true
		}
	}
	for odd := range 2 {
		var n [16]int
		var lows [16]uint64 // one bit for four values
		units, spaces := 0, 0
		for i := odd; i+1 < len(b); i += 2 {
			high, low := b[i], b[i+1]
			units++
			switch {
			case high == 0 && low >= 0x20 && low < 0x7f:
				spaces++
			case high > 0 && int(high) < len(n) && low > 0:
				n[high]++
				lows[high] |= 1 << (low / 4)
			}
		}
		for high, count := range n {
			if count*10 >= units*5 && (count+spaces)*100 >= units*95 && spaces > 0 && bits.OnesCount64(lows[high]) >= 5 {
				return true
			}
		}
	}
	return false
}
