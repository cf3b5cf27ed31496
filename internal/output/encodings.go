package output

import "math"

// The encodings that honest text is in beside UTF-8. The costs follow from what stands where in
// them; no text was counted.

// upperHalf is any alphabet in the upper half: its letters are more.
func upperHalf() *alphabet {
	a := alphabetOf("an 8-bit alphabet", false, "\xa1\xff", "\xa1\xff", "\x80\x80\x82\x8b\x91\x9b\xa0\xa0")
	for i := range a.each {
		a.each[i] = 49
	}
	return a
}

// alphabetOf makes one from ranges of letters and of small letters.
func alphabetOf(name string, mix bool, letters, small, signs string) *alphabet {
	a := &alphabet{name: name, mix: mix}
	for i := range a.kind {
		a.kind[i] = ctrl
	}
	each := func(ranges string, f func(i int)) {
		for r := []byte(ranges); len(r) >= 2; r = r[2:] {
			for b := int(r[0]); b <= int(r[1]); b++ {
				f(b - 0x80)
			}
		}
	}
	each(signs, func(i int) { a.kind[i] = sign })
	each(letters, func(i int) { a.kind[i] = strange })
	each(small, func(i int) { a.low[i] = true })
	for i := range a.each {
		a.each[i] = 64
	}
	return a
}

// russian is how often each letter stands in Russian, а to я, in hundredths of a percent.
var russian = [32]float64{
	801, 159, 454, 170, 298, 845, 94, 165, 735, 121, 349, 440, 321, 670, 1097, 281,
	473, 547, 626, 262, 26, 97, 48, 144, 73, 36, 4, 190, 174, 32, 64, 201,
}

// cyrillic gives the letters their costs: small has the bytes of а to я, capital those of А to Я. One in
// ten is a capital; other languages share most letters, so none costs more than 8 bits.
func (a *alphabet) cyrillic(small, capital string) *alphabet {
	for i, f := range russian {
		c := int32(math.Round(-bit * math.Log2(f/10000)))
		a.each[small[i]-0x80] = min(c, 8*bit) + 1
		a.each[capital[i]-0x80] = min(c, 8*bit) + 27
	}
	return a
}

// from gives n bytes from b on.
func from(b byte, n int) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = b + byte(i)
	}
	return string(out)
}

// The order of KOI8: as the letters sound on a Latin keyboard.
const koiSmall = "\xc1\xc2\xd7\xc7\xc4\xc5\xd6\xda\xc9\xca\xcb\xcc\xcd\xce\xcf\xd0\xd2\xd3\xd4\xd5\xc6\xc8\xc3\xde\xdb\xdd\xdf\xd9\xd8\xdc\xc0\xd1"

func shifted(s string, by int) string {
	out := []byte(s)
	for i := range out {
		out[i] = byte(int(out[i]) + by)
	}
	return string(out)
}

const (
	utf8Text = iota
	latin1
	cp1251
	koi8r
	cp866
	upper // any other alphabet in the upper half: Greek, Hebrew, Arabic, Thai
	shiftJIS
	eucJP
	gbk
	eucKR
	big5
	encodings
)

var encodingNames = [encodings]string{
	utf8Text: "UTF-8", latin1: "Latin-1", cp1251: "Windows-1251", koi8r: "KOI8-R", cp866: "CP866", upper: "an 8-bit alphabet",
	shiftJIS: "Shift-JIS", eucJP: "EUC-JP", gbk: "GBK", eucKR: "EUC-KR", big5: "Big5",
}

var alphabets = [...]struct {
	as int
	*alphabet
}{
	{latin1, alphabetOf("Latin-1", true, "\xc0\xff\x8a\x8a\x8c\x8c\x8e\x8e\x9a\x9a\x9c\x9c\x9e\x9f\xa1\xa3\xa5\xa6\xa9\xac\xae\xaf\xb1\xb3\xb5\xb6\xb9\xbc\xbe\xbf", "\xdf\xff", "\x80\x80\x82\x8a\x91\x99\xa0\xbf")},
	{cp1251, alphabetOf("Windows-1251", false, "\xc0\xff\xa8\xa8\xb8\xb8\xaa\xaa\xba\xba\xaf\xaf\xbf\xbf\xb2\xb4\xa1\xa2", "\xe0\xff\xb8\xb8\xba\xba\xbf\xbf\xb3\xb4\xa2\xa2", "\x80\x97\x99\xbf").cyrillic(from(0xe0, 32), from(0xc0, 32))},
	{koi8r, alphabetOf("KOI8-R", false, "\xc0\xff\xa3\xa4\xa6\xa7\xad\xad\xb3\xb4\xb6\xb7\xbd\xbd", "\xc0\xdf\xa3\xa4\xa6\xa7\xad\xad", "\x80\xbf").cyrillic(koiSmall, shifted(koiSmall, 0x20))},
	{cp866, alphabetOf("CP866", false, "\x80\xaf\xe0\xf7", "\xa0\xaf\xe0\xef\xf1\xf1\xf3\xf3\xf5\xf5\xf7\xf7", "\xb0\xdf\xf8\xff").cyrillic(from(0xa0, 16)+from(0xe0, 16), from(0x80, 32))},
	{upper, upperHalf()},
}

