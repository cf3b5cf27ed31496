package output

import "bytes"

// habit is how usual controls are in the text of a stream. Where there was much text without any, several
// in one place are less likely to be text.
type habit struct {
	level int64 // strays lately: each counts for habitFades bytes
	at    int64 // of the last
	other int64 // bytes of garbage, which tell nothing
}

const (
	habitFades = 1 << 10
	habitKnown = 8 << 10  // bytes of text after which the habits are known
	habitLeast = 8        // strays that are no habit
	habitMost  = 24       // these are
	unusual    = 12 * bit // what a control costs more then, beside the first
)

// extra is what controls at an offset cost more than where nothing is known of a stream.
func (h *habit) extra(at int64) int32 {
	known := min(at-h.other, habitKnown)
	level := max(0, h.level-(at-h.at)/habitFades-habitLeast)
	if known <= 0 || level >= habitMost-habitLeast {
		return 0
	}
	return int32(unusual * known / habitKnown * (habitMost - habitLeast - level) / (habitMost - habitLeast))
}

func (h *habit) add(n int, at int64) {
	h.level = min(max(0, h.level-(at-h.at)/habitFades)+int64(n), 4*habitMost)
	h.at = at
}

// parted says whether p is a list as programs print them on purpose, parted by one control: arguments,
// an environment, paths, or fields of FIX. before is what stands in front of p.
func parted(p, before []byte) bool {
	sep, n := byte(0), 0
	for _, b := range p {
		if class[b] != hard {
			continue
		}
		if n++; n > 1 && b != sep {
			return false
		}
		sep = b
	}
	if n < 2 {
		return false
	}
	items, known := 0, 0
	if k := bytes.LastIndexAny(before, "\n \t\"'=:"); k >= 0 && before[k] != '=' {
		before = before[k+1:]
	}
	first := true
	for item := range bytes.SplitSeq(p, []byte{sep}) {
		if first { // it begins in front of p
			item = append(append(make([]byte, 0, block+leadMost), before...), item...)
		}
		first = false
		if len(item) == 0 {
			continue
		}
		items++
		if item[0] == '-' || item[0] == '/' || bytes.HasPrefix(item, []byte("./")) || keyed(item) {
			known++
		}
	}
	return items >= 2 && known*2 > items
}

// keyed says whether an item is a key with a value: a name or a number, and an equals sign.
func keyed(item []byte) bool {
	for i, b := range item {
		switch {
		case b == '=':
			return i > 0
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '_', b == '.', b == '-':
		default:
			return false
		}
	}
	return false
}
