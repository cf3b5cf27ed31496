package agent

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/ladder"
	"github.com/descry-dev/descry/internal/probe"
	"github.com/descry-dev/descry/internal/run"
)

// Bounds of blaming.
const (
	blameWait  = 300 * time.Millisecond // that a piece of garbage waits for the end of the call that wrote it
	blameEvery = 20 * time.Millisecond  // between two looks into the ledger
	blameSoon  = 2 * time.Millisecond   // likewise, for the first garbage: a program that writes much soon overwrites it
	aroundIt   = 4 << 10                // bytes that are kept around a piece of garbage until it is blamed
	blameAgain = time.Second
	maxWaiting = 256
	maxBlamed  = 32  // pieces of a stream's garbage that are blamed at once; then one in blameAgain
	maxSeen    = 64  // writes whose stacks are kept
	stdioKept  = 256 // processes whose standard descriptors' pasts are kept
)

// blame joins what stands in the output with the writes that the kernel saw.
type blame struct {
	out     [2]probe.Output
	ahead   [2]int64 // see place
	waiting []waiting
	looked  time.Time
	ledger  [2]struct { // as of looked
		runs []probe.Written
		err  error
	}
	tail  []byte // of a stream, reused
	steps *ladder.Ladder

	sought [2]time.Time // when it was last looked who has an output open

	asked [2]int       // pieces of garbage of each stream that were blamed
	askAt [2]time.Time // when the last one was

	ended atomic.Int64 // boot time at which a process last ended, 0: none has

	guard chan struct{} // of what observe adds, filled once
	seen  []*evidence.Observation
	was   map[int32]*[3]wasGiven // of each process, what its standard descriptors were given to by accident
}

// wasGiven is what a standard descriptor was given to by accident, and when (boot time).
type wasGiven struct {
	at int64
	evidence.Stdio
}

// waiting is a piece of garbage or a torn line whose writers are not known yet.
type waiting struct {
	stream int
	o      *evidence.Observation
	since  time.Time
	asked  bool // it was looked up once, and will be to the end
	around window
}

// watchOutput lets the kernel keep a ledger of the writes to the command's output.
func (f *flight) watchOutput() {
	f.blame.guard = make(chan struct{}, 1)
	if f.set == nil {
		return
	}
	for i, s := range streams {
		inode, rdev := f.cmd.Tap().Inode(s)
		o := probe.Output{Inode: inode, Rdev: rdev}
		if inode == 0 || i == 1 && f.cmd.Tap().Merged() || f.set.WatchOutput(o) != nil {
			continue
		}
		f.blame.out[i] = o
	}
}

// written takes a write that the kernel looked at, and says whether it is to be recorded: what went
// astray is, what reached the output is there already.
func (b *blame) written(o *evidence.Observation, d *evidence.Written) bool {
	if !d.Output {
		return true
	}
	b.guard <- struct{}{}
	if len(b.seen) >= maxSeen { // the first ones and the newest
		b.seen = slices.Delete(b.seen, maxSeen/4, maxSeen/4+1)
	}
	b.seen = append(b.seen, o)
	<-b.guard
	return false
}

// changed takes a change of a standard descriptor.
func (b *blame) changed(pid int32, at int64, d *evidence.Stdio) {
	if d.Action != "allocated" || d.FD < 0 || d.FD > 2 {
		return
	}
	b.guard <- struct{}{}
	if b.was == nil {
		b.was = map[int32]*[3]wasGiven{}
	}
	if b.was[pid] == nil && len(b.was) < stdioKept {
		b.was[pid] = new([3]wasGiven)
	}
	if w := b.was[pid]; w != nil {
		w[d.FD] = wasGiven{at, *d}
	}
	<-b.guard
}

// look takes the writes to both streams that are known: the ledger's, and those looked at which it has
// no more.
func (f *flight) look() {
	b := &f.blame
	b.looked = time.Now()
	for i := range b.ledger {
		if f.set != nil && b.out[i].Inode != 0 {
			b.ledger[i].runs, b.ledger[i].err = f.runs(i)
		}
	}
}

