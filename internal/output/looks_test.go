package output

import (
	"encoding/binary"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unsafe"
)

func h2(kind, flags byte, stream uint32, payload string) string {
	n := len(payload)
	b := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}
	return string(binary.BigEndian.AppendUint32(b, stream)) + payload
}

func tlsRecord(kind byte, payload []byte) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(len(payload)))) + string(payload)
}

func field(number int, s string) string {
	return string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number<<3|2)), uint64(len(s)))) + s
}

// anOrder is a message of protobuf: strings, numbers, a message in it.
func anOrder() string {
	item := field(1, "a book") + "\x10\x03" + field(3, "9783161484100")
	return field(1, "order-8812") + "\x10\xac\x02" + field(3, "ada@example.org") + field(4, item) + field(4, item) + field(5, "Stra\xc3\x9fe 7, Berlin") + "\x31\x00\x00\x00\x00\x00\x00\xf0\x3f"
}

func grpc(m string) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m)))) + m
}

func wide(s string, bo binary.AppendByteOrder) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = bo.AppendUint16(b, u)
	}
	return string(b)
}

func elfHeader(kind byte) string {
	h := make([]byte, 64)
	copy(h, "\x7fELF\x02\x01\x01")
	h[16], h[18], h[20], h[52] = kind, 62, 1, 64
	return string(h) + string(structures())
}

