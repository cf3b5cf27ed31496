package output

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

func spans(b []byte) []Span {
	var j Judge
	return j.Flush(j.Write(nil, b))
}

// Encodings that are in use and that no library is needed for: the bytes are written out.
var texts = map[string]string{
	"ASCII":           "INFO 2026-11-22 checkout 8812 ok\n",
	"German, UTF-8":   "Fehler: Gerät antwortet nicht – „Zeitüberschreitung“\n",
	"Russian, UTF-8":  "ошибка: файл не найден\n",
	"Chinese, UTF-8":  "错误：打开的文件过多\n",
	"Thai, UTF-8":     "ข้อผิดพลาด: ไม่พบไฟล์\n",
	"Arabic, UTF-8":   "خطأ: الملف غير موجود\n",
	"emoji":           "✅ done 👩‍👩‍👧‍👦 🇩🇪 \n",
	"colours":         "\x1b[1;31merror\x1b[0m: \x1b[38;2;10;20;30mno\x1b[m\x1b[K \x1b]0;title\x07\n",
	"prompt":          "\x01\x1b[32m\x02$ \x01\x1b[0m\x02ls\n",
	"progress":        "\r 10% [=>        ]\r 20% [==>       ]\b\b\b 30%\n",
	"box drawing":     "┌──┬──┐\n│ab│cd│\n└──┴──┘\n",
	"VT100 lines":     "\x1b(0lqqk\x1b(B \x0elqqqk\x0f\n",
	"tabs, form feed": "a\tb\vc\f\n",
	"JSON":            `{"level":"info","msg":"héllo\u0000","t":1.5e9}` + "\n",
	"JSON sequence":   "\x1e{\"a\":1}\n\x1e{\"b\":2}\n\x1e{\"c\":3}\n\x1e{\"a\":1}\n\x1e{\"b\":2}\n\x1e{\"c\":3}\n",
	"FIX":             strings.Repeat("8=FIX.4.2\x019=65\x0135=A\x0149=S\x0156=T\x0134=1\x0152=20261122-07:24:16\x0198=0\x01108=30\x0110=062\x01\n", 5),
	"environment":     "PATH=/usr/bin\x00HOME=/root\x00LANG=C\x00TERM=xterm\x00A=1\x00B=2\x00",
	"find -print0":    strings.Repeat("./a/b.go\x00./c.go\x00", 50),
	"Latin-1":         strings.Repeat("Der Zugriff wurde verweigert: \xfcberpr\xfcfen Sie \xd6ffnung \xa7 4, gr\xfc\xdfe\n", 20),
	"Latin-1, French": strings.Repeat("\xe9t\xe9 d\xe9\xe7u \xe0 No\xebl, co\xfbt \xab 3 \xb0 \xbb\n", 20),
	"CP1251":          strings.Repeat("\xee\xf8\xe8\xe1\xea\xe0: \xf4\xe0\xe9\xeb \xed\xe5 \xed\xe0\xe9\xe4\xe5\xed\n", 20),
	"KOI8-R":          strings.Repeat("\xcf\xdb\xc9\xc2\xcb\xc1: \xc6\xc1\xca\xcc \xce\xc5 \xce\xc1\xca\xc4\xc5\xce\n", 20),
	"Shift-JIS":       strings.Repeat("\x83\x47\x83\x89\x81\x5b\x82\xaa\x94\xad\x90\xb6\x82\xb5\x82\xdc\x82\xb5\x82\xbd\n", 20),
	"EUC-JP":          strings.Repeat("\xa5\xa8\xa5\xe9\xa1\xbc\xa4\xac\xc8\xaf\xc0\xb8\xa4\xb7\xa4\xde\xa4\xb7\xa4\xbf\n", 20),
	"ISO-2022-JP":     strings.Repeat("\x1b$B%(%i!<$,H/@8$7$^$7$?\x1b(B\n", 20),
	"ISO-2022-KR":     strings.Repeat("\x1b$)C\x0e?@7y\x0f error\n", 20),
	"GBK":             strings.Repeat("\xb4\xed\xce\xf3\xa3\xba\xb4\xf2\xbf\xaa\xb5\xc4\xce\xc4\xbc\xfe\xb9\xfd\xb6\xe0\n", 20),
	"EUC-KR":          strings.Repeat("\xbf\xc0\xb7\xf9: \xc6\xc4\xc0\xcf\xc0\xbb \xc3\xa3\xc0\xbb \xbc\xf6 \xbe\xf8\xbd\xc0\xb4\xcf\xb4\xd9\n", 20),
	"Big5":            strings.Repeat("\xbf\xf9\xbb\x7e\xa1\x47\xb6\x7d\xb1\xd2\xaa\xba\xc0\xc9\xae\xd7\xb9\x4c\xa6\x68\n", 20),
	"one stray":       "a line with a \x00 in it\nand a \x03 here\nand a broken \xe2\x82 one\n",
	"cut UTF-8":       "ends in the middle \xe2\x82",
	"long line":       strings.Repeat("x", 1<<20) + "\n",
	"base64":          base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0, 1, 2, 250}, 5000)) + "\n",
}