func (f *flight) runs(i int) ([]probe.Written, error) {
	out, err := f.set.Writes(f.blame.ledger[i].runs[:0], f.blame.out[i].Inode)
	if err != nil {
		return nil, err
	}
	f.blame.guard <- struct{}{}
	defer func() { <-f.blame.guard }()
	for _, o := range f.blame.seen {
		d := o.Detail.(*evidence.Written)
		if d.Inode != f.blame.out[i].Inode {
			continue
		}
		if k := slices.IndexFunc(out, func(r probe.Written) bool { return r.Offset <= d.Offset && d.Offset < r.Offset+r.Length }); k >= 0 {
			continue
		}
		r := probe.Written{
			Offset: d.Offset, Length: d.Bytes, LastOffset: d.Offset, PID: o.PID, TID: o.TID, Comm: o.Comm, Call: d.Call, FD: d.FD,
			Writes: 1, BootNanos: o.BootNanos, Until: o.BootNanos, Odd: d.Odd,
		}
		if d.At == 0 {
			r.First = d.Data[:min(len(d.Data), 16)]
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b probe.Written) int { return cmp.Compare(a.Offset, b.Offset) })
	return out, nil
}

// wrote says who wrote the bytes from a to b of a stream, in their order there; what no seen write
// covers is left out, and so are calls that have not ended yet. The error says why nothing is known. w is
// what stands there, if it may have left the ring; else empty. Only for the goroutine that reads the output.
func (f *flight) wrote(s run.Stream, a, b int64, w window) ([]piece, error) {
	i, l := int(s), &f.blame.ledger[s]
	switch {
	case f.set == nil:
		return nil, errors.New("no probes")
	case f.blame.out[i].Inode == 0:
		return nil, errors.New("writes to it were not watched")
	}
	if time.Since(f.blame.looked) >= blameEvery {
		f.look()
	}
	if l.err != nil {
		return nil, l.err
	}
	if len(w.data) == 0 {
		w = f.window(i, 0, 1<<62)
	}
	return place(l.runs, w, a, b, &f.blame.ahead[i]), nil
}

// window is what the ring has of a stream between two offsets, as it was written.
func (f *flight) window(i int, a, b int64) (w window) {
	f.blame.tail, w.from = f.cmd.Tap().Tail(f.blame.tail[:0], streams[i], tailMost)
	w.data = f.blame.tail
	lo, hi := min(max(a-w.from, 0), int64(len(w.data))), min(max(b-w.from, 0), int64(len(w.data)))
	w.data, w.from = w.data[lo:max(lo, hi)], w.from+lo
	if b < 1<<62 { // it is kept for later
		w.data = slices.Clone(w.data)
	}
	if f.blame.out[i].Rdev != 0 {
		w = terminalWindow(w)
	}
	return w
}

// tailMost is more than the relay's ring gives.
const tailMost = 1 << 20

// ask lets an observation of garbage or of a torn line wait for its writers.
func (f *flight) ask(i int, o *evidence.Observation) {
	w := waiting{stream: i, o: o, since: time.Now()}
	switch d := o.Detail.(type) {
	case *evidence.Garbled:
		if f.set != nil && f.blame.asked[i] < maxBlamed {
			w.around = f.window(i, d.Offset-aroundIt, d.Offset+min(d.Length, aroundIt)+aroundIt)
		}
	case *evidence.Torn: // of which few are told
		if f.set != nil {
			w.around = f.window(i, d.Offset+d.At-aroundIt, d.Offset+d.At+aroundIt)
		}
	}
	f.blame.waiting = append(f.blame.waiting, w)
	if len(f.blame.waiting) >= maxWaiting {
		f.answer(true)
	}
}

