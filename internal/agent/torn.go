package agent

import (
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/output"
	"github.com/descry-dev/descry/internal/probe"
)

// tornMost is how many torn lines of a stream are told; all are counted.
const tornMost = 8

// tornLines is what was told of torn lines, and how many there were.
type tornLines struct {
	told        [2]int
	lines, torn int64 // in parts of the streams that have ended
	full        [2]fullTorn
}

// fullTorn are the lines of a stream in which full buffers meet.
type fullTorn struct {
	torn   int64
	upTo   int64 // offset in the stream up to which was looked
	looked time.Time
}

// countTorn adds the lines of a stream that ends, or of its part before a gap.
func (f *flight) countTorn(i int) {
	lines, torn := f.streams[i].Count()
	f.torn.lines, f.torn.torn = f.torn.lines+lines, f.torn.torn+torn
}

// tellTorn records the torn lines that a stream has just given.
func (f *flight) tellTorn(i int, found []output.Torn) {
	t := &f.torn
	lines, torn := f.streams[i].Count()
	torn -= int64(len(found))
	for _, x := range found {
		torn++
		if t.told[i] >= tornMost {
			break
		}
		t.told[i]++
		offset := f.base[i] + x.Offset
		o := now(evidence.SourceOutput, f.pid, &evidence.Torn{
			Stream: streams[i].String(), How: string(x.Kind), Offset: offset, Length: x.Length, At: x.At,
			Preview: x.Preview, Count: torn + t.full[i].torn, Lines: min(lines, x.Line+1),
		})
		if at, ok := f.cmd.Tap().TimeAt(streams[i], offset+x.At); ok {
			o.WallNanos -= o.BootNanos - at
			o.BootNanos = at
		}
		f.ask(i, o)
	}
}

// tornBy names the writers of both sides of a break, and says whether there is nothing to wait for.
func (f *flight) tornBy(d *evidence.Torn, i int, around window) bool {
	at := d.Offset + d.At
	pieces, err := f.wrote(streams[i], max(d.Offset, at-aroundIt), min(d.Offset+d.Length+1, at+aroundIt), around)
	if err != nil {
		d.Unseen = err.Error()
		return true
	}
	return sides(d, pieces, f.blame.out[i])
}

// sides names the writers of both sides of a break, and says whether both are known.
func sides(d *evidence.Torn, pieces []piece, out probe.Output) bool {
	at := d.Offset + d.At
	d.Before, d.After, d.BeforeWrite, d.AfterWrite = nil, nil, 0, 0
	for _, p := range pieces {
		r := p.run
		if p.from < at && p.to >= at {
			d.Before = writerOf(&p, out)
			switch { // a write that goes on behind the break did not end there
			case p.to > at:
			case r.Writes == 1:
				d.BeforeWrite = r.Length
			default:
				d.BeforeWrite = r.Offset + r.Length - r.LastOffset
			}
		}
		if p.from <= at && p.to > at {
			d.After = writerOf(&p, out)
			switch {
			case p.from < at:
			case r.Writes == 1:
				d.AfterWrite = r.Length
			case r.Writes == 2:
				d.AfterWrite = r.LastOffset - r.Offset
			}
		}
	}
	if d.Before == nil || d.After == nil {
		d.Unseen = "no write that was seen holds both sides of the break"
		return false
	}
	return true
}

// writerOf is who wrote a piece.
func writerOf(p *piece, out probe.Output) *evidence.Writer {
	r := p.run
	w := &evidence.Writer{
		PID: r.PID, TID: r.TID, Comm: r.Comm, Call: r.Call, FD: r.FD, FDKind: evidence.FDPipe, Inode: out.Inode,
		Bytes: p.to - p.from, Writes: r.Writes, Exact: p.exact, BootNanos: r.BootNanos,
	}
	if out.Rdev != 0 {
		w.FDKind = evidence.FDTTY
	}
	return w
}

// countLines adds how many lines there were, and how many torn ones.
func (f *flight) countLines(n map[string]int64) {
	lines, torn := f.torn.lines, f.torn.torn
	for _, s := range f.streams {
		a, b := s.Count()
		lines, torn = lines+a, torn+b
	}
	for i := range f.torn.full {
		torn += f.torn.full[i].torn
	}
	n[evidence.CountLines], n[evidence.CountTorn] = lines, torn
}