func TestText(t *testing.T) {
	for name, s := range texts {
		if got := spans([]byte(s)); len(got) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// In one order, apart: stray controls of other kinds right before a line that is parted by controls are a
	// doubtful case.
	var all []byte
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		all = append(all, texts[name]+strings.Repeat("INFO 2026-11-22 checkout 8812 ok\n", 5)...)
	}
	if got := spans(all); len(got) != 0 {
		t.Errorf("all in a row: %+v", got)
	}
}

func random(n int, seed int64) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

func tlsBytes(t *testing.T) []byte {
	a, b := net.Pipe()
	go tls.Client(a, &tls.Config{ServerName: "example.org"}).Handshake()
	buf := make([]byte, 16<<10)
	n, err := b.Read(buf)
	b.Close()
	a.Close()
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func gzipped(t *testing.T) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, strings.Repeat("INFO checkout ok\n", 10)+string(random(500, 3)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// structures are what lies in memory: small numbers, pointers, names in buffers.
func structures() []byte {
	var b bytes.Buffer
	r := rand.New(rand.NewSource(5))
	for i := range 20 {
		binary.Write(&b, binary.LittleEndian, []uint64{0x7f3a00004e00 + uint64(r.Intn(1<<20))*16, 0x55d0c0de0000 + uint64(r.Intn(1<<16)), uint64(i), uint64(r.Intn(5000))})
		var name [24]byte
		copy(name[:], fmt.Sprintf("connection-%d", i))
		b.Write(name[:])
		binary.Write(&b, binary.LittleEndian, []int32{int32(i), -1, 443, int32(r.Uint32())})
	}
	return b.Bytes()
}

func utf16le(s string) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func TestGarbage(t *testing.T) {
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	before, after := "2026-11-22 07:24:16 INFO checkout 8812 ok\n", "\n2026-11-22 07:24:17 INFO checkout 8813 ok, and on it goes as before, for a while\n"
	for name, c := range map[string]struct {
		b    []byte
		like string
		some bool // the figures of a piece need not be exact
	}{
		"NUL bytes":       {make([]byte, 300), "NUL bytes", false},
		"random":          {append([]byte{0x80}, append(random(800, 1), 0x80)...), "random bytes", false},
		"64 random":       {append([]byte{0x80}, append(random(62, 4), 0x80)...), "", true},
		"TLS":             {tlsBytes(t), "TLS records", true},
		"gzip":            {gzipped(t), "gzip", true},
		"ELF":             {exe[:4096], "ELF", true},
		"code":            {exe[len(exe)/3 : len(exe)/3+2000], "", true},
		"structures":      {structures(), "binary memory", true},
		"UTF-16":          {append(utf16le("an error that Windows wrote, in its own way"), 0), "UTF-16", true},
		"HTTP/2 settings": {append([]byte("\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64\x00\x04\x40\x00\x00\x00\x00\x02\x00\x00\x00\x00"), "\x00\x00\x04\x08\x00\x00\x00\x00\x00\x3e\x7f\x00\x01"...), "HTTP/2 frames", true},
		"pointers":        {bytes.Repeat([]byte{0x00, 0x4e, 0xf3, 0x7f, 0, 0, 0x41, 0x10}, 8), "binary memory", true},
	} {
		got := spans([]byte(before + string(c.b) + after))
		if len(got) == 0 {
			t.Errorf("%s: nothing found", name)
			continue
		}
		var length int64
		for _, s := range got {
			length += s.Length
		}
		first := got[0]
		if c.like != "" && first.LooksLike != c.like {
			t.Errorf("%s: looks like %q", name, first.LooksLike)
		}
		lo, hi := int64(len(before)), int64(len(before)+len(c.b))
		last := got[len(got)-1]
		if first.Offset < lo || last.Offset+last.Length > hi {
			t.Errorf("%s: %+v beyond %d to %d", name, got, lo, hi)
		}
		if !c.some && (len(got) != 1 || first.Offset != lo || length != hi-lo) {
			t.Errorf("%s: %+v, want all from %d to %d", name, got, lo, hi)
		}
		if c.some && length*10 < int64(len(c.b))*7 {
			t.Errorf("%s: %d of %d bytes found", name, length, len(c.b))
		}
		at := before + string(c.b) + after
		if want := fmt.Sprintf("%x", at[first.Offset:first.Offset+min(16, first.Length)]); first.Preview != want {
			t.Errorf("%s: preview %s, want %s", name, first.Preview, want)
		}
	}
}

// Memory of a real process, as a program with a wild pointer would print it.
func TestProcessMemory(t *testing.T) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	tried := 0
	for line := range strings.Lines(string(maps)) {
		var lo, hi int64
		if !strings.Contains(line, "rw-p") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &lo, &hi); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		if _, err := mem.ReadAt(b, lo); err != nil || bytes.Count(b, []byte{0}) == len(b) {
			continue
		}
		tried++
		if got := spans(b); len(got) == 0 {
			t.Errorf("%s: no span in %.64q", line, b)
		}
	}
	if tried == 0 {
		t.Error("no memory was read")
	}
}

