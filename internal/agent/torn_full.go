package agent

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/descry-dev/descry/internal/evidence"
)

// Two processes whose output is buffered in full hand it on in pieces that end wherever the buffer was full. Where such pieces
// meet there is a line of two halves that begins as lines do, and which nobody's eye for lines finds. The ledger of writes does.

// Bounds of looking for such lines.
const (
	fullLeast = 4096        // bytes of the smallest buffer; all are multiples of it
	fullEvery = time.Second // between two looks
	fullNew   = 4 * fullLeast
)

// fullBuffers looks for lines in which full buffers of two processes meet, if enough was written since the last look.
func (f *flight) fullBuffers(i int, last bool) {
	t := &f.torn.full[i]
	at := f.base[i] + f.judged[i]
	if f.set == nil || f.blame.out[i].Inode == 0 || f.blame.out[i].Rdev != 0 || at-t.upTo < fullNew || !last && time.Since(t.looked) < fullEvery {
		return
	}
	t.looked = time.Now()
	w := f.window(i, 0, 1<<62)
	pieces, err := f.wrote(streams[i], max(w.from, t.upTo-8*fullLeast), at, window{})
	if err != nil {
		return
	}
	w = f.window(i, 0, 1<<62) // it may have gone on
	for _, b := range fullMeet(pieces, &w, f.blame.ahead[i]) {
		if b < t.upTo {
			continue
		}
		t.upTo = b + 1
		t.torn++
		if f.torn.told[i] >= tornMost {
			continue
		}
		d := tornAt(&w, b)
		d.Stream = streams[i].String()
		d.Lines, d.Count = f.streams[i].Count()
		d.Count += t.torn
		if sides(d, pieces, f.blame.out[i]); d.Before == nil || d.After == nil {
			continue
		}
		f.torn.told[i]++
		o := now(evidence.SourceOutput, f.pid, d)
		if at, ok := f.cmd.Tap().TimeAt(streams[i], b); ok {
			o.WallNanos -= o.BootNanos - at
			o.BootNanos = at
		}
		f.observe(o)
	}
	t.upTo = max(t.upTo, at-2*fullLeast)
}

// fullMeet gives the offsets at which, within a line, a full buffer of one process ends and that of another begins in the midst of
// a line of its own: its buffer before was full, too, and ended within a line. All that stands between was seen.
func fullMeet(pieces []piece, w *window, ahead int64) (found []int64) {
	open := map[int32]bool{} // processes whose last piece ended within a line, at the end of a full buffer
	var at int64
	for k := range pieces {
		p := &pieces[k]
		r := p.run
		if !p.exact || k > 0 && p.from != at { // what is not seen may be anybody's
			clear(open)
		}
		begins := p.exact && p.from == r.Offset+ahead
		if k > 0 && begins && p.from == at && open[r.PID] && pieces[k-1].run.PID != r.PID && open[pieces[k-1].run.PID] && w.plainAround(at) {
			found = append(found, at)
		}
		at = p.to
		i := int(at - w.from - 1)
		open[r.PID] = p.exact && at == r.Offset+r.Length+ahead && (r.Offset+r.Length-r.LastOffset)%fullLeast == 0 && i >= 0 && i < len(w.data) && w.data[i] != '\n'
	}
	return found
}

// plainAround says whether what stands around an offset of a stream is text.
func (w *window) plainAround(at int64) bool {
	i := int(at - w.from)
	if i < 0 || i > len(w.data) {
		return false
	}
	for _, c := range w.data[max(0, i-32):min(len(w.data), i+32)] {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' && c != 0x1b || c == 0x7f {
			return false
		}
	}
	return true
}

// tornAt is the line of a stream that is torn at an offset, without who wrote it.
func tornAt(w *window, at int64) *evidence.Torn {
	i := int(at - w.from)
	from := bytes.LastIndexByte(w.data[:i], '\n') + 1
	to := bytes.IndexByte(w.data[i:], '\n')
	if to < 0 {
		to = len(w.data) - i
	}
	clean := func(b []byte) string {
		return strings.Map(func(r rune) rune {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
				return '.'
			}
			return r
		}, string(b))
	}
	return &evidence.Torn{
		How: "interleaved", Offset: w.from + int64(from), Length: int64(i + to - from), At: int64(i - from),
		Preview: clean(w.data[max(from, i-24):i]) + "┆" + clean(w.data[i:i+min(to, 48)]),
	}
}
