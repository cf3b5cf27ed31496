package agent

import (
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/output"
)

// tornMost is how many torn lines of a stream are told; all are counted.
const tornMost = 8

// tornLines looks for torn lines in both streams.
type tornLines struct {
	streams     [2]output.Lines
	found       []output.Torn
	told        [2]int
	lines, torn int64 // in parts of the streams that have ended
}

// tear looks at what a program has written next.
func (f *flight) tear(i int, b []byte) {
	t := &f.torn
	t.found = t.streams[i].Write(t.found[:0], b)
	f.tellTorn(i)
}

// endLines ends a stream, or its part before a gap.
func (f *flight) endLines(i int) {
	t := &f.torn
	t.found = t.streams[i].Flush(t.found[:0])
	f.tellTorn(i)
	lines, torn := t.streams[i].Count()
	t.lines, t.torn = t.lines+lines, t.torn+torn
	t.streams[i] = output.Lines{}
}

func (f *flight) tellTorn(i int) {
	t := &f.torn
	lines, torn := t.streams[i].Count()
	torn -= int64(len(t.found))
	for _, x := range t.found {
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
	for i := range f.torn.streams {
		a, b := f.torn.streams[i].Count()
		lines, torn = lines+a, torn+b
	}
	n[evidence.CountLines], n[evidence.CountTorn] = lines, torn
}