func TestCuttingMakesNoDifference(t *testing.T) {
	var stream []byte
	parts := [][]byte{random(200, 7), structures(), gzipped(t), make([]byte, 50), utf16le("some text of two bytes"), random(20, 8)}
	r := rand.New(rand.NewSource(9))
	for _, name := range slices.Sorted(maps.Keys(texts)) { // in order, so that every run cuts the same stream
		if name != "long line" {
			stream = append(stream, texts[name]...)
		}
		stream = append(stream, parts[r.Intn(len(parts))]...)
	}
	want := spans(stream)
	if len(want) < 10 {
		t.Fatalf("%d spans", len(want))
	}
	for size := 1; size < 70; size++ {
		var j Judge
		var got []Span
		for i := 0; i < len(stream); i += size {
			got = j.Write(got, stream[i:min(len(stream), i+size)])
		}
		if got = j.Flush(got); !reflect.DeepEqual(got, want) {
			t.Fatalf("in pieces of %d: %+v, want %+v", size, got, want)
		}
	}
}

func TestCurrent(t *testing.T) {
	var j Judge
	j.Write(nil, []byte("hello\n"))
	if s, ok := j.Current(); ok {
		t.Errorf("of text: %+v", s)
	}
	if got := j.Write(nil, make([]byte, 100)); len(got) != 0 {
		t.Errorf("a span that may go on has ended: %+v", got)
	}
	if s, ok := j.Current(); !ok || s.Offset != 6 || s.Length != 100 || s.LooksLike != "NUL bytes" {
		t.Errorf("%+v, %v", s, ok)
	}
}

// All text that this machine has: translations in every language, manual pages, documentation.
func TestTextOfThisMachine(t *testing.T) {
	files, bytes := 0, 0
	check := func(path, what string, b []byte) {
		bytes += len(b)
		if got := spans(b); len(got) > 0 {
			s := got[0]
			t.Errorf("%s%s: %+v in %.80q", path, what, s, b[max(0, s.Offset-20):])
		}
	}
	walk := func(root string, limit int, each func(path string, b []byte)) {
		n := 0
		filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			if n++; n > limit {
				return fs.SkipAll
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			if strings.HasSuffix(path, ".gz") {
				z, err := gzip.NewReader(strings.NewReader(string(b)))
				if err != nil {
					return nil
				}
				if b, err = io.ReadAll(z); err != nil {
					return nil
				}
				path = strings.TrimSuffix(path, ".gz")
			}
			files++
			each(path, b)
			return nil
		})
	}
	limit := 5000
	if testing.Short() {
		limit = 500
	}
	walk("/usr/share/locale", limit, func(path string, b []byte) {
		if strings.HasSuffix(path, ".mo") {
			check(path, "", catalogue(b))
		}
	})
	walk("/usr/share/man", limit, func(path string, b []byte) { check(path, "", b) })
	walk("/usr/share/doc", limit, func(path string, b []byte) {
		switch filepath.Ext(path) {
		case "", ".txt", ".md", ".html", ".Debian", ".rst", ".xml", ".c", ".h", ".py", ".sh", ".conf":
			check(path, "", b)
		}
	})
	if files == 0 {
		t.Skip("needs translations, manual pages or documentation under /usr/share")
	}
	t.Logf("%d files, %d bytes", files, bytes)
}

// catalogue gives the messages of a gettext file, one behind the other.
func catalogue(b []byte) (out []byte) {
	if len(b) < 28 || binary.LittleEndian.Uint32(b) != 0x950412de {
		return nil
	}
	n, table := int(binary.LittleEndian.Uint32(b[8:])), int(binary.LittleEndian.Uint32(b[16:]))
	for i := range n {
		if table+8*i+8 > len(b) {
			break
		}
		size, at := int(binary.LittleEndian.Uint32(b[table+8*i:])), int(binary.LittleEndian.Uint32(b[table+8*i+4:]))
		if at+size > len(b) {
			break
		}
		out = append(append(out, bytes.ReplaceAll(b[at:at+size], []byte{0}, []byte{'\n'})...), '\n') // a NUL parts plurals
	}
	return out
}

