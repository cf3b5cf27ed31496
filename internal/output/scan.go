package output

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// oddIn has the top bit of each byte of w set that is no plain text: a control that no text has, DEL,
// 0x80 and above; also BEL and ESC, which the caller looks up.
func oddIn(w uint64) uint64 {
	x := w & (ones * 0x60)                // 0 for controls, of bytes below 0x80
	y := w ^ ones*0x08                    // below 0x08 for BS to SI, tab and line feed among them
	notControl := x + ones*0x60           // top bit: 0x20 and above
	notBlank := y&(ones*0x78) + ones*0x78 // top bit: not BS to SI
	return (notBlank&^notControl | w | (w&^highs + ones)) & highs
}

// textPrefix is the number of bytes that p starts with which are text: plain, or whole and valid
// sequences of UTF-8. What is cut off by the end of p is not counted.
func textPrefix(p []byte) int {
	n := 0
	for {
		n += plainPrefix(p[n:])
		start := n
		for n < len(p) {
			switch class[p[n]] {
			case plain:
				n++
				if n-start >= 32 {
					goto again
				}
				continue
			case lead2:
				if len(p)-n < 2 || p[n+1]&0xc0 != 0x80 {
					return n
				}
				n += 2
			case lead3:
				if len(p)-n < 3 || !valid3(p[n], p[n+1], p[n+2]) {
					return n
				}
				n += 3
			case lead4:
				if len(p)-n < 4 || !valid4(p[n], p[n+1], p[n+2], p[n+3]) {
					return n
				}
				n += 4
			default:
				return n
			}
			start = n
		}
		return n
	again:
	}
}

// valid3 says whether three bytes are a character: no overlong forms, no surrogates, and not U+FFFD, which
// stands where something else was: loggers and JSON put it for each byte that is no UTF-8.
func valid3(a, b, c byte) bool {
	if b&0xc0 != 0x80 || c&0xc0 != 0x80 {
		return false
	}
	return !(a == 0xe0 && b < 0xa0 || a == 0xed && b > 0x9f || a == 0xef && b == 0xbf && c == 0xbd)
}

// valid4 says whether four bytes are a character: no overlong forms, nothing beyond U+10FFFF.
func valid4(a, b, c, d byte) bool {
	if b&0xc0 != 0x80 || c&0xc0 != 0x80 || d&0xc0 != 0x80 {
		return false
	}
	return !(a == 0xf0 && b < 0x90 || a == 0xf4 && b > 0x8f)
}
