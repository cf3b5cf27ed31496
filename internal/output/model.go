package output

import "math/bits"

// What a piece of a stream is, is decided by how many bits it would take to write it down as one or
// the other: as text in an encoding, where letters are cheap and controls dear, or as bytes of which
// some are likelier than others. Costs are in eighths of a bit.
//
// A piece is garbage when that is cheaper by at least surely than every way to read it as text.

const bit = 8

// surely is how much cheaper garbage must be. It stands for how rare garbage is in what programs
// print: about once in 2^24 places.
const surely = 24 * bit

// asciiCost is what a plain byte costs in text of any language.
var asciiCost = func() (c [128]int32) {
	for i := range c {
		switch b := byte(i); {
		case b >= 'a' && b <= 'z':
			c[i] = 38 // 4.75 bits
		case b >= 'A' && b <= 'Z', b >= '0' && b <= '9':
			c[i] = 48
		case b == ' ':
			c[i] = 24
		case b == '\n' || b == '\t' || b == '\r':
			c[i] = 52
		case class[b] == hard:
			c[i] = 13 * bit
		case b < 0x20:
			c[i] = 76 // BEL, BS, VT, FF, SO, SI, ESC
		default:
			c[i] = 56 // punctuation
		}
	}
	return c
}()

// strays tells what controls cost in text: few are seen, and if so as separators, the same one or two
// again and again, and not next to each other.
type strays struct {
	a, b  byte  // the last two, of different values
	at    int   // behind the last one
	extra int32 // what each costs more but the first, where they are unusual
}

func (s *strays) cost(c byte, i int) int32 {
	next, first := s.at == i && i > 0, s.a == 0xff
	s.at = i + 1
	known := (c == s.a || c == s.b) && (s.a != s.b)
	if c != s.a {
		s.a, s.b = c, s.a
	}
	switch {
	case next:
		return 12*bit + s.extra
	case known:
		return 5*bit + s.extra
	case first:
		return 14 * bit
	}
	return 14*bit + s.extra
}

func newStrays(extra int32) strays { return strays{a: 0xff, b: 0xfe, extra: extra} }

// asUTF8 is the cost of p as UTF-8 with strays.
func asUTF8(p []byte, extra int32) (sum int32) {
	s := newStrays(extra)
	for i := 0; i < len(p); {
		b := p[i]
		switch {
		case b < 0x80 && class[b] == hard:
			if marked(p, i) {
				sum += 8 * bit
			} else {
				sum += s.cost(b, i)
			}
			i++
		case b < 0x80:
			sum += asciiCost[b]
			i++
		default:
			n := textPrefix(p[i:min(len(p), i+4)])
			switch {
			case replaced(p[i:]): // a letter of a lost encoding, as a rule
				sum += 8 * bit
				i += 3
			case b >= 0xf5 && b <= 0xf7 && len(p)-i >= 4 && p[i+1]&p[i+2]&p[i+3]&0xc0 == 0x80 && (p[i+1]|p[i+2]|p[i+3])&0x40 == 0:
				sum += 16 * bit // a character beyond Unicode's end, as broken converters make them
				i += 4
			case n == 0:
				sum += 13 * bit
				i++
			case class[b] == lead2:
				sum += 9 * bit
				i += 2
			case class[b] == lead3:
				sum += 12 * bit
				i += 3
			default:
				sum += 15 * bit
				i += 4
			}
		}
	}
	return sum
}

// marked says whether p[i] is one of the marks that shells put around the colours of a prompt.
func marked(p []byte, i int) bool {
	return p[i] == 1 && i+1 < len(p) && p[i+1] == 0x1b || p[i] == 2 && i > 0 && p[i-1] == 'm'
}

// The kinds of bytes that follow each other in text of one byte a letter.
const (
	space   = iota // and punctuation
	digit          //
	letter         // of ASCII
	strange        // letter of the other alphabet, or with an accent
	sign           // from 0x80 on, that is no letter
	ctrl
)

