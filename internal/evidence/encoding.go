package evidence

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
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
// turned into it where the case says what encoding they are in, and what was judged to be no text stands
// as "<312 bytes, not text: 00 4e f3 7f …>" at the end of a line. What stays is raw.
func (c *Case) Text(stream string) []byte {
	o := c.LastOutput
	if o == nil {
		return nil
	}
	raw := o.Stdout
	if stream == "stderr" {
		raw = o.Stderr
	}
	raw = c.withoutGarbage(stream, raw)
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

// Pieces of garbage with less text between them are shown as one.
const betweenGarbage = 24

// withoutGarbage puts words in the place of what is no text.
func (c *Case) withoutGarbage(stream string, raw []byte) []byte {
	from := c.LastOutput.StdoutBytes - int64(len(raw))
	if stream == "stderr" {
		from = c.LastOutput.StderrBytes - int64(len(raw))
	}
	if from < 0 { // not known
		from = 0
	}
	type span struct{ from, to int64 }
	var spans []span
	for i := range c.Timeline {
		d, ok := c.Timeline[i].Detail.(*Garbled)
		if !ok || d.Stream != stream || d.Length <= 0 || d.Offset < 0 || d.Length > 1<<50 || d.Offset > 1<<50 {
			continue
		}
		s := span{max(d.Offset-from, 0), min(d.Offset+d.Length-from, int64(len(raw)))}
		if s.from < s.to {
			spans = append(spans, s)
		}
	}
	if len(spans) == 0 {
		return raw
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var out []byte
	at := int64(0)
	for i := 0; i < len(spans); i++ {
		s := spans[i]
		if s.from < at {
			s.from = at
		}
		for i+1 < len(spans) && spans[i+1].from < s.to+betweenGarbage {
			i++
			s.to = max(s.to, spans[i].to)
		}
		if s.from >= s.to {
			continue
		}
		out = append(append(out, raw[at:s.from]...), NotText(raw[s.from:s.to])...)
		if at = s.to; at < int64(len(raw)) && raw[at] != '\n' {
			out = append(out, '\n')
		}
	}
	return append(out, raw[at:]...)
}

// NotText are the words for bytes that are no text.
func NotText(b []byte) string {
	s := fmt.Sprintf("<%d bytes, not text:", len(b))
	if len(b) == 1 {
		s = "<1 byte, not text:"
	}
	for _, c := range b[:min(8, len(b))] {
		s += fmt.Sprintf(" %02x", c)
	}
	if len(b) > 8 {
		s += " …"
	}
	return s + ">"
}
