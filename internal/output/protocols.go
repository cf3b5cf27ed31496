package output

import (
	"encoding/binary"
	"unicode/utf8"
)

// What a span that starts with some bytes might be a piece of. Lengths lead from header to header; two
// that follow each other so are hardly an accident.

// isTLS knows the header of a record: type, version 3.1 to 3.4, a length that is allowed. Where another
// should follow, it must.
func isTLS(b []byte, length int64) bool {
	if !tlsHeader(b) {
		return false
	}
	if n := 5 + int(binary.BigEndian.Uint16(b[3:])); n+5 <= len(b) && int64(n+5) <= length {
		return tlsHeader(b[n:])
	}
	return true
}

func tlsHeader(b []byte) bool {
	if len(b) < 5 || b[1] != 3 || b[2] > 4 {
		return false
	}
	n := binary.BigEndian.Uint16(b[3:])
	switch b[0] {
	case 20: // change of ciphers: one byte, 1
		return n == 1 && (len(b) < 6 || b[5] == 1)
	case 21: // an alert, in the clear or encrypted
		return n == 2 || n >= 18 && n <= 64
	case 22, 23:
		return n >= 4 && n <= 1<<14+2048
	}
	return false
}

const (
	h2Data = iota
	h2Headers
	h2Priority
	h2Reset
	h2Settings
	h2Push
	h2Ping
	h2GoAway
	h2Window
	h2Continuation
)

// h2Flags are those that each type of frame may have.
var h2Flags = [...]byte{h2Data: 0x09, h2Headers: 0x2d, h2Priority: 0, h2Reset: 0, h2Settings: 1, h2Push: 0x0c, h2Ping: 1, h2GoAway: 0, h2Window: 0, h2Continuation: 4}

const h2Streams = 1 << 20 // a stream's number beyond that is seen in no log

// h2Frame knows a frame's header, of 9 bytes, and says how long its payload is.
func h2Frame(b []byte) (kind, n int, ok bool) {
	if len(b) < 9 {
		return 0, 0, false
	}
	n = int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	kind = int(b[3])
	stream := binary.BigEndian.Uint32(b[5:])
	if n > 1<<14 || kind >= len(h2Flags) || b[4]&^h2Flags[kind] != 0 || stream >= h2Streams {
		return 0, 0, false
	}
	switch kind {
	case h2Settings:
		ok = stream == 0 && n%6 == 0 && n <= 6*64 && (b[4] == 0 || n == 0)
	case h2Ping:
		ok = stream == 0 && n == 8
	case h2GoAway:
		ok = stream == 0 && n >= 8
	case h2Window:
		ok = n == 4
	case h2Priority:
		ok = stream > 0 && n == 5
	case h2Reset:
		ok = stream > 0 && n == 4
	case h2Data: // the streams that clients open have odd numbers
		ok = stream&1 == 1 && (n > 0 || b[4]&1 == 1)
	case h2Headers:
		ok = stream&1 == 1 && n > 0 && b[4]&4 == 4
	default:
		ok = stream > 0 && n > 0
	}
	return kind, n, ok
}

// isHTTP2 knows SETTINGS, with which every connection starts, and elsewhere frames that follow each
// other; one alone where its payload is no text or the span ends with its header.
func isHTTP2(b []byte, length int64) bool {
	frames, payload := 0, 0
	for at := 0; ; frames++ {
		kind, n, ok := h2Frame(b[min(at, len(b)):])
		if !ok {
			switch {
			case len(b)-at >= 9:
				return false
			case frames == 1:
				return h2Alone(b, length)
			}
			return frames > 1 && payload > 0
		}
		if kind == h2Settings && at == 0 && n > 0 {
			return true
		}
		payload += n
		at += 9 + n
	}
}

// h2Alone says whether a frame is one by itself, without another behind it in sight.
func h2Alone(b []byte, length int64) bool {
	kind, n, _ := h2Frame(b)
	payload := b[9:]
	switch kind {
	case h2Ping, h2Window:
		return len(payload) >= n
	case h2Settings:
		return n == 0 && b[4] == 1 && length == 9
	case h2Headers:
		return n > 8 && hpack(b)
	case h2Data: // its payload is text behind the span, or begins as something else that is known
		return n >= 32 && b[4] <= 1 && b[5] == 0 && b[6] == 0 && (length <= 9 || isGRPC(payload, length-9) || len(payload) > 3 && string(payload[:3]) == "\x1f\x8b\x08")
	}
	return false
}

// hpack says whether a frame of headers starts with what most do: the method or the status, indexed.
func hpack(b []byte) bool {
	at := 9
	if b[4]&0x08 != 0 {
		at++
	}
	if b[4]&0x20 != 0 {
		at += 5
	}
	if at >= len(b) {
		return false
	}
	c := b[at]
	return c >= 0x82 && c <= 0x8e || c == 0x48 || c == 0x20 || c == 0x3f || c >= 0xbe && c <= 0xc8
}