var kindOf = func() (k [128]uint8) {
	for i := range k {
		switch b := byte(i); {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z':
			k[i] = letter
		case b >= '0' && b <= '9':
			k[i] = digit
		case class[b] == hard:
			k[i] = ctrl
		default:
			k[i] = space
		}
	}
	return k
}()

// alphabet is an encoding of one byte a letter.
type alphabet struct {
	name string
	kind [128]uint8 // of 0x80 on: strange, sign or ctrl where it is not in use
	low  [128]bool  // of 0x80 on: a small letter
	mix  bool       // its letters stand among those of ASCII
	each [128]int32 // what a letter costs
}

// as is the cost of p in the alphabet; before is the byte before p.
func (a *alphabet) as(p []byte, before byte, extra int32) (sum int32) {
	s := newStrays(extra)
	prev, low := uint8(space), false
	if before < 0x80 {
		prev = kindOf[before]
	} else {
		prev, low = a.kind[before-0x80], a.low[before-0x80]
	}
	for i, b := range p {
		if b < 0x80 {
			k := kindOf[b]
			if k == ctrl {
				sum += s.cost(b, i) + foreignStray
				prev = space
				continue
			}
			sum += asciiCost[b]
			if prev == strange && !a.mix {
				switch k {
				case letter:
					sum += 8 * bit
				case digit:
					sum += 5 * bit
				}
			}
			prev, low = k, false
			continue
		}
		k := a.kind[b-0x80]
		switch {
		case k == ctrl:
			sum += 15 * bit
		case k == sign:
			sum += 11 * bit
		case a.mix:
			if b >= 0xc0 && b <= 0xde && i > 0 && p[i-1] >= 'a' && p[i-1] <= 'z' { // a capital behind a small letter
				sum += 6 * bit
			}
			switch prev {
			case letter:
				sum += 64
			case space:
				sum += 72
			case strange:
				sum += 80
			default:
				sum += 104
			}
		default:
			sum += a.each[b-0x80]
			switch prev {
			case letter:
				sum += 8 * bit
			case digit:
				sum += 5 * bit
			case sign, ctrl:
				sum += 3 * bit
			case strange:
				if low && !a.low[b-0x80] { // a capital behind a small letter
					sum += 5 * bit
				}
			}
		}
		prev, low = k, a.low[b-0x80]
	}
	return sum
}

// pairs is an encoding of two bytes a character. cost gives what a pair costs, 0 where it is none.
type pairs struct {
	name   string
	cost   func(lead, trail byte) int32
	single func(b byte, again bool) int32 // of a byte from 0x80 on that stands alone, behind another such one or not; nil: none does
	four   bool                           // there are characters of four bytes, as GB18030 has them
	spaced bool                           // words stand apart
}

// foreignStray is what a control costs more in text that is no UTF-8 either: both are rare.
const foreignStray = 8 * bit

const unpaired = 20 * bit

func (e *pairs) as(p []byte, extra int32) (sum int32) {
	s := newStrays(extra)
	again := false
	for i := 0; i < len(p); {
		b := p[i]
		switch {
		case b < 0x80 && class[b] == hard:
			sum += s.cost(b, i) + foreignStray
			again = false
			i++
		case b < 0x80:
			sum += asciiCost[b]
			if b == ' ' && i > 0 && p[i-1] >= 0x80 && !e.spaced {
				sum += 3 * bit
			}
			again = false
			i++
		default:
			if e.single != nil {
				if c := e.single(b, again); c > 0 {
					sum += c
					again = true
					i++
					continue
				}
			}
			again = false
			if i+1 == len(p) { // cut off
				sum += 14 * bit
				i++
				continue
			}
			if e.four && i+3 < len(p) && within(b, 0x81, 0xfe) && within(p[i+1], '0', '9') && within(p[i+2], 0x81, 0xfe) && within(p[i+3], '0', '9') {
				sum += 24 * bit
				i += 4
				continue
			}
			if c := e.cost(b, p[i+1]); c > 0 {
				sum += c
				i += 2
				continue
			}
			sum += unpaired
			i++
		}
	}
	return sum
}

