package output

import (
	"bytes"
	"strings"
	"testing"
)

// Memory that was filled, and sets of bits, repeat a byte or a few: no text, though each byte is a letter somewhere.
func TestRepeatedBytesAreGarbage(t *testing.T) {
	line := strings.Repeat("2026-11-22 12:00:00 INFO all is well\n", 40)
	for name, c := range map[string]struct {
		group string
		n     int // bytes
	}{
		"every second descriptor":   {"\xaa", 230},
		"every fourth descriptor":   {"\x88", 64},
		"glibc's perturbed memory":  {"\xa5", 64},
		"erased":                    {"\xff", 64},
		"every third descriptor":    {"\x49\x92\x24", 240},
		"every fifth, from another": {"\x84\x10\x42\x08\x21", 400},
		"a word":                    {"\xef\xbe\xad\xde", 256},
	} {
		p := []byte(line + strings.Repeat(c.group, c.n)[:c.n] + "\n" + line)
		var j Judge
		spans := j.Flush(j.Write(nil, p))
		if len(spans) != 1 || spans[0].Offset < int64(len(line)) || spans[0].Offset > int64(len(line)+8) || spans[0].Length < int64(c.n-16) || spans[0].LooksLike != "repeated bytes" {
			t.Errorf("%s: %+v", name, spans)
		}
	}
}

// What people and programs draw repeats, too, in any encoding.
func TestRepeatedTextIsText(t *testing.T) {
	for name, s := range map[string]string{
		"a line in CP437":          strings.Repeat("\xc4", 80),
		"a double line in CP437":   strings.Repeat("\xcd", 80),
		"blocks in CP437":          strings.Repeat("\xdb", 60) + strings.Repeat("\xb0", 60),
		"a line in KOI8-R":         strings.Repeat("\x80", 80),
		"dots in Latin-1":          "Inhalt " + strings.Repeat("\xb7", 70) + " 12",
		"dashes in Windows-1252":   strings.Repeat("\x97", 80),
		"wide spaces in EUC-JP":    strings.Repeat("\xa1", 80) + "\xa4\xa2\xa4\xa4",
		"a wide line in Shift-JIS": strings.Repeat("\x81", 80),
		"a line in GBK":            strings.Repeat("\xa9\xa4", 120),
		"stars in EUC-JP":          strings.Repeat("\xa1\xfa\xa1\xf9", 60),
		"a laugh in GBK":           strings.Repeat("\xb9\xfe", 60),
		"a shout in Windows-1251":  strings.Repeat("\xe0", 24),
		"a line in UTF-8":          "\xff" + strings.Repeat("─", 300),
	} {
		var j Judge
		if spans := j.Flush(j.Write(nil, []byte("all is well\n"+s+"\nall is well\n"))); len(spans) != 0 {
			t.Errorf("%s: %+v", name, spans)
		}
	}
}

func TestRepeatsAreBounded(t *testing.T) {
	for n := range 700 {
		p := bytes.Repeat([]byte("\x92\x24\x49"), 300)[:n]
		if got := repeats(p); got > n || n >= repeatGroup+8 && got < n-8 {
			t.Fatalf("%d of %d bytes repeat", got, n)
		}
	}
}
