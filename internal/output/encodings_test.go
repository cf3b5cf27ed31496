package output

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// Each language in the encodings that it was written in before UTF-8, and what they are called here.
var legacy = []struct {
	language string
	enc      encoding.Encoding
	name     string
}{
	{"de", charmap.ISO8859_1, "Latin-1"}, {"fr", charmap.Windows1252, "Latin-1"}, {"es", charmap.ISO8859_15, "Latin-1"}, {"sv", charmap.ISO8859_1, "Latin-1"},
	{"pl", charmap.ISO8859_2, "Latin-1"}, {"cs", charmap.Windows1250, "Latin-1"}, {"hu", charmap.ISO8859_2, "Latin-1"}, {"tr", charmap.Windows1254, "Latin-1"},
	{"ru", charmap.Windows1251, "Windows-1251"}, {"uk", charmap.Windows1251, "Windows-1251"}, {"bg", charmap.Windows1251, "Windows-1251"},
	{"ru", charmap.KOI8R, "KOI8-R"}, {"ru", charmap.CodePage866, "CP866"},
	{"el", charmap.ISO8859_7, "an 8-bit alphabet"}, {"he", charmap.Windows1255, "an 8-bit alphabet"}, {"th", charmap.Windows874, "an 8-bit alphabet"}, {"ar", charmap.Windows1256, "an 8-bit alphabet"},
	{"ja", japanese.ShiftJIS, "Shift-JIS"}, {"ja", japanese.EUCJP, "EUC-JP"},
	{"zh_CN", simplifiedchinese.GBK, "GBK"}, {"zh_CN", simplifiedchinese.GB18030, "GBK"}, {"zh_TW", traditionalchinese.Big5, "Big5"}, {"ko", korean.EUCKR, "EUC-KR"},
}

// messages are the lines of a language's translations on this machine, as far as they are in UTF-8.
func messages(language string) []string {
	var out []string
	files, _ := filepath.Glob("/usr/share/locale/" + language + "/LC_MESSAGES/*.mo")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if b = catalogue(b); utf8.Valid(b) {
			out = append(out, strings.Split(string(b), "\n")...)
		}
	}
	return out
}

func TestLegacyEncodings(t *testing.T) {
	sum := 0
	for _, l := range legacy {
		lines := messages(l.language)
		if len(lines) < 200 {
			continue
		}
		enc := encoding.ReplaceUnsupported(l.enc.NewEncoder())
		named, windows := 0, 0
		others := map[string]int{}
		for i := 0; i+20 <= len(lines); i += 20 {
			var j Judge
			var spans []Span
			for _, s := range lines[i : i+20] {
				b, err := enc.String(strings.ReplaceAll(s, "\x00", "\n"))
				if err != nil {
					t.Fatal(err)
				}
				b = strings.ReplaceAll(b, "\x1a", "?") // what x/text puts for a letter that the encoding has not
				sum++
				spans = j.Write(spans, []byte("2026-11-22 07:24:16 INFO "+b+"\n"))
			}
			if spans = j.Flush(spans); len(spans) > 0 {
				t.Errorf("%s in %s: %+v in %q", l.language, l.name, spans[0], lines[i:i+20])
			}
			if f, ok := j.Foreign(); ok {
				windows++
				if f.Encoding == l.name {
					named++
				} else {
					others[f.Encoding]++
				}
			}
		}
		t.Logf("%-6s %-18s %6d lines, %d of %d windows of 20 lines named right, others %v", l.language, l.name, len(lines), named, windows, others)
		if named*10 < windows*9 && l.language != "he" { // its letters lie where small Cyrillic ones do
			t.Errorf("%s: %s named in %d of %d windows, others %v", l.language, l.name, named, windows, others)
		}
		if windows == 0 {
			t.Errorf("%s: %s never noticed", l.language, l.name)
		}
	}
	if sum == 0 {
		t.Skip("needs translations under /usr/share/locale")
	}
}

// 64 random bytes are missed less than once in a hundred, whatever stands around them.
func TestShortRandom(t *testing.T) {
	const tries = 20000
	missed := 0
	for i := range tries {
		if len(spans([]byte("INFO checkout 8812 ok\n"+string(random(64, int64(i)))+"\nINFO checkout 8813 ok, all is as it was\n"))) == 0 {
			missed++
		}
	}
	t.Logf("%d of %d missed", missed, tries)
	if missed*100 > tries {
		t.Errorf("%d of %d pieces of 64 random bytes are missed", missed, tries)
	}
}

func TestForeignIsNoMatterOfOneCharacter(t *testing.T) {
	for _, s := range []string{"plain\n", "größer\n", "cut \xe2\x82 here\n", "a stray \xe9\n", "\x00\n"} {
		var j Judge
		j.Flush(j.Write(nil, []byte(s)))
		if f, ok := j.Foreign(); ok {
			t.Errorf("%q: %+v", s, f)
		}
	}
}

// What went through JSON has U+FFFD in place of what is no UTF-8, and is told all the same.
func TestReplaced(t *testing.T) {
	through := func(b []byte) []byte { return []byte(strings.ToValidUTF8(string(b), "\ufffd")) }
	each := func(b []byte) (out []byte) { // one for each byte, as encoding/json and Docker do
		for len(b) > 0 {
			r, n := utf8.DecodeRune(b)
			out = utf8.AppendRune(out, r)
			b = b[n:]
		}
		return out
	}
	missed := 0
	for i := range 1000 {
		if len(spans([]byte("INFO ok\n"+string(each(random(200, int64(i))))+"\nINFO checkout 8813 ok, all is as it was\n"))) == 0 {
			missed++
		}
	}
	if missed > 10 {
		t.Errorf("%d of 1000 pieces of 200 random bytes are missed", missed)
	}
	for name, s := range texts {
		if got := spans(each([]byte(s))); len(got) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
		if got := spans(through([]byte(s))); len(got) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
