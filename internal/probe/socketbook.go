//go:build linux

package probe

import (
	"cmp"
	"slices"

	"github.com/descry-dev/descry/internal/evidence"
)

// socketBook is what sweeps of sockets remember.
type socketBook struct {
	seen   map[uint64]*seenSocket          // by inode
	untold map[int32]*evidence.Observation // by process: the last sample, where it says more than what was handed on
	stuck  map[int32]bool                  // processes of which a socket that stood still was told
	passes int64
}

// seenSocket is one that showed a sign once.
type seenSocket struct {
	base  int64 // drops before the run
	pass  int64 // that saw it last
	since int64 // boot time from which on it stood still
	in    uint64
	out   uint64
	signs uint32

	toldSigns uint32
	toldDrops int64
	toldNanos int64
}

const (
	maxSeenSockets = 8192
	forgetSockets  = 120 // passes
	slowNanos      = 1e9 // standing still for less is everyday
)

// pass takes the rows of one sweep and gives the observations that are worth it.
func (b *socketBook) pass(rows []byte, now int64) (out []*evidence.Observation) {
	b.init()
	b.passes++
	telling := map[int32][]socketRowOf{}
	taken := map[uint64]bool{} // a socket that several processes hold is the first one's
	var sums [][]byte
	eachRow(rows, func(typ uint32, row []byte) {
		switch {
		case typ == rowSocket && len(row) >= socketRow:
			r := readSocket(row)
			if taken[r.Inode] {
				return
			}
			taken[r.Inode] = true
			if b.look(&r, now, b.passes-1) {
				pid := int32(le.Uint32(row[8:]))
				telling[pid] = append(telling[pid], r)
			}
		case typ == rowSockets && len(row) >= socketsRow:
			sums = append(sums, row)
		}
	})
	b.forget()
	if b.passes == 1 {
		return nil
	}
	recovered := b.stuck // and those that have ended
	b.stuck = map[int32]bool{}
	for _, row := range sums {
		pid := int32(le.Uint32(row[8:]))
		switch all := telling[pid]; {
		case len(all) > 0:
			b.stuck[pid] = recovered[pid]
			out = b.tell(out, pid, all, row, now)
		case recovered[pid]:
			if o := b.untold[pid]; o != nil {
				out = append(out, o)
				delete(b.untold, pid)
			}
			out = append(out, observed(pid, row, now, sumOf(row)))
		}
	}
	for pid, o := range b.untold {
		if len(telling[pid]) == 0 { // it has recovered or ended
			out = append(out, o)
			delete(b.untold, pid)
		}
	}
	return out
}

func (b *socketBook) init() {
	if b.seen == nil {
		b.seen, b.untold, b.stuck = map[uint64]*seenSocket{}, map[int32]*evidence.Observation{}, map[int32]bool{}
	}
}

// look compares a socket with how it was in the pass before, and says whether it shows a sign now.
func (b *socketBook) look(r *socketRowOf, now, before int64) bool {
	w := b.seen[r.Inode]
	if w == nil {
		if len(b.seen) >= maxSeenSockets {
			return false
		}
		w = new(seenSocket)
		if b.passes == 1 {
			w.base = r.Drops
		}
		w.toldDrops = w.base
		b.seen[r.Inode] = w
	}
	if r.Drops < w.base { // another socket with the same number
		w.base, w.toldDrops = 0, 0
	}
	r.DropsGained = r.Drops - w.base
	if r.signs&signDrops != 0 && r.Drops <= w.toldDrops {
		r.signs &^= signDrops
	}
	standing := r.signs &^ signDrops
	same := w.pass == before && w.signs&standing != 0
	if standing&signsOfReader != 0 && w.in != r.tokenIn || standing&^signsOfReader != 0 && w.out != r.tokenOut {
		same = false // something was taken
	}
	if !same {
		w.since = now
	}
	w.pass, w.in, w.out, w.signs = b.passes, r.tokenIn, r.tokenOut, standing
	if standing != 0 {
		r.FullNanos = now - w.since
	}
	for i, name := range signNames {
		if r.signs>>i&1 != 0 {
			r.Signs = append(r.Signs, name)
		}
	}
	return r.signs != 0
}

// forget drops sockets that have shown nothing for long.
func (b *socketBook) forget() {
	for inode, w := range b.seen {
		if w.pass < b.passes-forgetSockets && w.base == 0 {
			delete(b.seen, inode)
		}
	}
}

// news says how much more a socket tells than what was told of it: 2: at once, 1: at the end.
func (w *seenSocket) news(r *socketRowOf) int {
	switch {
	case r.signs&^w.toldSigns != 0,
		r.Drops > w.toldDrops+(w.toldDrops-w.base)/4,
		r.FullNanos >= slowNanos && r.FullNanos >= 2*w.toldNanos:
		return 2
	case r.Drops > w.toldDrops, r.FullNanos >= slowNanos && r.FullNanos > w.toldNanos:
		return 1
	}
	return 0
}

func (w *seenSocket) tell(r *socketRowOf) {
	w.toldSigns |= r.signs
	w.toldDrops = max(w.toldDrops, r.Drops)
	w.toldNanos = r.FullNanos
}

// tell appends the observation of a process, or keeps it for later.
func (b *socketBook) tell(out []*evidence.Observation, pid int32, all []socketRowOf, row []byte, now int64) []*evidence.Observation {
	news := 0
	for i := range all {
		news = max(news, b.seen[all[i].Inode].news(&all[i]))
	}
	if news == 0 {
		return out
	}
	d := sumOf(row)
	d.Telling = int64(len(all))
	slices.SortStableFunc(all, func(a, b socketRowOf) int {
		return cmp.Or(-cmp.Compare(a.FullNanos, b.FullNanos), -cmp.Compare(a.DropsGained, b.DropsGained))
	})
	for i := range all[:min(len(all), evidence.MaxSockets)] {
		d.Sockets = append(d.Sockets, all[i].Socket)
	}
	o := observed(pid, row, now, d)
	if news == 1 {
		b.untold[pid] = o
		return out
	}
	delete(b.untold, pid)
	for i := range all {
		w, r := b.seen[all[i].Inode], &all[i]
		w.tell(r)
		if r.FullNanos >= slowNanos {
			b.stuck[pid] = true
		}
	}
	return append(out, o)
}
