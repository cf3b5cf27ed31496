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

// KindTorn is a line of output that is torn.
const KindTorn Kind = "output.torn"

// Counters of lines of output.
const (
	CountLines = "output.lines"     // that ended
	CountTorn  = "output.tornLines" // of these
)

// Torn is a line of output that is not one line as that stream has them. The first few stand for themselves,
// the counters for all.
type Torn struct {
	Stream  string         `json:"stream"`           // "stdout", "stderr"
	How     string         `json:"how"`              // "interleaved", "glued", "cut short"
	Offset  int64          `json:"offset"`           // of the line, bytes from the stream's start
	Length  int64          `json:"length"`           // of the line, bytes
	At      int64          `json:"at"`               // bytes of the line before the break
	Preview string         `json:"preview,omitzero"` // text around the break, which is marked "┆"
	Count   int64          `json:"count"`            // torn lines of the stream, this one included
	Lines   int64          `json:"lines"`            // lines of the stream up to then
	Unknown jsontext.Value `json:",embed"`

	// Who wrote the last byte before the break, and the first one behind it; nil: not seen, see Unseen.
	Before      *Writer `json:"before,omitzero"`
	After       *Writer `json:"after,omitzero"`
	BeforeWrite int64   `json:"beforeWrite,omitzero"` // bytes of the write that ends at the break, 0: not known
	AfterWrite  int64   `json:"afterWrite,omitzero"`  // of the one that begins there
	Unseen      string  `json:"unseen,omitzero"`      // why nothing is known of a writer
}

// Kind is KindTorn.
func (*Torn) Kind() Kind { return KindTorn }

func (d *Torn) walk(c *codec) {
	c.str(&d.Stream)
	c.str(&d.How)
	c.i64(&d.Offset)
	c.i64(&d.Length)
	c.i64(&d.At)
	c.str(&d.Preview)
	c.i64(&d.Count)
	c.i64(&d.Lines)
	c.bytes((*[]byte)(&d.Unknown))
	optional(c, &d.Before, func(c *codec, w *Writer) { w.walk(c) })
	optional(c, &d.After, func(c *codec, w *Writer) { w.walk(c) })
	c.i64(&d.BeforeWrite)
	c.i64(&d.AfterWrite)
	c.str(&d.Unseen)
}

func (d *Foreign) walk(c *codec) {
	c.str(&d.Stream)
	c.str(&d.Encoding)
	c.i64(&d.Offset)
	c.i64(&d.Bytes)
	c.bytes((*[]byte)(&d.Unknown))
}

// Garbled is a span of output that is no text in any plausible encoding.
type Garbled struct {
	Stream    string         `json:"stream"` // "stdout", "stderr"
	Offset    int64          `json:"offset"` // bytes from the stream's start
	Length    int64          `json:"length"`
	LooksLike string         `json:"looksLike"`
	Preview   string         `json:"preview,omitzero"` // hex of the first bytes
	Unknown   jsontext.Value `json:",embed"`

	Writer *Writer `json:"writer,omitzero"` // of most of it; nil: not seen, see Unseen
	Others int64   `json:"others,omitzero"` // further threads that wrote parts of it
	Unseen string  `json:"unseen,omitzero"` // why there is no writer: "writes were not watched"

	Context *Context `json:"-"` // of the writer, whose Trace is made of it

	From uint64 `json:"from,omitzero"` // where its first byte stood in the writer's memory, 0: not known
	By   string `json:"by,omitzero"`   // how Writer is known, if not by a write that was seen: ByAlone, ByRing
}

// How a writer is known whose write was not seen; it is likely then.
const (
	ByAlone = "alone"    // it alone of its container had the output open, from before what stands in front of it
	ByRing  = "io_uring" // it alone of those that have the output open has an io_uring, whose writes are not seen
)

// OutputStalled says that what descry passes the output on to has not taken it for a while.
type OutputStalled struct {
	Stream  string         `json:"stream"`
	Nanos   int64          `json:"nanos"`
	Unknown jsontext.Value `json:",embed"`
}

// OutputHeld says that the command has ended and other processes still hold its output.
type OutputHeld struct {
	Holders []Holder       `json:"holders"`
	Unknown jsontext.Value `json:",embed"`
}

// Holder is a process that holds something.
type Holder struct {
	PID     int32  `json:"pid"`
	Command string `json:"command"`
}
