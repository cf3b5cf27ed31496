package output

import (
	"bytes"
	"encoding/binary"
)

// How lines of a stream begin is learned as looks: a sequence of digits, words, spaces and signs that lines
// have in common, "2026-11-22 07:24:16 INFO " or `{"time":"2026-`. A look is of use when it is
// so special that it does not come about by chance.

const (
	headMost   = 96 // bytes of a line's start that are looked at
	tokensMost = 32
	looksMost  = 4  // ways of a stream's lines to begin that are known at a time
	special    = 44 // bits from which on a look does not come about by chance
	learned    = 16 // lines that make a look known
)

// The classes of tokens; a sign stands for itself.
const (
	digits = iota
	word   // letters of ASCII
	blanks
	beyond // bytes from 0x80 on
	mark   // one byte of any other kind
)

var tokenOf = func() (c [256]uint8) {
	for i := range c {
		switch b := byte(i); {
		case b >= '0' && b <= '9':
			c[i] = digits
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z':
			c[i] = word
		case b == ' ' || b == '\t':
			c[i] = blanks
		case b >= 0x80:
			c[i] = beyond
		default:
			c[i] = mark
		}
	}
	return c
}()

// token is what stands at one place of a look.
type token struct {
	class    uint8
	sign     byte // of a mark
	min, max uint8
	upper    bool // a word that was in capitals in all lines; blanks that were spaces
	same     bool // a word that was the same in all lines, up to its first four letters
	text     [4]byte
}

func (t *token) fits(o *token) bool { return t.class == o.class && t.sign == o.sign }

// bits is how unlikely a token is elsewhere.
func (t *token) bits() int {
	switch {
	case t.class == digits && t.min == t.max:
		return 3 * min(int(t.min), 4)
	case t.class == digits, t.class == beyond:
		return 3
	case t.class == word && t.same:
		return 4 * min(int(t.min), 4)
	case t.class == word:
		return 1
	case t.class == blanks:
		return 2
	}
	return 5
}

// merge makes t a token that o is one of, too.
func (t *token) merge(o *token) {
	if t.same && (t.text != o.text || o.min != t.min) {
		t.same = false
	}
	t.upper = t.upper && o.upper
	t.min, t.max = min(t.min, o.min), max(t.max, o.max)
}

// tokens takes the start of a line apart. A token that p may have cut is none yet, unless p is whole.
func tokens(p []byte, whole bool, out *[tokensMost]token) int {
	p, whole = p[:min(len(p), headMost)], whole && len(p) <= headMost
	n := 0
	for i := 0; i < len(p) && n < tokensMost; n++ {
		c := tokenOf[p[i]]
		t := token{class: c}
		from := i
		i++
		if c == mark {
			t.sign = p[from]
		} else {
			for i < len(p) && tokenOf[p[i]] == c {
				i++
			}
			if i == len(p) && !whole {
				return n
			}
		}
		t.min, t.max = uint8(i-from), uint8(i-from)
		t.upper = plainRun(c, p[from:i])
		if c == word {
			t.same = true
			copy(t.text[:], p[from:i])
		}
		out[n] = t
	}
	return n
}

// plainRun says of a word whether it is in capitals, of blanks whether they are spaces.
func plainRun(class uint8, p []byte) bool {
	for _, b := range p {
		if class == word && b >= 'a' || class == blanks && b != ' ' {
			return false
		}
	}
	return class == word || class == blanks
}

// look is one way in which lines begin.
type look struct {
	n     int // tokens
	all   [tokensMost]token
	lines int64
	fresh int  // lines that were compared in full since anything about it changed
	json  bool // lines are JSON objects
	clock bool // it has a time of day

	// What follows from these.
	core  int    // tokens that make it special; 0: it is not
	at    [2]int // where 16 bytes of the same classes stand, at least and at most
	fixed int    // so many of them are known
	value [2]uint64
	mask  [2]uint64
	run   int    // the longest piece of the core that has no letters: bytes, at least
	most  int    // and at most
	off   [2]int // where it begins, at least and at most
	least int    // bytes of the core, at least
	date  int    // the token that the longest piece begins with

	sign   signature
	signAt [2]int // where that begins, at least and at most
}

