package evidence

import "github.com/go-json-experiment/json/jsontext"

// KindWritten is a write that was looked at.
const KindWritten Kind = "write.seen"

// Written is a write of bytes that no text has into the output, or any write to descriptor 1 or 2 while
// that is something else than the program started with. Of each thread the first few go out whole.
type Written struct {
	Call    string         `json:"call"`
	FD      int32          `json:"fd"`
	FDKind  FDKind         `json:"fdKind,omitzero"`
	Path    string         `json:"path,omitzero"`
	Peer    string         `json:"peer,omitzero"`
	Inode   uint64         `json:"inode,omitzero"`
	Output  bool           `json:"output,omitzero"` // it reached the output; else it went astray
	Odd     bool           `json:"odd,omitzero"`    // it holds bytes that no text has
	Offset  int64          `json:"offset,omitzero"` // in the output, by the sum of what writes gave
	Bytes   int64          `json:"bytes"`
	At      int64          `json:"at,omitzero"`    // where in the write Data stands
	Data    []byte         `json:"data,omitempty"` // 64 bytes at most
	Count   int64          `json:"count,omitzero"` // alike ones of its thread, up to now
	Trace   []Frame        `json:"backtrace,omitempty"`
	TraceBy string         `json:"traceBy,omitzero"`
	From    uint64         `json:"from,omitzero"` // address in the writer's memory of Data, 0: not known
	Context *Context       `json:"-"`
	Unknown jsontext.Value `json:",embed"`
}

// Kind is KindWritten.
func (*Written) Kind() Kind { return KindWritten }

func (d *Written) walk(c *codec) {
	c.str(&d.Call)
	c.i32(&d.FD)
	c.str((*string)(&d.FDKind))
	c.str(&d.Path)
	c.str(&d.Peer)
	c.u64(&d.Inode)
	c.flag(&d.Output)
	c.flag(&d.Odd)
	c.i64(&d.Offset)
	c.i64(&d.Bytes)
	c.i64(&d.At)
	c.bytes(&d.Data)
	c.i64(&d.Count)
	walkFrames(c, &d.Trace)
	c.str(&d.TraceBy)
	optional(c, &d.Context, func(c *codec, x *Context) { x.walk(c) })
	c.bytes((*[]byte)(&d.Unknown))
	c.u64(&d.From)
}

// Writer is who wrote a piece of the output: the writes that the kernel saw, joined with the bytes by
// the pipe and the offset in it.
type Writer struct {
	PID       int32   `json:"pid"`
	TID       int32   `json:"tid"`
	Comm      string  `json:"comm,omitzero"` // of the thread
	Call      string  `json:"call"`
	FD        int32   `json:"fd"`
	FDKind    FDKind  `json:"fdKind,omitzero"` // what the descriptor was at the write
	Path      string  `json:"path,omitzero"`
	Peer      string  `json:"peer,omitzero"`
	Inode     uint64  `json:"inode,omitzero"`
	Bytes     int64   `json:"bytes"`            // of the piece
	Writes    int64   `json:"writes"`           // that the piece came by, at most: alike ones stand together
	Exact     bool    `json:"exact,omitzero"`   // the bytes at that place are those that it wrote; else by the order of the calls' ends
	Was       FDKind  `json:"was,omitzero"`     // what that number was before in the process, where it was something else
	WasPeer   string  `json:"wasPeer,omitzero"` //
	WasPath   string  `json:"wasPath,omitzero"` //
	BootNanos int64   `json:"bootNanos,omitzero"`
	Trace     []Frame `json:"backtrace,omitempty"`
	TraceBy   string  `json:"traceBy,omitzero"`

	Unknown jsontext.Value `json:",embed"`
}

func (w *Writer) walk(c *codec) {
	c.i32(&w.PID)
	c.i32(&w.TID)
	c.str(&w.Comm)
	c.str(&w.Call)
	c.i32(&w.FD)
	c.str((*string)(&w.FDKind))
	c.str(&w.Path)
	c.str(&w.Peer)
	c.u64(&w.Inode)
	c.i64(&w.Bytes)
	c.i64(&w.Writes)
	c.flag(&w.Exact)
	c.str((*string)(&w.Was))
	c.str(&w.WasPeer)
	c.str(&w.WasPath)
	c.i64(&w.BootNanos)
	walkFrames(c, &w.Trace)
	c.str(&w.TraceBy)
	c.bytes((*[]byte)(&w.Unknown))
}

// Names of counters of writes that were looked at.
const (
	CountOddWrites   = "write.odd"   // into the output, of bytes that no text has, as far as was looked
	CountStrayWrites = "write.stray" // to descriptor 1 or 2 while that was something else
)
