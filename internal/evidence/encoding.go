package evidence

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// encodings by the names that Foreign has. Windows' version of Latin-1 holds the others'.
var encodings = map[string]encoding.Encoding{
	"Latin-1": charmap.Windows1252, "Windows-1251": charmap.Windows1251, "KOI8-R": charmap.KOI8R, "CP866": charmap.CodePage866,
	"Shift-JIS": japanese.ShiftJIS, "EUC-JP": japanese.EUCJP, "GBK": simplifiedchinese.GB18030, "EUC-KR": korean.EUCKR, "Big5": traditionalchinese.Big5,
}

// Text is the last output of a stream ("stdout", "stderr") for reading: lines that are no UTF-8 are
// turned into it where the case says what encoding they are in. What stays is raw.
func (c *Case) Text(stream string) []byte {
	o := c.LastOutput
	if o == nil {
		return nil
	}
	raw := o.Stdout
	if stream == "stderr" {
		raw = o.Stderr
	}
	if utf8.Valid(raw) {
		return raw
	}
	for i := range c.Timeline {
		d, ok := c.Timeline[i].Detail.(*Foreign)
		if !ok || d.Stream != stream || encodings[d.Encoding] == nil {
			continue
		}
		var out []byte
		for line := range bytes.Lines(raw) {
			if !utf8.Valid(line) {
				if b, err := encodings[d.Encoding].NewDecoder().Bytes(line); err == nil {
					line = b
				}
			}
			out = append(out, line...)
		}
		return out
	}
	return raw
}
