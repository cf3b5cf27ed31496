package evidence

import "github.com/go-json-experiment/json/jsontext"

// KindForeign is text in another encoding than UTF-8.
const KindForeign Kind = "output.foreign"

// Foreign says in which old encoding a stream's text is, as far as it is no UTF-8.
type Foreign struct {
	Stream   string         `json:"stream"`   // "stdout", "stderr"
	Encoding string         `json:"encoding"` // "Latin-1", "Windows-1251", "Shift-JIS", …
	Offset   int64          `json:"offset"`   // of the first such byte, from the stream's start
	Bytes    int64          `json:"bytes"`    // in such pieces
	Unknown  jsontext.Value `json:",embed"`
}

// Kind is KindForeign.
func (*Foreign) Kind() Kind { return KindForeign }

func (d *Foreign) walk(c *codec) {
	c.str(&d.Stream)
	c.str(&d.Encoding)
	c.i64(&d.Offset)
	c.i64(&d.Bytes)
	c.bytes((*[]byte)(&d.Unknown))
}