// agree is the number of tokens that all and the look have in common, from the start.
func (k *look) agree(all []token) int {
	n := 0
	for n < k.n && n < len(all) && k.all[n].fits(&all[n]) {
		if t := &k.all[n]; k.lines >= 2*learned && n < k.core && t.class == digits && t.min == t.max && all[n].min != t.min {
			break // it is not for one torn line to change what is known
		}
		n++
	}
	return n
}

// coreOf is how many tokens are special enough, and have a clock or a long number or are an object; 0: all are not.
func (k *look) coreOf() int {
	sum, long := 0, k.json
	k.clock = false
	for i := range k.n {
		t := &k.all[i]
		sum += t.bits()
		if t.class == digits && t.min == t.max {
			long = long || t.min >= 6
			k.clock = k.clock || t.min == 2 && i >= 2 && k.all[i-1].sign == ':' && k.all[i-2].class == digits && k.all[i-2].min == 2 && k.all[i-2].max == 2
		}
		if sum >= special && (long || k.clock) {
			// All of a date: the longer, the faster it is searched for.
			for i++; !k.json && i < k.n && k.all[i].letterless(); i++ {
			}
			return i
		}
	}
	return 0
}

// letterless says whether a token is of bytes from 0x20 to 0x3f alone.
func (t *token) letterless() bool {
	return t.class == digits || t.class == mark && t.sign&0xe0 == 0x20 || t.class == blanks && t.upper
}

func (k *look) refine() {
	k.json = k.n >= 2 && k.all[0].sign == '{' && k.all[1].sign == '"'
	k.core = k.coreOf()
	k.run, k.most, k.off = 0, 0, [2]int{}
	var at [2]int // where the token begins, at least and at most
	var off [2]int
	run, most, first, best := 0, 0, 0, 0
	for i := range k.core {
		t := &k.all[i]
		if !t.letterless() {
			run, most = 0, 0
		} else {
			if run == 0 {
				off, first = at, i
			}
			most += int(t.max)
			if run += int(t.min); run > k.run {
				k.run, k.most, k.off, best = run, most, off, first
			}
		}
		at[0], at[1] = at[0]+int(t.min), at[1]+int(t.max)
	}
	k.least, k.date = at[0], best
	// Bytes of which the classes are known tell a look at once: the first ones, or those of another place.
	k.fixed, at = 0, [2]int{}
	for i := range k.core {
		if n, value, mask := k.classes(i); n > k.fixed && (i == 0 || k.fixed < quickly) && at[1]-at[0] < 16 {
			k.fixed, k.at, k.value, k.mask = n, at, value, mask
		}
		at[0], at[1] = at[0]+int(k.all[i].min), at[1]+int(k.all[i].max)
	}
	k.sign, k.signAt = k.signature()
}

// classes is what the 16 bytes of all lines from a token on have in common, the bits that are that, and of how many bytes they are.
func (k *look) classes(from int) (n int, value, mask [2]uint64) {
	var m, v [16]byte
	for i := from; i < k.core && n < 16; i++ {
		t := &k.all[i]
		for range t.min {
			if n == 16 {
				break
			}
			switch t.class {
			case digits:
				m[n], v[n] = 0xf0, '0'
			case word:
				m[n], v[n] = 0xc0, 0x40
			case mark:
				m[n], v[n] = 0xff, t.sign
			case beyond:
				m[n], v[n] = 0x80, 0x80
			case blanks:
				if t.upper {
					m[n], v[n] = 0xff, ' '
				}
			}
			n++
		}
		if t.min != t.max {
			break
		}
	}
	for i := range 2 {
		mask[i], value[i] = binary.LittleEndian.Uint64(m[i*8:]), binary.LittleEndian.Uint64(v[i*8:])
	}
	return n, value, mask
}

