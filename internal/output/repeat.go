package output

import "unicode/utf8"

// Bytes that repeat, alone or in short groups, are what memset, a bit set or an erased page leave in memory. Read
// one by one they are letters of some encoding or other, but nobody writes one letter for lines on end.
const (
	repeatOne   = 32  // so many of the same byte in a row are no text
	repeatGroup = 192 // so many bytes of groups of two to groupMost; a short laugh in Chinese is two bytes again and again
	groupMost   = 8
)

// drawn are the bytes that text repeats: in some encoding they are lines, blocks, dots, dashes or wide spaces.
var drawn = func() (d [256]bool) {
	for _, b := range []byte("\x80\x81\x85\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x94\x95\x96\x97\xa0\xa1\xa2\xa3\xa4\xa6\xa7\xa8\xa9\xab\xac\xad\xaf" +
		"\xb0\xb1\xb2\xb3\xb4\xb7\xba\xbb\xc4\xcd\xd7\xdb\xdc\xdd\xde\xdf\xf0\xf7\xf9\xfa\xfe") {
		d[b] = true
	}
	return d
}()

// repeats is how many bytes of p are in its longest stretch that repeats a group of letters of some encoding but
// UTF-8, where that is too long for text; else 0.
func repeats(p []byte) int {
	best := 0
	for group := 1; group <= groupMost && best*2 <= len(p); group++ {
		least := repeatGroup
		if group == 1 {
			least = repeatOne
		}
		if len(p) < least {
			break
		}
		from := 0
		for i := group; i <= len(p); i++ {
			if i < len(p) && p[i] == p[i-group] {
				continue
			}
			if n := i - from; n >= max(least, best+1) && strangeGroup(p[from:i], group) {
				best = n
			}
			from = i - group + 1
		}
	}
	return best
}

// strangeGroup says of a stretch of repeated groups whether it is none that text repeats.
func strangeGroup(p []byte, group int) bool {
	letters, lines := 0, 0
	for i, b := range p[:group] {
		switch {
		case b < 0x80:
		case b == 0x84 && p[i+1] >= 0x80: // drawn lines in Shift-JIS
			lines++
		case !drawn[b], group > 1 && b >= 0x8b && b <= 0x92: // blocks of KOI8 stand by themselves
			letters++
		}
	}
	// A group may begin in the midst of a character.
	for i := range min(group, utf8.UTFMax) {
		if end := len(p) - (len(p)-i)%group; utf8.Valid(p[i:end]) {
			return false
		}
	}
	return letters > lines
}
