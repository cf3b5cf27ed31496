package output

// linked is how much cheaper garbage is for each string that its length stands in front of: where it ends is known.
const linked = 8 * bit

// links counts the strings in p, of four bytes and more, that end where the byte in front of them says: just before a byte that
// is no text, or one byte before, which is a tag then.
func links(p []byte) (n int) {
	for i := 0; i < len(p); i++ {
		size := int(p[i])
		if size < 4 || size > 0x7f || i+1+size >= len(p) || !lengthAt(p, i) {
			continue
		}
		end, k := i+1+size, i+1
		for k < len(p) && p[k] >= 0x20 && p[k] < 0x7f {
			k++
		}
		if k == len(p) || class[p[k]] == plain || k != end && k != end+1 {
			continue
		}
		n++
		i = k - 1
	}
	return n
}

// lengthAt says whether what stands at i of p may be a length: it is no text, or what stands in front of it is none. Behind a letter
// of an old encoding a line ends, or goes on, and that is no length.
func lengthAt(p []byte, i int) bool {
	switch b := p[i]; {
	case class[b] == hard:
		return true
	case i == 0 || class[p[i-1]] == plain:
		return false
	case class[p[i-1]] == hard:
		return true
	default:
		return b < ' ' && b != '\n' && b != '\r' && b != '\t'
	}
}
