package evidence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
)

// codec encodes (out) or decodes (in) fields in the order in which walk visits them. A record that
// ends early leaves the rest of the fields zero: that is how older records are read.
type codec struct {
	decode bool
	buf    []byte // out: grows; in: what is left
	err    error
}

var errDamaged = errors.New("damaged record")

func (c *codec) u64(v *uint64) {
	if !c.decode {
		c.buf = binary.AppendUvarint(c.buf, *v)
		return
	}
	if c.err != nil || len(c.buf) == 0 {
		return
	}
	x, n := binary.Uvarint(c.buf)
	if n <= 0 {
		c.err = errDamaged
		return
	}
	*v, c.buf = x, c.buf[n:]
}

func (c *codec) i64(v *int64) {
	u := uint64(*v)<<1 ^ uint64(*v>>63) // zigzag
	c.u64(&u)
	*v = int64(u>>1) ^ -int64(u&1)
}

func (c *codec) i32(v *int32) {
	x := int64(*v)
	c.i64(&x)
	*v = int32(x)
}

func (c *codec) f64(v *float64) {
	if !c.decode {
		c.buf = binary.LittleEndian.AppendUint64(c.buf, math.Float64bits(*v))
		return
	}
	if c.err != nil || len(c.buf) == 0 {
		return
	}
	if len(c.buf) < 8 {
		c.err = errDamaged
		return
	}
	*v, c.buf = math.Float64frombits(binary.LittleEndian.Uint64(c.buf)), c.buf[8:]
}

func (c *codec) flag(v *bool) {
	var u uint64
	if *v {
		u = 1
	}
	c.u64(&u)
	*v = u != 0
}

// take cuts n bytes off what is left to decode.
func (c *codec) take() []byte {
	var n uint64
	c.u64(&n)
	if c.err != nil {
		return nil
	}
	if n > uint64(len(c.buf)) {
		c.err = errDamaged
		return nil
	}
	b := c.buf[:n]
	c.buf = c.buf[n:]
	return b
}

func (c *codec) str(v *string) {
	if !c.decode {
		c.buf = binary.AppendUvarint(c.buf, uint64(len(*v)))
		c.buf = append(c.buf, *v...)
		return
	}
	*v = string(c.take())
}

func (c *codec) bytes(v *[]byte) {
	if !c.decode {
		c.buf = binary.AppendUvarint(c.buf, uint64(len(*v)))
		c.buf = append(c.buf, *v...)
		return
	}
	*v = append([]byte(nil), c.take()...)
}

// list visits a slice. The bound on decoding is what is left: an element takes a byte at the least.
func list[T any](c *codec, v *[]T, each func(*codec, *T)) {
	n := uint64(len(*v))
	c.u64(&n)
	if c.decode {
		if c.err != nil || n > uint64(len(c.buf)) {
			if n != 0 {
				c.err = errDamaged
			}
			return
		}
		*v = nil
		if n > 0 {
			*v = make([]T, n)
		}
	}
	for i := range *v {
		each(c, &(*v)[i])
	}
}

func (c *codec) strs(v *[]string) { list(c, v, (*codec).str) }

// AppendBinary appends the recorder's form of o to b. It allocates only where b must grow.
func (o *Observation) AppendBinary(b []byte) ([]byte, error) {
	if o.Detail == nil {
		return b, fmt.Errorf("encode observation of pid %d: it has no detail", o.PID)
	}
	c := codecs.Get().(*codec)
	c.buf = b
	kind := string(o.Detail.Kind())
	c.str(&kind)
	o.header(c)
	o.Detail.walk(c)
	b, c.buf = c.buf, nil
	codecs.Put(c)
	return b, nil
}

// codecs are kept, since one that is handed to an interface would be allocated each time.
var codecs = sync.Pool{New: func() any { return new(codec) }}

func (o *Observation) header(c *codec) {
	c.i64(&o.BootNanos)
	c.i64(&o.WallNanos)
	src := string(o.Source)
	c.str(&src)
	o.Source = Source(src)
	c.i32(&o.PID)
	c.i32(&o.TID)
	c.str(&o.Comm)
}

// DecodeBinary reads one observation that AppendBinary wrote. It returns io.ErrUnexpectedEOF for
// an empty record and an error that names the kind for a damaged one.
func DecodeBinary(b []byte) (*Observation, error) {
	if len(b) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	c := codec{decode: true, buf: b}
	var kind string
	c.str(&kind)
	o := new(Observation)
	o.header(&c)
	if c.err != nil || kind == "" {
		return nil, fmt.Errorf("decode observation: %w", errDamaged)
	}
	o.Detail = NewDetail(Kind(kind))
	o.Detail.walk(&c)
	if c.err != nil {
		return nil, fmt.Errorf("decode %s: %w", kind, c.err)
	}
	return o, nil
}
