package agent

import (
	"slices"

	"github.com/descry-dev/descry/internal/evidence"
)

// What is kept of the place where a stream first turned to garbage, bytes.
const (
	keepBefore = 4 << 10
	keepBegin  = 256
)

// keepFirst keeps what stands around the first garbage of a stream, before the ring overwrites it.
func (f *flight) keepFirst(i int, offset int64) {
	name := streams[i].String()
	if slices.ContainsFunc(f.firstGarbage, func(g evidence.FirstGarbage) bool { return g.Stream == name }) {
		return
	}
	tail, from := f.cmd.Tap().Tail(nil, streams[i], tailMost)
	at := int(min(max(offset-from, 0), int64(len(tail))))
	if from > offset {
		return // it is gone already; the next one is not the first
	}
	f.firstGarbage = append(f.firstGarbage, evidence.FirstGarbage{
		Stream: name, Offset: offset,
		Before: slices.Clone(tail[max(0, at-keepBefore):at]), Begin: slices.Clone(tail[at:min(len(tail), at+keepBegin)]),
	})
}

// firstLine says whether an offset, where stdout first turned to garbage, is in its first line: then it is
// no text by its nature, as an archive is that begins with a name.
func (f *flight) firstLine(offset int64) bool {
	for _, g := range f.firstGarbage {
		if g.Stream == streams[0].String() && g.Offset == offset {
			return g.InFirstLine()
		}
	}
	return false
}