func within(b, lo, hi byte) bool { return b >= lo && b <= hi }

var twoBytes = [...]struct {
	as int
	pairs
}{
	{shiftJIS, pairs{name: "Shift-JIS", single: func(b byte, again bool) int32 {
		switch {
		case !within(b, 0xa1, 0xdf):
			return 0
		case again:
			return 56 // half-width kana, 7 bits
		}
		return 104
	}, cost: func(l, t byte) int32 {
		if !within(t, 0x40, 0x7e) && !within(t, 0x80, 0xfc) {
			return 0
		}
		switch {
		case l == 0x82 && t >= 0x9f && t <= 0xf1, l == 0x83 && t <= 0x96:
			return 7 * bit // kana
		case l == 0x81:
			return 8 * bit
		case within(l, 0x88, 0x97):
			return 12 * bit
		case within(l, 0x82, 0x84):
			return 13 * bit
		case within(l, 0x98, 0x9f), within(l, 0xe0, 0xea):
			return 15 * bit
		case l == 0x87, l == 0xed, l == 0xee, within(l, 0xfa, 0xfc):
			return 19 * bit
		}
		return 0
	}}},
	{eucJP, pairs{name: "EUC-JP", cost: func(l, t byte) int32 {
		switch {
		case l == 0x8e && within(t, 0xa1, 0xdf):
			return 13 * bit
		case !within(t, 0xa1, 0xfe):
			return 0
		case l == 0xa4 && t <= 0xf3, l == 0xa5 && t <= 0xf6:
			return 7 * bit
		case l == 0xa1:
			return 8 * bit
		case within(l, 0xb0, 0xcf):
			return 12 * bit
		case l == 0xa3:
			return 11 * bit
		case within(l, 0xd0, 0xf4):
			return 15 * bit
		case within(l, 0xa2, 0xa8), l == 0xad, within(l, 0xf9, 0xfc), l == 0x8f:
			return 18 * bit
		}
		return 0
	}}},
	{gbk, pairs{name: "GBK", four: true, cost: func(l, t byte) int32 {
		if !within(l, 0x81, 0xfe) || !within(t, 0x40, 0xfe) || t == 0x7f {
			return 0
		}
		switch {
		case t < 0xa1, within(l, 0x81, 0xa0), within(l, 0xaa, 0xaf), l > 0xf7:
			return 18 * bit
		case within(l, 0xb0, 0xd7):
			return 84 // 10.5 bits
		case l == 0xa1, l == 0xa3:
			return 9 * bit
		case within(l, 0xd8, 0xf7):
			return 15 * bit
		}
		return 15 * bit
	}}},
	{eucKR, pairs{name: "EUC-KR", spaced: true, cost: func(l, t byte) int32 {
		if !within(l, 0x81, 0xfe) {
			return 0
		}
		switch {
		case within(t, 0x41, 0x5a), within(t, 0x61, 0x7a), within(t, 0x81, 0xa0):
			if l <= 0xc6 {
				return 18 * bit
			}
			return 0
		case !within(t, 0xa1, 0xfe):
			return 0
		case within(l, 0xb0, 0xc8):
			return 80
		case l == 0xa1, l == 0xa3:
			return 9 * bit
		case within(l, 0xca, 0xfd):
			return 16 * bit
		}
		return 16 * bit
	}}},
	{big5, pairs{name: "Big5", cost: func(l, t byte) int32 {
		if !within(t, 0x40, 0x7e) && !within(t, 0xa1, 0xfe) {
			return 0
		}
		switch {
		case within(l, 0xa4, 0xc6):
			return 90
		case within(l, 0xa1, 0xa3):
			return 9 * bit
		case within(l, 0xc9, 0xf9):
			return 125
		case within(l, 0x81, 0xfe):
			return 19 * bit
		}
		return 0
	}}},
}

// asText is the cost of p in each encoding, and the cheapest.
func asText(p []byte, before byte, extra int32, cost *[encodings]int32) (best int) {
	cost[utf8Text] = asUTF8(p, extra)
	if ascii(p) {
		for e := range cost {
			cost[e] = cost[utf8Text]
		}
		return utf8Text
	}
	for i := range alphabets {
		cost[alphabets[i].as] = alphabets[i].alphabet.as(p, before, extra)
	}
	for i := range twoBytes {
		cost[twoBytes[i].as] = twoBytes[i].pairs.as(p, extra)
	}
	for e := range cost {
		if cost[e] < cost[best] {
			best = e
		}
	}
	return best
}
