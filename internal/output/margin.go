package output

import "bytes"

// margin is how much cheaper p is as garbage than as text, and how much of that is so because controls
// are unusual in this stream.
func (j *Judge) margin(p []byte) (margin, unusual int32) {
	j.costed = 0
	if bytes.Contains(p, []byte("\xef\xbf\xbd")) {
		if controlled(p) {
			return 2 * surely, 0
		}
		return -1, 0
	}
	extra := j.habit.extra(j.start)
	if extra > 0 && meant(p, j.before.bytes()) {
		extra = 0
	}
	if extra > 0 && controls(p) <= 2 && !(len(p) == 2 && p[0] != p[1] && p[0]&p[1] == 0 && controls(p) == 2) {
		extra /= 2
	}
	garbage := asGarbage(p)
	best := asUTF8(p, extra)
	if best > garbage && !ascii(p) {
		best = j.cost[asText(p, j.before.last(), extra, &j.cost)]
		j.costed = len(p)
	}
	if best-garbage < surely { // else it does not matter
		if n := int32(links(p)); n >= 2 {
			garbage -= n * linked
		}
	}
	if best-garbage < 2*surely && repeats(p)*2 > len(p) {
		return 2 * surely, 0
	}
	return best - garbage, extra * max(0, int32(controls(p))-1)
}

// learn takes what is in the buffer, as far as it is text, for what is usual in this stream.
func (j *Judge) learn() {
	if j.odd == 0 {
		return
	}
	p := j.buf[:j.odd]
	garbage := j.span.on && j.span.end > j.start
	if !garbage {
		if j.costed != j.odd {
			asText(p, j.before.last(), 0, &j.cost)
		}
		if !j.garbled {
			j.foreign.add(&j.cost, int64(j.odd), j.start)
		}
	}
	if !garbage || j.unsure {
		if n := controls(p); n > 0 {
			j.habit.add(n, j.start+int64(j.odd))
		}
	}
}

// controls counts those that no text has.
func controls(p []byte) (n int) {
	for _, b := range p {
		if class[b] == hard {
			n++
		}
	}
	return n
}

func ascii(p []byte) bool {
	for _, b := range p {
		if b >= 0x80 {
			return false
		}
	}
	return true
}

func (f *foreignInMaking) add(cost *[encodings]int32, n, offset int64) {
	if f.pieces == 0 {
		f.offset = offset
	}
	f.pieces++
	f.bytes += n
	for e := range cost {
		f.cost[e] += int64(cost[e])
	}
}
