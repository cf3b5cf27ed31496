package recorder

import "encoding/binary"

// ring is a bounded queue of byte records in one piece of memory that grows to its budget. A
// record stands as {length uint32, kind uint16, its bytes} and may go over the end.
type ring struct {
	buf    []byte
	head   int // offset of the oldest record
	used   int // bytes from there
	budget int
	room   [entryHeader]byte
}

const (
	entryHeader = 6
	ringStart   = 4 << 10 // first size of buf
)

// fits says whether n bytes go in without anything going out.
func (r *ring) fits(n int) bool { return r.used+entryHeader+n <= r.budget }

// put appends b, and drops the oldest records that are in its way. It is false where b is larger
// than the whole budget.
func (r *ring) put(b []byte, kind uint16, dropped func(kind uint16)) bool {
	need := entryHeader + len(b)
	if need > r.budget {
		return false
	}
	for r.used+need > r.budget {
		r.drop(dropped)
	}
	if r.used+need > len(r.buf) {
		r.grow(r.used + need)
	}
	binary.LittleEndian.PutUint32(r.room[:], uint32(len(b)))
	binary.LittleEndian.PutUint16(r.room[4:], kind)
	r.copyIn(r.room[:])
	r.copyIn(b)
	return true
}

// grow makes room for need bytes, which the budget allows.
func (r *ring) grow(need int) {
	size := max(len(r.buf)*2, ringStart)
	for size < need {
		size *= 2
	}
	buf := make([]byte, min(size, r.budget))
	r.copyOut(buf[:r.used], r.head)
	r.buf, r.head = buf, 0
}

func (r *ring) copyIn(b []byte) {
	at := (r.head + r.used) % len(r.buf)
	n := copy(r.buf[at:], b)
	copy(r.buf, b[n:])
	r.used += len(b)
}

func (r *ring) copyOut(b []byte, at int) {
	if len(b) == 0 {
		return
	}
	at %= len(r.buf)
	n := copy(b, r.buf[at:])
	copy(b[n:], r.buf)
}

// each visits the records, oldest first. The bytes are valid only during the call.
func (r *ring) each(visit func(b []byte)) {
	var b []byte
	for off := 0; off < r.used; {
		r.copyOut(r.room[:], r.head+off)
		n := int(binary.LittleEndian.Uint32(r.room[:]))
		b = append(b[:0], make([]byte, n)...)
		r.copyOut(b, r.head+off+entryHeader)
		visit(b)
		off += entryHeader + n
	}
}

// bound changes the budget; the oldest records go where it is smaller.
func (r *ring) bound(budget int, dropped func(kind uint16)) {
	r.budget = budget
	for r.used > budget {
		r.drop(dropped)
	}
	if len(r.buf) > budget {
		buf := make([]byte, budget)
		r.copyOut(buf[:r.used], r.head)
		r.buf, r.head = buf, 0
	}
}

// drop lets go of the oldest record.
func (r *ring) drop(dropped func(kind uint16)) {
	r.copyOut(r.room[:], r.head)
	n := entryHeader + int(binary.LittleEndian.Uint32(r.room[:]))
	dropped(binary.LittleEndian.Uint16(r.room[4:]))
	r.head = (r.head + n) % len(r.buf)
	r.used -= n
}