// isGRPC knows the prefix of a message: whether it is packed, and how long it is, in five bytes. The
// message must be protobuf, and where another should follow, it must.
func isGRPC(b []byte, length int64) bool {
	if len(b) < 5+2 || b[0] != 0 || b[1] != 0 {
		return false
	}
	n := int(binary.BigEndian.Uint32(b[1:]))
	if n == 0 || n > 1<<22 {
		return false
	}
	m := b[5:min(len(b), 5+n)]
	score, ok := protoMessage(m, n <= len(m), 0)
	if !ok || m[0]>>3 == 0 {
		return false
	}
	switch {
	case int64(n+5) == length: // it ends where the span does
		score += 12
	case n+5 < len(b):
		if b[n+5] > 1 {
			return false
		}
		score += 4
	}
	return score >= 16
}

// isProtobuf says whether fields of protobuf begin at the span, or in the text before it: the tag of a
// field with a string is often a line feed.
func isProtobuf(text, head []byte) (back int, ok bool) {
	var b [leadMost + block]byte
	all := b[:copy(b[:], text)]
	all = append(all, head...)
	for back := range min(4, len(text)+1) {
		p := all[len(text)-back:]
		if back > 0 && p[0] != 0x0a && p[0] != 0x08 && p[0] != 0x0d && p[0] != 0x09 { // the first field's, as a rule
			continue
		}
		if score, ok := protoMessage(p, false, 0); ok && score >= protoSure {
			return back, true
		}
	}
	return 0, false
}

func startsProtobuf(text, head []byte) bool {
	_, ok := isProtobuf(text, head)
	return ok
}

// holdsProtobuf says whether fields of protobuf begin somewhere in p, with one that has its length: either its tag or that is
// no text.
func holdsProtobuf(text, p []byte) bool {
	if len(p) < protoLeast {
		return false
	}
	var b [1 + block]byte
	n := copy(b[:], text[max(0, len(text)-1):])
	all := b[:n+copy(b[n:], p)]
	for i := 0; i < len(all)-protoLeast && i < protoTries; i++ {
		if all[i]&7 != 2 || class[all[i]] != hard && class[all[i+1]] != hard {
			continue
		}
		if score, ok := protoMessage(all[i:], false, 0); ok && score >= protoHeld {
			return true
		}
	}
	return false
}

const (
	protoLeast = 16 // bytes
	protoTries = 64
	protoHeld  = 30 // where there are other bytes that no text has
	protoSure  = 40
	protoDepth = 8
)

// protoMessage goes through fields to the end of b, which is the message's end if whole, and gives in bits
// how unlikely it is that other bytes would do as well. Fields stand in ascending order, as every library
// writes them.
func protoMessage(b []byte, whole bool, depth int) (score int, ok bool) {
	last, fields := uint64(0), 0
	for i := 0; i < len(b); fields++ {
		tag, n := varint(b[i:])
		if n == 0 {
			return score, !whole && len(b)-i < 10 && fields > 0
		}
		number := tag >> 3
		if n > 2 || number == 0 || number > 2047 || number < last || number > last+200 {
			return 0, false
		}
		i += n
		switch {
		case number > 15:
		case number > last:
			score += 3
		case tag&7 == 2:
			score++
		}
		last = number
		switch tag & 7 {
		case 0:
			_, n := varint(b[i:])
			if n == 0 {
				return score, !whole && len(b)-i < 10
			}
			if n > 1 && b[i+n-1] == 0 { // overlong: nobody writes that
				return 0, false
			}
			i += n
		case 1:
			i += 8
		case 5:
			i += 4
		case 2:
			size, n := varint(b[i:])
			if n == 0 {
				return score, !whole && len(b)-i < 10
			}
			if size > 1<<24 || n > 1 && b[i+n-1] == 0 {
				return 0, false
			}
			i += n
			end := min(len(b), i+int(size))
			cut := i+int(size) > len(b)
			if cut && whole {
				return 0, false
			}
			part := b[i:end]
			switch {
			case wordy(part, cut):
				score += min(4+len(part)/2, 16)
				if cut {
					score -= 4
				}
			case depth < protoDepth && len(part) > 1:
				if s, ok := protoMessage(part, !cut, depth+1); ok {
					score += s
				}
			}
			i += int(size)
		default:
			return 0, false
		}
		if whole && i > len(b) {
			return 0, false
		}
	}
	return score, fields > 0
}

// wordy says whether a field is text, of three bytes at least.
func wordy(p []byte, cut bool) bool {
	if len(p) < 3 {
		return false
	}
	if cut {
		p = p[:textPrefix(p)]
		if len(p) < 3 {
			return false
		}
	}
	for _, b := range p {
		if b < 0x20 {
			return false
		}
	}
	return utf8.Valid(p)
}

func varint(b []byte) (uint64, int) {
	v, n := binary.Uvarint(b)
	return v, max(0, n)
}