func FuzzJudge(f *testing.F) {
	for _, s := range texts {
		if len(s) < 1<<12 {
			f.Add([]byte(s), uint8(3))
		}
	}
	f.Add(structures(), uint8(1))
	f.Add(random(300, 1), uint8(7))
	f.Add(random(8000, 2), uint8(100)) // long enough to be glanced at
	f.Add([]byte(calm[:9000]+"read_file\x00parse_line\x00write_out\x00free_all\x00"+calm[:300]), uint8(40))
	for _, c := range looks {
		f.Add([]byte("INFO ok\n"+c.bytes+"\nINFO ok\n"), uint8(5))
	}
	f.Add(append([]byte("("), "\xb5\x2f\xfd\x04\x00\x00\x00\x00\x01\x02\x03"...), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		want := spans(b)
		end := int64(0)
		for _, s := range want {
			if s.Offset < end || s.Length <= 0 || s.Offset+s.Length > int64(len(b)) || s.LooksLike == "" {
				t.Fatalf("%+v in %d bytes", want, len(b))
			}
			if p := fmt.Sprintf("%x", b[s.Offset:s.Offset+min(16, s.Length)]); p != s.Preview {
				t.Fatalf("preview %s, want %s", s.Preview, p)
			}
			end = s.Offset + s.Length
		}
		var whole, j Judge
		whole.Flush(whole.Write(nil, b))
		var got []Span
		for rest, step := b, int(size)+1; len(rest) > 0; rest = rest[min(step, len(rest)):] {
			got = j.Write(got, rest[:min(step, len(rest))])
			end := j.pos + int64(j.npend+j.glanced)
			if s, ok := j.Current(); ok && (s.Offset < 0 || s.Length <= 0 || s.Offset+s.Length > end || s.LooksLike == "") { // looking changes nothing either
				t.Fatalf("current: %+v at %d", s, end)
			}
		}
		if got = j.Flush(got); !reflect.DeepEqual(got, want) {
			t.Fatalf("in pieces of %d: %+v, want %+v", int(size)+1, got, want)
		}
		f, _ := j.Foreign()
		if w, _ := whole.Foreign(); f != w {
			t.Fatalf("in pieces of %d: %+v, want %+v", int(size)+1, f, w)
		}
	})
}

func BenchmarkASCII(b *testing.B) {
	text := []byte(strings.Repeat("2026-11-22 07:24:16 INFO checkout 8812 ok, 17 items, 42.50 EUR\n", 1000))
	b.SetBytes(int64(len(text)))
	var j Judge
	for b.Loop() {
		j.Write(nil, text)
	}
}

func BenchmarkUTF8(b *testing.B) {
	text := []byte(strings.Repeat("ошибка: файл не найден — 错误：打开的文件过多\n", 1000))
	b.SetBytes(int64(len(text)))
	var j Judge
	for b.Loop() {
		j.Write(nil, text)
	}
}

func BenchmarkRandom(b *testing.B) {
	data := random(64<<10, 1)
	b.SetBytes(int64(len(data)))
	var j Judge
	for b.Loop() {
		j.Write(nil, data)
	}
}

// What stands around garbage is no text of another encoding, and text that stood before it still is.
func TestForeignBesideGarbage(t *testing.T) {
	var fringe []byte
	for i := range 40 {
		fringe = append(fringe, "2026-11-22 INFO shop/cart checkout ok, order 17\n"...)
		if i == 5 {
			fringe = append(fringe, bytes.Repeat([]byte{0, 1, 0x93, 0xff, 0, 7}, 30)...)
		}
		if i > 5 {
			fringe = append(fringe, 0xef, 0xeb, 0xee, ' ', 'k', 'o', 'u', 't', ':', '\n')
		}
	}
	var j Judge
	j.Write(nil, fringe)
	j.Flush(nil)
	if f, ok := j.Foreign(); ok {
		t.Errorf("%+v", f)
	}
	var k Judge
	for range 20 {
		k.Write(nil, []byte("Gr\xfc\xdfe aus M\xfcnchen, sch\xf6ne T\xe4ge und \xdcbung\n"))
	}
	k.Write(nil, fringe)
	k.Flush(nil)
	if f, ok := k.Foreign(); !ok || f.Encoding != "Latin-1" {
		t.Errorf("%+v, %v", f, ok)
	}
}
