package main

import (
	"bytes"
	"math"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// old are the encodings that the scripts were written in before UTF-8, and what they are called.
var old = []struct {
	name    string
	as      string
	enc     encoding.Encoding
	scripts []*unicode.RangeTable
}{
	{"ISO-8859-1", "Latin-1", charmap.ISO8859_1, latin}, {"Windows-1252", "Latin-1", charmap.Windows1252, latin}, {"ISO-8859-15", "Latin-1", charmap.ISO8859_15, latin},
	{"ISO-8859-2", "Latin-1", charmap.ISO8859_2, latin}, {"Windows-1250", "Latin-1", charmap.Windows1250, latin}, {"Windows-1254", "Latin-1", charmap.Windows1254, latin},
	{"Windows-1257", "Latin-1", charmap.Windows1257, latin},
	{"Windows-1251", "Windows-1251", charmap.Windows1251, cyrillic}, {"KOI8-R", "KOI8-R", charmap.KOI8R, cyrillic}, {"CP866", "CP866", charmap.CodePage866, cyrillic},
	{"ISO-8859-7", "an 8-bit alphabet", charmap.ISO8859_7, []*unicode.RangeTable{unicode.Greek}}, {"Windows-1255", "an 8-bit alphabet", charmap.Windows1255, []*unicode.RangeTable{unicode.Hebrew}},
	{"Windows-1256", "an 8-bit alphabet", charmap.Windows1256, []*unicode.RangeTable{unicode.Arabic}}, {"Windows-874", "an 8-bit alphabet", charmap.Windows874, []*unicode.RangeTable{unicode.Thai}},
	{"Shift-JIS", "Shift-JIS", japanese.ShiftJIS, kana}, {"EUC-JP", "EUC-JP", japanese.EUCJP, kana}, {"ISO-2022-JP", "text", japanese.ISO2022JP, kana},
	{"EUC-KR", "EUC-KR", korean.EUCKR, []*unicode.RangeTable{unicode.Hangul}},
	{"GBK", "GBK", simplifiedchinese.GBK, han}, {"GB18030", "GBK", simplifiedchinese.GB18030, han}, {"Big5", "Big5", traditionalchinese.Big5, han},
}

var (
	latin    = []*unicode.RangeTable{unicode.Latin}
	cyrillic = []*unicode.RangeTable{unicode.Cyrillic}
	kana     = []*unicode.RangeTable{unicode.Hiragana}
	han      = []*unicode.RangeTable{unicode.Han}
)

// inOldEncodings judges a text again as it would stand in the encodings that its script was written in.
func (e *eval) inOldEncodings(path string, b []byte) (out []*tally) {
	if len(b) > 4<<20 || !utf8.Valid(b) {
		return nil
	}
	strange, sum := map[*unicode.RangeTable]int{}, 0
	for _, r := range string(b) {
		if r < 0x80 || !unicode.IsLetter(r) {
			continue
		}
		sum++
		for _, t := range []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Hebrew, unicode.Arabic, unicode.Thai, unicode.Hiragana, unicode.Hangul, unicode.Han} {
			if unicode.Is(t, r) {
				strange[t]++
				break
			}
		}
	}
	if sum < 50 {
		return nil
	}
	for _, o := range old {
		least := sum * 9 / 10
		if o.scripts[0] == unicode.Hiragana {
			least = sum / 5
		}
		if strange[o.scripts[0]] < least {
			continue
		}
		// Letters that the encoding has not would be question marks; where they are many nobody used it.
		p, lost := encoded(o.enc, b)
		if lost*50 > sum {
			continue
		}
		t := &tally{name: o.name, foreign: map[string]int{}}
		e.judgeText(t, path, p)
		for k, n := range t.foreign {
			if k != "garbage" && k != "text" {
				delete(t.foreign, k)
				if k == o.as {
					k = "named right"
				} else {
					k = "named otherwise"
				}
				t.foreign[k] += n
			}
		}
		out = append(out, t)
	}
	return out
}

// encoded is text in an encoding, with ? for each letter that it has not.
func encoded(e encoding.Encoding, b []byte) (out []byte, lost int) {
	enc := encoding.ReplaceUnsupported(e.NewEncoder())
	out, err := enc.Bytes(bytes.ReplaceAll(b, []byte{0x1a}, nil))
	if err != nil {
		return nil, math.MaxInt32
	}
	lost = bytes.Count(out, []byte{0x1a}) // what x/text puts
	return bytes.ReplaceAll(out, []byte{0x1a}, []byte{'?'}), lost
}