// answer records the garbage whose writers are known by now; with last, all of it.
func (f *flight) answer(last bool) {
	b := &f.blame
	every := blameEvery
	if slices.ContainsFunc(b.waiting, func(w waiting) bool { return !w.asked && b.asked[w.stream] < maxBlamed }) {
		every = blameSoon
	}
	if len(b.waiting) == 0 || !last && time.Since(b.looked) < every {
		return
	}
	f.look()
	var left []waiting
	for k := range b.waiting {
		w := b.waiting[k]
		if d, ok := w.o.Detail.(*evidence.Torn); ok {
			w.asked = true
			if !f.tornBy(d, w.stream, w.around) && !last && time.Since(w.since) < blameWait {
				d.Unseen = ""
				left = append(left, w)
				continue
			}
			f.observe(w.o)
			continue
		}
		d := w.o.Detail.(*evidence.Garbled)
		if !w.asked && b.asked[w.stream] >= maxBlamed && time.Since(b.askAt[w.stream]) < blameAgain && !(last && len(b.waiting)-k <= maxAlike) {
			d.Unseen = "one of many, and not looked up"
			f.observe(w.o)
			continue
		}
		if !w.asked {
			w.asked = true
			b.asked[w.stream]++
			b.askAt[w.stream] = time.Now()
		}
		if !f.blameFor(d, w.stream, w.around) && !last && time.Since(w.since) < blameWait {
			d.Writer, d.Others, d.Unseen, d.Context = nil, 0, "", nil
			left = append(left, w)
			continue
		}
		if d.Writer == nil && time.Since(b.sought[w.stream]) >= blameAgain {
			b.sought[w.stream] = time.Now()
			f.byRing(d, w.stream)
		}
		if x := d.Writer; x != nil && x.Exact && (x.Writes == 1 && x.BootNanos < w.o.BootNanos || d.From != 0) { // the relay saw it later
			w.o.WallNanos -= w.o.BootNanos - x.BootNanos
			w.o.BootNanos = x.BootNanos
		}
		f.observe(w.o)
	}
	b.waiting = left
}

// blameFor names the writer of a piece of garbage, and says whether there is nothing to wait for.
func (f *flight) blameFor(d *evidence.Garbled, i int, around window) bool {
	pieces, err := f.wrote(streams[i], d.Offset, d.Offset+d.Length, around)
	if err != nil {
		d.Unseen = err.Error()
		return true
	}
	covered := int64(0)
	for _, p := range pieces {
		covered += p.to - p.from
	}
	if d.Writer, d.Others = mostOf(pieces); d.Writer == nil {
		d.Unseen = "no write that was seen holds it; io_uring and other programs that have the pipe are not seen"
		return false
	}
	f.complete(d, i, pieces)
	return covered >= d.Length
}

// complete adds to a writer what its descriptor is and was, and a stack of such a write.
func (f *flight) complete(d *evidence.Garbled, i int, pieces []piece) {
	w := d.Writer
	ofOutput(w, f.blame.out[i])
	b := &f.blame
	b.guard <- struct{}{}
	defer func() { <-b.guard }()
	if s := b.was[w.PID]; s != nil && w.FD >= 0 && w.FD < 3 && s[w.FD].Is != "" && s[w.FD].at < w.BootNanos { // what it is given to later tells nothing of this write
		w.Was, w.WasPeer, w.WasPath = s[w.FD].Is, s[w.FD].Peer, s[w.FD].Path
	}
	// The stack of a write of the piece itself; else of one like it, by the same thread in the same way.
	for _, o := range b.seen {
		s := o.Detail.(*evidence.Written)
		if o.PID != w.PID || o.TID != w.TID || s.FD != w.FD || s.Call != w.Call || s.Inode != w.Inode || s.Context == nil {
			continue
		}
		inside := slices.ContainsFunc(pieces, func(p piece) bool {
			return p.run.TID == o.TID && s.Offset >= p.run.Offset && s.Offset < p.run.Offset+p.run.Length
		})
		if inside && d.From == 0 {
			if d.From = memoryOf(d, s, b.ahead[i]); d.From != 0 {
				w.BootNanos = o.BootNanos
			}
		}
		if inside || s.Odd && d.Context == nil {
			d.Context = s.Context
		}
		if inside && d.From != 0 {
			return
		}
	}
}

// memoryOf is where a piece of garbage began in its writer's memory, if that write holds its first byte; 0 where it
// does not, or where that is not known. What stands in the output is ahead of the ledger's offsets.
func memoryOf(d *evidence.Garbled, s *evidence.Written, ahead int64) uint64 {
	at := d.Offset - ahead - s.Offset
	if s.From == 0 || at < 0 || at >= s.Bytes || !d.Writer.Exact {
		return 0
	}
	if strings.Contains(s.Call, "writev") && (at < s.At || at >= s.At+int64(len(s.Data))) {
		return 0 // it may stand in another of its pieces
	}
	return s.From + uint64(at-s.At)
}