// quick says whether the bytes of a line that tell it are of the classes of the look. It errs in saying yes,
// and in saying no to a line of which it was never true.
func (k *look) quick(p []byte) bool {
	for i := k.at[0]; i <= k.at[1]; i++ {
		if i+16 > len(p) {
			return false
		}
		if binary.LittleEndian.Uint64(p[i:])&k.mask[0] == k.value[0] && binary.LittleEndian.Uint64(p[i+8:])&k.mask[1] == k.value[1] {
			return true
		}
	}
	return false
}

// match says how many bytes of p are the look's core, 0 where p does not begin so. Only a first token of fixed
// length may be cut out of a longer one of its class, which is the caller's to know.
func (k *look) match(p []byte) int {
	i := 0
	for x := range k.core {
		t := &k.all[x]
		from := i
		switch t.class {
		case mark:
			if i == len(p) || p[i] != t.sign {
				return 0
			}
			i++
			continue
		default:
			for i < len(p) && i < headMost && tokenOf[p[i]] == t.class {
				i++
			}
		}
		n := i - from
		if n < int(t.min) || n > int(t.max) && (t.class != word || x < k.core-1) {
			return 0
		}
		if t.upper && !plainRun(t.class, p[from:i]) {
			return 0
		}
		if t.same {
			var text [4]byte
			if copy(text[:], p[from:i]); text != t.text {
				return 0
			}
		}
	}
	return i
}

// fitting says how many bytes of p tell that it begins with tokens of the core's classes, of any length; 0 where it does not.
func (k *look) fitting(p []byte) int {
	i := 0
	for x := range k.core {
		t := &k.all[x]
		if i >= len(p) || tokenOf[p[i]] != t.class || t.class == mark && p[i] != t.sign {
			return 0
		}
		for i++; t.class != mark && i < len(p) && tokenOf[p[i]] == t.class; i++ {
		}
	}
	return i
}

// stamp is the number of digits that the dates of two lines of the look have in common before the first
// that differs.
func (k *look) stamp(a, b []byte) (common int) {
	i, j := 0, 0
	for x := range k.core {
		t := &k.all[x]
		if t.class == mark {
			i, j = i+1, j+1
			continue
		}
		from := [2]int{i, j}
		for i < len(a) && tokenOf[a[i]] == t.class {
			i++
		}
		for j < len(b) && tokenOf[b[j]] == t.class {
			j++
		}
		if x < k.date || t.class != digits || t.min != t.max {
			continue
		}
		for d := range int(t.min) {
			if from[0]+d >= len(a) || from[1]+d >= len(b) || a[from[0]+d] != b[from[1]+d] {
				return common
			}
			common++
		}
	}
	return common
}

// begun says whether p, of four bytes or more, is the start of the look, cut before the core's end, and
// whether the cut went through a number of fixed width.
func (k *look) begun(p []byte) (begun, through bool) {
	i := 0
	for x := 0; x < k.core && i < len(p); x++ {
		t := &k.all[x]
		if t.class == mark {
			if p[i] != t.sign {
				return false, false
			}
			i++
			continue
		}
		from := i
		for i < len(p) && tokenOf[p[i]] == t.class {
			i++
		}
		n := i - from
		if n == 0 || n > int(t.max) || n < int(t.min) && i < len(p) {
			return false, false
		}
		through = t.class == digits && n < int(t.min)
		if t.same && !bytes.HasPrefix(t.text[:], p[from:from+min(n, 4)]) {
			return false, false
		}
	}
	return i == len(p) && i >= 4 && i < k.least, through
}

// learn says how the start of a line compares with the look, and makes it the look of that line, too,
// where it belongs to it.
func (k *look) learn(all []token) bool {
	n := k.agree(all)
	if n < k.core {
		return false
	}
	changed := false
	for i := range n {
		before := k.all[i]
		k.all[i].merge(&all[i])
		changed = changed || i < k.core+2 && k.all[i] != before
	}
	k.lines++
	k.fresh++
	if changed || n < k.n {
		changed = changed || n < k.core+2
		k.n = n
		k.refine()
		if changed {
			k.fresh = 0
		}
	}
	return true
}
