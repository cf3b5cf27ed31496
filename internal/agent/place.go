package agent

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/descry-dev/descry/internal/probe"
)

// window is a piece of a stream as the relay saw it.
type window struct {
	data []byte
	from int64   // offset in the stream of its first byte
	at   []int32 // of each byte of data its place behind from; nil: they are the same
}

// terminalWindow takes back what a terminal does to line ends, so that the bytes are those written.
func terminalWindow(w window) window {
	out := window{from: w.from, data: make([]byte, 0, len(w.data)), at: make([]int32, 0, len(w.data))}
	for i, c := range w.data {
		if c == '\r' && i+1 < len(w.data) && w.data[i+1] == '\n' {
			continue
		}
		out.data, out.at = append(out.data, c), append(out.at, int32(i))
	}
	return out
}

// offset in the stream of the byte at index i of data, or behind the last one.
func (w *window) offset(i int) int64 {
	if w.at == nil {
		return w.from + int64(i)
	}
	if i < len(w.at) {
		return w.from + int64(w.at[i])
	}
	if len(w.at) == 0 {
		return w.from
	}
	return w.from + int64(w.at[len(w.at)-1]) + int64(i-len(w.at)) + 1
}

// index in data of an offset in the stream. Of a pipe it may lie outside: what the relay's ring has no more is
// still known by the sums.
func (w *window) index(offset int64) int {
	if w.at == nil {
		return int(offset - w.from)
	}
	i, _ := slices.BinarySearch(w.at, int32(min(max(offset-w.from, 0), 1<<30)))
	return i
}

// piece says who wrote some bytes of a stream.
type piece struct {
	from, to int64 // offsets in the stream
	exact    bool  // what stands there is what the write held; else only the order of the calls' ends says so
	run      *probe.Written
}

const (
	tellingLen = 8       // so many bytes alike are hardly chance
	near       = 1 << 16 // how far writes at the same time displace each other: what a pipe holds
	samples    = 24      // that are looked for where the sums do not fit
)

// place says who wrote the bytes from a to b. The kernel's sums and the relay's offsets agree where
// all writes were seen and none raced; where they do not, what the writes began with tells. ahead is how
// far the stream is ahead of the sums, and is corrected.
func place(runs []probe.Written, w window, a, b int64, ahead *int64) []piece {
	*ahead = fit(runs, &w, *ahead)
	lo, hi := w.index(a), w.index(b)
	var found []piece
	for i := range runs {
		r := &runs[i]
		at := int(r.Offset + *ahead - w.from) // index in data
		if at > hi+near || at+int(r.Length) < lo-near {
			continue
		}
		p := piece{run: r}
		first, last := w.holds(at, r.First), r.Writes < 2 || w.holds(int(r.LastOffset+*ahead-w.from), r.Last)
		switch {
		case len(r.First) == 0 || at < 0 || at+len(r.First) > len(w.data): // nothing to compare with
		case first: // others begin alike, with the same time, and what repeats itself also stands a little beside
			p.exact = last && (w.fits(runs, i-1, *ahead) && w.fits(runs, i+1, *ahead) || w.only(at, r.First))
		default:
			if to, only := w.nearest(at, r.First); to >= 0 {
				at, p.exact = to, only && r.Writes < 2
			}
		}
		from, to := max(at, lo), min(at+int(r.Length), hi)
		if from >= to {
			continue
		}
		p.from, p.to = w.offset(from), w.offset(to)
		found = append(found, p)
	}
	// What is sure takes its place first.
	slices.SortStableFunc(found, func(p, q piece) int {
		switch {
		case p.exact != q.exact && p.exact:
			return -1
		case p.exact != q.exact:
			return 1
		}
		return cmp.Compare(p.to-p.from, q.to-q.from) // and a short write stands inside of a long run
	})
	var out []piece
	for _, p := range found {
		out = append(out, without(p, out)...)
	}
	slices.SortFunc(out, func(p, q piece) int { return cmp.Compare(p.from, q.from) })
	return out
}

// without is what is left of p where others stand already.
func without(p piece, others []piece) []piece {
	left := []piece{p}
	for _, o := range others {
		var next []piece
		for _, l := range left {
			if o.to <= l.from || o.from >= l.to {
				next = append(next, l)
				continue
			}
			if o.from > l.from {
				next = append(next, piece{l.from, o.from, l.exact, l.run})
			}
			if o.to < l.to {
				next = append(next, piece{o.to, l.to, l.exact, l.run})
			}
		}
		left = next
	}
	return left
}

// holds says whether b stands at index i.
func (w *window) holds(i int, b []byte) bool {
	return i >= 0 && i+len(b) <= len(w.data) && bytes.Equal(w.data[i:i+len(b)], b)
}

// fits says whether a write, if there is one, stands where the sums say.
func (w *window) fits(runs []probe.Written, i int, ahead int64) bool {
	if i < 0 || i >= len(runs) {
		return true
	}
	at := int(runs[i].Offset + ahead - w.from)
	return at < 0 || at+len(runs[i].First) > len(w.data) || w.holds(at, runs[i].First)
}

// only says that b stands nowhere else near.
func (w *window) only(i int, b []byte) bool {
	_, only := w.nearest(i, b)
	return only
}

// nearest is the index nearest to i where b stands, -1: none near; only says that there is no other.
func (w *window) nearest(i int, b []byte) (at int, only bool) {
	at = -1
	if len(b) < 3 {
		return at, false
	}
	n := 0
	from, to := max(0, min(i-near, len(w.data))), max(0, min(i+near, len(w.data)))
	for k := from; k < to; {
		j := bytes.Index(w.data[k:to], b)
		if j < 0 {
			break
		}
		k += j
		if n++; at < 0 || max(k-i, i-k) < max(at-i, i-at) {
			at = k
		}
		if k++; n > 1000 {
			break
		}
	}
	return at, n == 1 && len(b) >= tellingLen
}

// fit finds how far the stream is ahead of the sums: as before, if that still holds.
func fit(runs []probe.Written, w *window, ahead int64) int64 {
	votes := map[int64]int{}
	right, wrong := 0, 0
	var ask []*probe.Written
	for i := len(runs) - 1; i >= 0 && right+wrong < samples; i-- {
		r := &runs[i]
		at := int(r.Offset + ahead - w.from)
		if len(r.First) < tellingLen {
			continue
		}
		if at < 0 || at+len(r.First) > len(w.data) {
			ask = append(ask, r)
			if len(ask) > samples {
				break
			}
			continue
		}
		if w.holds(at, r.First) {
			right++
		} else {
			wrong++
			ask = append(ask, r)
		}
	}
	if right > 0 && right >= wrong || len(ask) == 0 {
		return ahead
	}
	for _, r := range ask[:min(len(ask), samples)] {
		k := bytes.Index(w.data, r.First) // where others begin alike, with the same time, it tells nothing
		if k >= 0 && !bytes.Contains(w.data[k+1:], r.First) {
			votes[w.from+int64(k)-r.Offset]++
		}
	}
	best, most := ahead, right
	if wrong == 0 { // all are of another time
		most = 2
	}
	for v, n := range votes {
		if n > most || n == most && best != ahead && max(v-ahead, ahead-v) < max(best-ahead, ahead-best) {
			best, most = v, n
		}
	}
	return best
}
