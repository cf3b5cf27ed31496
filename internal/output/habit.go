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

// meant says whether the controls in p are such as programs print on purpose: they part lists, stand once in a
// line, or format what is said on IRC. before is what stands in front of p.
func meant(p, before []byte) bool {
	var seen [2]byte
	kinds, n, most, lines, inLine := 0, 0, 0, 1, 0
	chat, nul := true, false
	for i, b := range p {
		switch {
		case b == '\n':
			lines++
			inLine = 0
		case class[b] == hard:
			if kinds == 0 || kinds < len(seen) && b != seen[0] {
				seen[kinds] = b
				kinds++
			} else if b != seen[0] && b != seen[1] {
				kinds = len(seen) + 1
			}
			n++
			inLine++
			most = max(most, inLine)
			nul = nul || b == 0
			chat = chat && (b == 0x02 || b == 0x03 && (i+1 == len(p) || p[i+1] < 0x80 && p[i+1] >= ' ') || b == 0x11 || b == 0x16 || b >= 0x1d && b <= 0x1f)
		case b >= 0x80:
			chat = chat && b >= 0xc2
		}
	}
	switch {
	case n < 2:
		return false
	case chat, kinds <= len(seen) && !nul && most == 1 && lines >= 3:
		return true
	}
	return kinds == 1 && listed(p, before, seen[0])
}

// listed says whether p is a list that sep parts: of arguments, paths, an environment, or fields of FIX.
func listed(p, before []byte, sep byte) bool {
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
