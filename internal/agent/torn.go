package agent

import (
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/output"
)

// tornMost is how many torn lines of a stream are told; all are counted.
const tornMost = 8

// tornLines is what was told of torn lines, and how many there were.
type tornLines struct {
	told        [2]int
	lines, torn int64 // in parts of the streams that have ended
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
			Preview: x.Preview, Count: torn, Lines: min(lines, x.Line+1),
		})
		if at, ok := f.cmd.Tap().TimeAt(streams[i], offset+x.At); ok {
			o.WallNanos -= o.BootNanos - at
			o.BootNanos = at
		}
		f.observe(o)
	}
}

// countLines adds how many lines there were, and how many torn ones.
func (f *flight) countLines(n map[string]int64) {
	lines, torn := f.torn.lines, f.torn.torn
	for _, s := range f.streams {
		a, b := s.Count()
		lines, torn = lines+a, torn+b
	}
	n[evidence.CountLines], n[evidence.CountTorn] = lines, torn
}
