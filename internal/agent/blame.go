package agent

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/probe"
	"github.com/descry-dev/descry/internal/run"
)

// Bounds of blaming.
const (
	blameWait  = 300 * time.Millisecond // that a piece of garbage waits for the end of the call that wrote it
	blameEvery = 20 * time.Millisecond  // between two looks into the ledger
	maxWaiting = 256
	maxSeen    = 64  // writes whose stacks are kept
	stdioKept  = 256 // processes whose standard descriptors' pasts are kept
)

// blame joins what stands in the output with the writes that the kernel saw.
type blame struct {
	out     [2]probe.Output
	ahead   [2]int64 // see place
	waiting []waiting
	looked  time.Time

	guard chan struct{} // of what observe adds, filled once
	seen  []*evidence.Observation
	was   map[int32]*[3]evidence.Stdio // of each process, what its standard descriptors were given to by accident
}

// waiting is a piece of garbage whose writer is not known yet.
type waiting struct {
	stream int
	o      *evidence.Observation
	since  time.Time
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
func (b *blame) changed(pid int32, d *evidence.Stdio) {
	if d.Action != "allocated" || d.FD < 0 || d.FD > 2 {
		return
	}
	b.guard <- struct{}{}
	if b.was == nil {
		b.was = map[int32]*[3]evidence.Stdio{}
	}
	if b.was[pid] == nil && len(b.was) < stdioKept {
		b.was[pid] = new([3]evidence.Stdio)
	}
	if w := b.was[pid]; w != nil {
		w[d.FD] = *d
	}
	<-b.guard
}

// runs are the writes to a stream that are known: the ledger's, and those looked at which it has no
// more.
func (f *flight) runs(i int) ([]probe.Written, error) {
	out, err := f.set.Writes(f.blame.out[i].Inode)
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
	return out, nil
}

// wrote says who wrote the bytes from a to b of a stream, in their order there; what no seen write
// covers is left out. Only for the goroutine that reads the output.
func (f *flight) wrote(s run.Stream, a, b int64) ([]piece, error) {
	i := int(s)
	if f.set == nil || f.blame.out[i].Inode == 0 {
		return nil, probe.ErrNotSupported
	}
	runs, err := f.runs(i)
	if err != nil {
		return nil, err
	}
	return f.placed(i, runs, a, b), nil
}

func (f *flight) placed(i int, runs []probe.Written, a, b int64) []piece {
	var w window
	w.data, w.from = f.cmd.Tap().Tail(nil, streams[i], tailMost)
	if f.blame.out[i].Rdev != 0 {
		w = terminalWindow(w)
	}
	return place(runs, w, a, b, &f.blame.ahead[i])
}

// tailMost is more than the relay's ring gives.
const tailMost = 1 << 20

// ask lets an observation of garbage wait for its writer.
func (f *flight) ask(i int, o *evidence.Observation) {
	f.blame.waiting = append(f.blame.waiting, waiting{i, o, time.Now()})
	if len(f.blame.waiting) >= maxWaiting {
		f.answer(true)
	}
}

// answer records the garbage whose writers are known by now; with last, all of it.
func (f *flight) answer(last bool) {
	b := &f.blame
	if len(b.waiting) == 0 || !last && time.Since(b.looked) < blameEvery {
		return
	}
	b.looked = time.Now()
	var runs [2][]probe.Written
	var errs [2]error
	for i := range streams {
		if f.set != nil && b.out[i].Inode != 0 && slices.ContainsFunc(b.waiting, func(w waiting) bool { return w.stream == i }) {
			runs[i], errs[i] = f.runs(i)
		}
	}
	var left []waiting
	for _, w := range b.waiting {
		d := w.o.Detail.(*evidence.Garbled)
		var whole bool
		switch i := w.stream; {
		case f.set == nil:
			d.Unseen, whole = "no probes", true
		case b.out[i].Inode == 0:
			d.Unseen, whole = "writes to it were not watched", true
		case errs[i] != nil:
			d.Unseen, whole = "writes to it were not watched: "+errs[i].Error(), true
		default:
			whole = f.blameFor(d, i, runs[i])
			if d.Writer == nil {
				d.Unseen = "no write that was seen holds it; what io_uring or processes outside write is not seen"
			}
		}
		if !whole && !last && time.Since(w.since) < blameWait {
			d.Writer, d.Others, d.Unseen, d.Context = nil, 0, "", nil
			left = append(left, w)
			continue
		}
		f.observe(w.o)
	}
	b.waiting = left
}

// blameFor names the writer of a piece of garbage, and says whether all of it was covered.
func (f *flight) blameFor(d *evidence.Garbled, i int, runs []probe.Written) bool {
	pieces := f.placed(i, runs, d.Offset, d.Offset+d.Length)
	type who struct {
		pid, tid, fd int32
		call         string
	}
	byWho := map[who]*evidence.Writer{}
	threads := map[int32]bool{}
	covered := int64(0)
	for _, p := range pieces {
		r := p.run
		threads[r.TID] = true
		k := who{r.PID, r.TID, r.FD, r.Call}
		w := byWho[k]
		if w == nil {
			w = &evidence.Writer{PID: r.PID, TID: r.TID, Comm: r.Comm, Call: r.Call, FD: r.FD, Exact: true, BootNanos: r.BootNanos, Inode: f.blame.out[i].Inode}
			byWho[k] = w
		}
		w.Bytes += p.to - p.from
		w.Writes += r.Writes
		w.Exact = w.Exact && p.exact
		covered += p.to - p.from
		if d.Writer == nil || w.Bytes > d.Writer.Bytes {
			d.Writer = w
		}
	}
	if d.Writer == nil {
		return false
	}
	d.Others = int64(len(threads) - 1)
	f.complete(d, i, pieces)
	return covered >= d.Length
}

// complete adds to a writer what its descriptor is and was, and a stack of such a write.
func (f *flight) complete(d *evidence.Garbled, i int, pieces []piece) {
	w := d.Writer
	if f.blame.out[i].Rdev != 0 {
		w.FDKind = evidence.FDTTY
		w.Path = fmt.Sprintf("/dev/pts/%d", unix.Minor(f.blame.out[i].Rdev))
	} else {
		w.FDKind, w.Path = evidence.FDPipe, fmt.Sprintf("pipe:[%d]", w.Inode)
	}
	b := &f.blame
	b.guard <- struct{}{}
	defer func() { <-b.guard }()
	if s := b.was[w.PID]; s != nil && w.FD >= 0 && w.FD < 3 && s[w.FD].Is != "" {
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
		if inside || s.Odd && d.Context == nil {
			d.Context = s.Context
		}
		if inside {
			return
		}
	}
}

// closer takes stacks of the next writes to a stream, for a time.
func (f *flight) closer(i int, d time.Duration, stacks int) {
	if f.set != nil && f.blame.out[i].Inode != 0 {
		_ = f.set.Closer(f.blame.out[i], stacks, bootNanos()+int64(d)) // nothing depends on it
	}
}