// The costs of garbage. Bytes that are equally likely cost 8 bits each: what is encrypted or compressed.

// asMemory is the cost of p as structures: much is NUL, small numbers are likelier than others.
func asMemory(p []byte) (sum int32) {
	for _, b := range p {
		switch {
		case b == 0:
			sum += 12 // 1.5 bits
		case b == 0xff:
			sum += 4 * bit
		case class[b] == hard:
			sum += 54 // 6.75 bits
		default:
			sum += 73
		}
	}
	return sum
}

// asFramed is the cost of p as text with lengths and tags in between: protocols, structures with names.
func asFramed(p []byte) (sum int32) {
	for _, b := range p {
		switch {
		case b == 0:
			sum += 28 // 3.5 bits
		case b >= 0x80:
			sum += 67
		case class[b] == hard:
			sum += 58
		default:
			sum += asciiCost[b] + 6
		}
	}
	return sum
}

// asNames is the cost of p as names that are ended by NUL, or led by a tag that is often the same, and a length.
func asNames(p []byte) (sum int32) {
	tag := byte(0)
	for i, b := range p {
		switch {
		case b == 0:
			sum += 24 // 3 bits
		case b >= 0x80 && b == tag && i+1 < len(p) && p[i+1] < 0x20 && p[i+1] != '\n' && p[i+1] != '\r' && p[i+1] != '\t':
			sum += 5 * bit
		case b >= 0x80:
			sum += 12 * bit
			tag = b
		case class[b] == hard:
			sum += 60 // 7.5 bits
		default:
			sum += asciiCost[b] + 3
		}
	}
	return sum
}

// asLongNames is the same of longer ones, as C++ has them.
func asLongNames(p []byte) (sum int32) {
	letters := int32(0)
	for _, b := range p {
		switch {
		case b == 0:
			sum += 44 // 5.5 bits
		case b >= 0x80 || class[b] == hard:
			sum += 14 * bit
		default:
			sum += asciiCost[b]
			letters++
		}
	}
	return sum + letters/2
}

// asUTF16 is the cost of p where every second byte stays the same, as in UTF-16 of most languages.
func asUTF16(p []byte) int32 {
	var sum [2]int32
	for i, b := range p {
		other := int32(67)
		if b < 0x80 && class[b] != hard {
			other = asciiCost[b] + 4
		}
		high := other + 3*bit
		switch {
		case class[b] != hard: // in UTF-16 it is a small number
		case i >= 2 && p[i-2] == b:
			high = 4
		case i < 2:
			high = 6 * bit
		}
		sum[i&1] += high
		sum[1-i&1] += other
	}
	return min(sum[0], sum[1])
}

// replaced says whether p begins with U+FFFD.
func replaced(p []byte) bool {
	return len(p) >= 3 && p[0] == 0xef && p[1] == 0xbf && p[2] == 0xbd
}

// controlled says whether p, of which some was replaced by U+FFFD, holds as many controls as random bytes do.
// The replaced bytes tell nothing: they may have been letters of an old encoding.
func controlled(p []byte) bool {
	n, length := 0, 0
	var values uint32
	for i := 0; i < len(p); i++ {
		length++
		switch {
		case replaced(p[i:]):
			i += 2
		case p[i] < 0x80 && class[p[i]] == hard:
			n++
			values |= 1 << min(p[i], 31)
		}
	}
	return n >= 4 && bits.OnesCount32(values) >= 3 && n*25 >= length
}

func asGarbage(p []byte) int32 {
	return min(int32(len(p))*8*bit, asMemory(p), asFramed(p), asNames(p), asLongNames(p), asUTF16(p))
}
