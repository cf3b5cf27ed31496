package recorder

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// The form on disk. Each ring has two segment files ("first" has one), NAME.0.rec and NAME.1.rec,
// of a fixed size. One is written until it is full, then the other is emptied and written. A
// segment is a header of 64 bytes and then records, each at a multiple of 8 bytes:
//
//	length   uint32   bytes of the payload; with the sum, stored last and at once
//	sum      uint32   CRC-32C over the segment's id, the sequence number and the payload
//	sequence uint64   of the whole recording: rises, orders observations of equal time
//	payload           evidence.Observation.AppendBinary
//
// Behind the last record all is zero. All numbers are little endian. Since the random id of a
// segment's present content goes into the sum, no leftover of its earlier content and nothing
// that a program could print passes for a record.
const (
	magic         = "descryRC"
	formatVersion = 1
	segmentHeader = 64
	recordHeader  = 16
)

// header is the start of a segment.
type header struct {
	ring       uint32
	id         uint64
	generation uint64 // rises with each emptying within a ring
	startWall  int64  // Unix nanoseconds
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seed is what each sum of a segment starts from.
func (h *header) seed() uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], h.id)
	return crc32.Checksum(b[:], castagnoli)
}

func (h *header) encode() [segmentHeader]byte {
	var b [segmentHeader]byte
	copy(b[:], magic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	binary.LittleEndian.PutUint32(b[12:], h.ring)
	binary.LittleEndian.PutUint64(b[16:], h.id)
	binary.LittleEndian.PutUint64(b[24:], h.generation)
	binary.LittleEndian.PutUint64(b[32:], uint64(h.startWall))
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// decodeHeader gives nil and why, where b does not start a segment.
func decodeHeader(b []byte) (*header, string) {
	switch {
	case len(b) < segmentHeader:
		return nil, "shorter than its header"
	case string(b[:8]) != magic:
		return nil, "not a recording of descry"
	case crc32.Checksum(b[:60], castagnoli) != binary.LittleEndian.Uint32(b[60:]):
		return nil, "damaged header"
	case binary.LittleEndian.Uint32(b[8:]) != formatVersion:
		return nil, "written by a newer descry"
	}
	h := &header{
		ring:       binary.LittleEndian.Uint32(b[12:]),
		id:         binary.LittleEndian.Uint64(b[16:]),
		generation: binary.LittleEndian.Uint64(b[24:]),
		startWall:  int64(binary.LittleEndian.Uint64(b[32:])),
	}
	if h.ring >= rings {
		return nil, "damaged header"
	}
	return h, ""
}

// recordSize is what a payload of n bytes takes in a segment.
func recordSize(n int) int { return (recordHeader + n + 7) &^ 7 }

// recordAt gives the record that starts at off, with its sequence number and where the next one
// starts. It is false where no whole record stands there.
func recordAt(b []byte, off int, seed uint32, work *int) (payload []byte, seq uint64, next int, ok bool) {
	if off+recordHeader > len(b) {
		return nil, 0, 0, false
	}
	n := int(binary.LittleEndian.Uint32(b[off:]))
	if n == 0 || n > MaxRecord || n > len(b)-off-recordHeader {
		return nil, 0, 0, false
	}
	body := b[off+8 : off+recordHeader+n]
	if *work -= n; *work < 0 {
		return nil, 0, 0, false
	}
	if crc32c(seed, body) != binary.LittleEndian.Uint32(b[off+4:]) {
		return nil, 0, 0, false
	}
	return body[8:], binary.LittleEndian.Uint64(body), min(off+recordSize(n), len(b)), true
}

// segmentRead is what one segment gave.
type segmentRead struct {
	payloads [][]byte
	seqs     []uint64
	torn     int64 // bytes behind the last whole record, up to the last that is not zero
	skipped  int64 // bytes of damage that reading went over
}

// readSegment reads the records behind a segment's header. It stops at what is no whole record,
// unless further on a record of this very content stands from which on all is whole again: a sum
// that passes by chance is one in four billion, two in a row are none.
func readSegment(b []byte, h *header) segmentRead {
	var (
		r    segmentRead
		last uint64
		seed = h.seed()
		// Looking for the next whole record sums many bytes twice; forged files must not make
		// that endless.
		work = 16*len(b) + MaxRecord
		data = segmentHeader + lastNonZero(b[segmentHeader:]) // behind it all is zero
	)
	off := segmentHeader
	for {
		payload, seq, next, ok := recordAt(b, off, seed, &work)
		if ok && seq > last {
			r.payloads = append(r.payloads, payload)
			r.seqs = append(r.seqs, seq)
			last, off = seq, next
			continue
		}
		if off >= data {
			return r
		}
		resume := resync(b, off, data, last, seed, &work)
		if resume < 0 {
			r.torn = int64(data - off)
			return r
		}
		r.skipped += int64(resume - off)
		off = resume
	}
}

// resync finds where whole records go on behind off, -1 where that is not certain.
func resync(b []byte, off, data int, last uint64, seed uint32, work *int) int {
	for p := off + 8; p < data; p += 8 {
		_, seq, next, ok := recordAt(b, p, seed, work)
		if !ok || seq <= last {
			if *work < 0 {
				return -1
			}
			continue
		}
		if _, seq2, _, ok := recordAt(b, next, seed, work); ok && seq2 > seq {
			return p
		}
		// The last one has no second to vouch for it: a sequence number near the one before does,
		// which is as unlikely by chance as a second sum.
		if next >= data && seq-last < math.MaxUint32 {
			return p
		}
	}
	return -1
}

// lastNonZero is the number of bytes up to and with the last that is not zero.
func lastNonZero(b []byte) int {
	n := len(b)
	for n >= 8 && binary.LittleEndian.Uint64(b[n-8:]) == 0 {
		n -= 8
	}
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return n
}

// crc32c is the sum of a record: body is its sequence number and payload.
func crc32c(seed uint32, body []byte) uint32 { return crc32.Update(seed, castagnoli, body) }