var looks = map[string]struct{ bytes, like string }{
	"ELF":                  {elfHeader(3), "ELF"},
	"core":                 {elfHeader(4), "core dump (ELF)"},
	"gzip":                 {"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + string(random(200, 1)), "gzip"},
	"zstd":                 {"(\xb5\x2f\xfd\x04\x00" + string(random(200, 2)), "zstd"},
	"xz":                   {"\xfd7zXZ\x00\x00\x04" + string(random(200, 3)), "xz"},
	"zip":                  {"PK\x03\x04\x14\x00\x00\x00\x08\x00" + string(random(200, 4)), "zip"},
	"lz4":                  {"\x04\x22\x4d\x18\x64\x40" + string(random(200, 12)), "lz4"},
	"a pack of git":        {"PACK\x00\x00\x00\x02\x00\x00\x02\x01" + string(random(200, 13)), "a pack of git"},
	"a dump of PostgreSQL": {"PGDMP\x01\x0e\x00\x04\x08\x01\x01\x01\x00\x00\x00\x00" + string(random(200, 14)), "an archive of pg_dump"},
	"PNG":                  {"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10\x00\x00\x00\x10\x08\x06\x00\x00\x00" + string(random(100, 5)), "PNG"},
	"JPEG":                 {"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + string(random(100, 6)), "JPEG"},
	"GIF":                  {"GIF89a\xd0\x00\r\x00\xc4\x00\x00\xfb\xfb\xfb\xf7\xf7\xf7\xf3\xf3\xf3\xef\xef\xef\xea\xea\xea", "GIF"},
	"Java class":           {"\xca\xfe\xba\xbe\x00\x00\x00\x3d\x00\x1e\x0a\x00\x02\x00\x03\x07\x00\x04\x0c\x00\x05\x00\x06\x01\x00\x10java/lang/Object", "Java class"},
	"NUL":                  {string(make([]byte, 300)), "NUL bytes"},
	"TLS, handshake":       {tlsRecord(22, random(300, 7)) + tlsRecord(20, []byte{1}) + tlsRecord(23, random(80, 8)), "TLS records"},
	"TLS, data":            {tlsRecord(23, random(100, 9)) + tlsRecord(23, random(900, 10)), "TLS records"},
	"HTTP/2, SETTINGS":     {h2(4, 0, 0, "\x00\x03\x00\x00\x00\x80") + h2(8, 0, 0, "\x00\x01\x00\x00"), "HTTP/2 frames"},
	"HTTP/2, HEADERS":      {h2(1, 4, 5, "\x88\x76\x89\xaa\x63\x55\xe5\x80\xae\x17\x97\x07\x61\x96\xdc\x34\xfd\x28") + h2(0, 1, 5, string(random(120, 11))) + h2(1, 5, 7, "\x88\xc1\xc0\xbf\xbe\x0f\x0d\x01\x34"), "HTTP/2 frames"},
	"HTTP/2, DATA of text": {h2(0, 0, 1, "")[:2] + "\x64\x00\x00\x00\x00\x00\x01" + strings.Repeat("all of this is text ", 5), "HTTP/2 frames"},
	"gRPC":                 {grpc(anOrder()) + grpc(anOrder()), "gRPC messages"},
	"gRPC in HTTP/2":       {h2(0, 0, 1, grpc(anOrder())), "HTTP/2 frames"},
	"protobuf":             {anOrder(), "protobuf"},
	"UTF-16":               {wide("an error that Windows wrote, in its own way", binary.LittleEndian), "UTF-16"},
	"UTF-16, big":          {wide("an error that Windows wrote, in its own way", binary.BigEndian), "UTF-16"},
	"UTF-16, Russian":      {wide("ошибка: файл не найден, проверьте путь и права доступа", binary.LittleEndian), "UTF-16"},
	"UTF-16, Chinese":      {"\xff\xfe" + wide("错误：打开的文件过多，请检查系统的限制，然后重新启动服务程序", binary.LittleEndian), "UTF-16"},
	"encrypted":            {"\x80" + string(random(600, 12)) + "\x80", "random bytes"},
	"memory":               {string(structures()), "binary memory"},
}

func TestLooksLike(t *testing.T) {
	for name, c := range looks {
		for around, before := range map[string]string{"in a log": calm, "after a line": "INFO ok\n", "": ""} {
			if name == "protobuf" && before != calm { // most of it is text: it takes a log that is known
				continue
			}
			got := spans([]byte(before + c.bytes + "\n" + calm[:1000]))
			if len(got) == 0 || got[0].LooksLike != c.like {
				t.Errorf("%s %s: %+v", name, around, got)
				continue
			}
			if lo, hi := int64(len(before)), int64(len(before)+len(c.bytes)); got[0].Offset < lo-1 || got[0].Offset > lo+12 || got[0].Offset+got[0].Length > hi+1 {
				t.Errorf("%s %s: %+v, it is from %d to %d", name, around, got[0], lo, hi)
			}
		}
	}
}

// What is like them and is not goes by a general name.
func TestNotSure(t *testing.T) {
	general := []string{"binary memory", "binary data", "random bytes", "NUL bytes"}
	r := rand.New(rand.NewSource(20))
	wrong, tried := map[string]int{}, 0
	for i := range 4000 {
		var p []byte
		switch i % 4 {
		case 0: // a piece of what is packed
			p = random(64+r.Intn(400), int64(i))
		case 1: // numbers of 4 bytes
			for range 40 {
				p = binary.LittleEndian.AppendUint32(p, uint32(r.Intn(300)))
			}
		case 2: // and of 2, big-endian
			for range 80 {
				p = binary.BigEndian.AppendUint16(p, uint16(r.Intn(40)))
			}
		case 3:
			s := structures()
			at := r.Intn(len(s) / 2)
			p = s[at : at+200]
		}
		for _, s := range spans([]byte(calm[:200] + string(p) + calm[:200])) {
			tried++
			if !slices.Contains(general, s.LooksLike) {
				wrong[s.LooksLike]++
			}
		}
	}
	sum := 0
	for _, n := range wrong {
		sum += n
	}
	if sum*200 > tried {
		t.Errorf("%d of %d are called %v", sum, tried, wrong)
	}
}

// Long garbage is only glanced at; where text begins again it is noticed all the same.
func TestGlances(t *testing.T) {
	long := string(random(300<<10, 21))
	for name, text := range map[string]string{
		"ASCII": calm[:2000], "colours": strings.Repeat("\x1b[31merror\x1b[0m \a\n", 60), "Russian": strings.Repeat("ошибка: файл не найден\n", 40),
		"Shift-JIS": strings.Repeat(texts["Shift-JIS"], 3),
	} {
		got := spans([]byte(calm + long + "\n" + text + long + "\n" + calm))
		if len(got) < 2 || len(got) > 6 {
			t.Errorf("%s: %d spans", name, len(got))
			continue
		}
		lo, hi := int64(len(calm)+len(long)), int64(len(calm)+len(long)+1+len(text))
		for _, s := range got {
			if s.Offset < lo-600 && s.Offset+s.Length > lo+600 || s.Offset > lo+600 && s.Offset < hi-600 {
				t.Errorf("%s from %d to %d: %+v", name, lo, hi, s)
			}
		}
		if first := got[0]; first.Offset < int64(len(calm))-16 || first.LooksLike != "random bytes" {
			t.Errorf("%s: %+v", name, first)
		}
	}
}

// The state of a Judge is all that it keeps, and honest text makes it allocate nothing.
func TestAllocatesNothing(t *testing.T) {
	var j Judge
	text := []byte(calm + strings.Repeat("ошибка: файл не найден — 错误：打开的文件过多\n", 100) + strings.Repeat(texts["Latin-1"], 2))
	if n := testing.AllocsPerRun(20, func() { j.Write(nil, text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	garbage := random(1<<20, 22)
	j.Write(nil, garbage[:4096])
	if n := testing.AllocsPerRun(5, func() { j.Write(nil, garbage) }); n != 0 {
		t.Errorf("%v allocations while garbage goes on", n)
	}
	if n := unsafe.Sizeof(j); n > 3<<10 {
		t.Errorf("a Judge takes %d bytes", n)
	}
}
