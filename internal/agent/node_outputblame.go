package agent

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/output"
	"github.com/descry-dev/descry/internal/probe"
)

// ledgerOf is what the kernel knows of writes to outputs: probe.Set.
type ledgerOf interface {
	WatchOutput(o probe.Output) error
	UnwatchOutput(o probe.Output)
	Closer(o probe.Output, n int, until int64) error
	Writes(dst []probe.Written, inode uint64) ([]probe.Written, error)
	Outputs(pid int32) (out [2]probe.Output, ok bool)
}

// pipeOf is what a standard descriptor is: its inode in the kernel.
type pipeOf = probe.Output

// outputsOf are the pipes, or the terminal, of a process's stdout and stderr. What is something else has none. A program
// may have changed them before it is looked at, but the kernel knows the pipes that they were.
func (l *logs) outputsOf(pid int32) (out [2]pipeOf) {
	var began [2]pipeOf
	if l.cfg.Ledger != nil {
		began, _ = l.cfg.Ledger.Outputs(pid)
	}
	for i := range out {
		if began[i].Inode != 0 {
			out[i] = began[i]
			continue
		}
		name := fmt.Sprintf("/proc/%d/fd/%d", pid, i+1)
		link, err := os.Readlink(name)
		if err != nil {
			continue
		}
		if inode, ok := strings.CutPrefix(link, "pipe:["); ok {
			out[i].Inode, _ = strconv.ParseUint(strings.TrimSuffix(inode, "]"), 10, 64)
			continue
		}
		var st unix.Stat_t
		if strings.HasPrefix(link, "/dev/pts/") && unix.Stat(name, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR {
			out[i] = pipeOf{Inode: st.Ino, Rdev: st.Rdev}
		}
	}
	return out
}

// blameOf joins a container's garbage with the writes that the kernel saw since it looks closer.
type blameOf struct {
	on     bool
	recent [2]recentOf
	ahead  [2]int64 // see place
	asked  [2]int
	askAt  [2]time.Time
	seen   []*evidence.Observation // writes with their stacks
	was    map[int32]*[3]wasGiven  // of each process, what its standard descriptors were given to by accident
}

// recentOf is the end of a stream, while it is looked at closer.
type recentOf struct {
	data []byte
	from int64
}

const recentMost = 128 << 10 // bytes of a stream

// keep keeps what was written last, while writers are looked for.
func (b *blameOf) keep(s int, p *output.Part) {
	if !b.on {
		return
	}
	r := &b.recent[s]
	if p.Zeros > 0 || r.from+int64(len(r.data)) != p.At {
		r.data, r.from = r.data[:0], p.At+p.Zeros
	}
	r.data = append(r.data, p.Text...)
	if drop := len(r.data) - recentMost; drop > recentMost {
		r.data = r.data[:copy(r.data, r.data[drop:])]
		r.from += int64(drop)
	}
}

// closer begins or ends to look for the writers of a subject's output. It is told when system calls are looked at.
func (l *logs) closer(subject uint32, on bool) {
	if l.cfg.Ledger == nil {
		return
	}
	l.mu.Lock()
	c := l.of[subject]
	if c == nil && on {
		c = l.entry(subject)
	}
	l.mu.Unlock()
	if c == nil {
		return
	}
	c.mu.Lock()
	was := c.blame.on
	if on && !was {
		c.blame = blameOf{on: true}
	} else if !on {
		c.blame.on = false
		c.blame.recent = [2]recentOf{}
	}
	armed := c.armed
	if !on {
		c.armed = [2]pipeOf{}
	}
	c.mu.Unlock()
	if on {
		l.arm(c)
		return
	}
	for _, o := range armed {
		if o.Inode != 0 {
			l.cfg.Ledger.UnwatchOutput(o)
		}
	}
}

// arm lets the kernel note writes to a subject's output, if it is looked at closer and known what that is.
func (l *logs) arm(c *containerLog) {
	l.mu.Lock()
	out := c.out
	l.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.cfg.Ledger == nil || !c.blame.on {
		return
	}
	for i, o := range out {
		if o.Inode == 0 || c.armed[i] == o || i == 1 && o == out[0] {
			continue
		}
		if l.cfg.Ledger.WatchOutput(o) == nil {
			c.armed[i] = o
			_ = l.cfg.Ledger.Closer(o, closerStacks, bootNanos()+int64(time.Minute)) // it is blamed without stacks, too
		}
	}
}

// written takes a write that the kernel looked at, and says whether it reached the output: then it stands there.
func (l *logs) written(subject uint32, o *evidence.Observation, d *evidence.Written) bool {
	if !d.Output {
		return false
	}
	if c := l.get(subject); c != nil {
		c.mu.Lock()
		if b := &c.blame; len(b.seen) < maxSeen {
			b.seen = append(b.seen, o)
		} else { // the first ones and the newest
			b.seen = append(slices.Delete(b.seen, maxSeen/4, maxSeen/4+1), o)
		}
		c.mu.Unlock()
	}
	return true
}

// changed takes a change of a standard descriptor of a subject's process.
func (l *logs) changed(subject uint32, o *evidence.Observation, d *evidence.Stdio) {
	c := l.get(subject)
	if c == nil || d.Action != "allocated" || d.FD < 0 || d.FD > 2 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &c.blame
	if b.was == nil {
		b.was = map[int32]*[3]wasGiven{}
	}
	if b.was[o.PID] == nil && len(b.was) < stdioKept {
		b.was[o.PID] = new([3]wasGiven)
	}
	if w := b.was[o.PID]; w != nil {
		w[d.FD] = wasGiven{o.BootNanos, *d}
	}
}

// wrote says who wrote the bytes from a to b of a stream; why is set where that cannot be known.
func (c *containerLog) wrote(s int, a, b int64) (pieces []piece, runs []probe.Written, why string) {
	c.logs.mu.Lock()
	out := c.out[s]
	c.logs.mu.Unlock()
	bl := &c.blame
	switch {
	case c.logs.cfg.Ledger == nil || !bl.on:
		return nil, nil, "writes were not looked at when it was written"
	case out.Inode == 0:
		return nil, nil, "what it is written to is neither a pipe nor a terminal"
	case bl.asked[s] >= maxBlamed && time.Since(bl.askAt[s]) < blameAgain:
		return nil, nil, "one of many, and not looked up"
	}
	bl.asked[s]++
	bl.askAt[s] = time.Now()
	runs, err := c.logs.cfg.Ledger.Writes(nil, out.Inode)
	if err != nil {
		return nil, nil, err.Error()
	}
	w := window{data: bl.recent[s].data, from: bl.recent[s].from}
	if out.Rdev != 0 {
		w = terminalWindow(w)
	}
	if !confirmed(runs, &w, bl.ahead[s]) {
		bl.ahead[s] = byGarbage(runs, &w, bl.ahead[s])
	}
	pieces = place(runs, w, a, b, &bl.ahead[s])
	if !confirmed(runs, &w, bl.ahead[s]) { // the ledger began somewhere in the stream: only bytes tell where
		pieces = slices.DeleteFunc(pieces, func(p piece) bool { return !p.exact })
	}
	return pieces, runs, ""
}

// confirmed says whether the bytes that writes began with stand where the sums say.
func confirmed(runs []probe.Written, w *window, ahead int64) bool {
	right, wrong := 0, 0
	for i := len(runs) - 1; i >= 0 && right+wrong < samples; i-- {
		at := int(runs[i].Offset + ahead - w.from)
		switch {
		case len(runs[i].First) < tellingLen || at < 0 || at+len(runs[i].First) > len(w.data):
		case w.holds(at, runs[i].First):
			right++
		default:
			wrong++
		}
	}
	return right >= 2 && right > 3*wrong
}

// byGarbage is how far the stream is ahead of the sums, by a write of bytes that no text has: where 16 of these stand, and
// nowhere else, is hardly chance. Otherwise it is what it was.
func byGarbage(runs []probe.Written, w *window, ahead int64) int64 {
	for i := len(runs) - 1; i >= 0; i-- {
		r := &runs[i]
		if !r.Odd || len(r.First) < 16 {
			continue
		}
		if k := bytes.Index(w.data, r.First); k >= 0 && !bytes.Contains(w.data[k+1:], r.First) {
			return w.from + int64(k) - r.Offset
		}
	}
	return ahead
}

// blameFor names the writer of a piece of garbage, if the kernel saw it write.
func (c *containerLog) blameFor(s int, d *evidence.Garbled, when time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pieces, runs, why := c.wrote(s, d.Offset, d.Offset+d.Length)
	if why != "" {
		d.Unseen = why
		return
	}
	d.Writer, d.Others = mostOf(pieces)
	if d.Writer == nil {
		d.Writer = aloneAt(runs, when)
	}
	if d.Writer == nil {
		d.Unseen = "no write that was seen holds it: it may have been written before descry looked, by io_uring, or by another program that has the pipe"
		return
	}
	c.complete(s, d, pieces)
}

// mostOf is who wrote most of some bytes, and how many other threads wrote some.
func mostOf(pieces []piece) (most *evidence.Writer, others int64) {
	type who struct {
		pid, tid, fd int32
		call         string
	}
	by := map[who]*evidence.Writer{}
	threads := map[int32]bool{}
	for _, p := range pieces {
		r := p.run
		threads[r.TID] = true
		k := who{r.PID, r.TID, r.FD, r.Call}
		w := by[k]
		if w == nil {
			w = &evidence.Writer{PID: r.PID, TID: r.TID, Comm: r.Comm, Call: r.Call, FD: r.FD, Exact: true, BootNanos: r.BootNanos}
			by[k] = w
		}
		w.Bytes += p.to - p.from
		w.Writes += r.Writes
		w.Exact = w.Exact && p.exact
		if most == nil || w.Bytes > most.Bytes {
			most = w
		}
	}
	return most, int64(max(0, len(threads)-1))
}

// Around the time at which the runtime took a line, who wrote such bytes.
const (
	beforeStamp = int64(time.Second)
	afterStamp  = int64(50 * time.Millisecond)
)

// aloneAt is the one thread that wrote bytes that no text has at a time, nil where there was none or more: by
// the time alone it is likely, not sure.
func aloneAt(runs []probe.Written, when time.Time) (w *evidence.Writer) {
	if when.IsZero() {
		return nil
	}
	at := bootNanos() - time.Now().UnixNano() + when.UnixNano()
	for i := range runs {
		r := &runs[i]
		if !r.Odd || r.Until < at-beforeStamp || r.BootNanos > at+afterStamp {
			continue
		}
		if w != nil && (w.PID != r.PID || w.TID != r.TID || w.FD != r.FD || w.Call != r.Call) {
			return nil
		}
		if w == nil {
			w = &evidence.Writer{PID: r.PID, TID: r.TID, Comm: r.Comm, Call: r.Call, FD: r.FD, BootNanos: r.BootNanos}
		}
		w.Bytes += r.Length
		w.Writes += r.Writes
	}
	return w
}

// complete adds to a writer what its descriptor is, and a stack of such a write.
func (c *containerLog) complete(s int, d *evidence.Garbled, pieces []piece) {
	w := d.Writer
	c.logs.mu.Lock()
	out := c.out[s]
	c.logs.mu.Unlock()
	ofOutput(w, out)
	if s := c.blame.was[w.PID]; s != nil && w.FD >= 0 && w.FD < 3 && s[w.FD].Is != "" && s[w.FD].at < w.BootNanos { // what it is given to later tells nothing of this write
		w.Was, w.WasPeer, w.WasPath = s[w.FD].Is, s[w.FD].Peer, s[w.FD].Path
	}
	for _, o := range c.blame.seen {
		x := o.Detail.(*evidence.Written)
		if o.PID != w.PID || o.TID != w.TID || x.FD != w.FD || x.Call != w.Call || x.Inode != w.Inode || x.Context == nil {
			continue
		}
		inside := slices.ContainsFunc(pieces, func(p piece) bool {
			return p.run.TID == o.TID && x.Offset >= p.run.Offset && x.Offset < p.run.Offset+p.run.Length
		})
		if inside && d.From == 0 {
			d.From = memoryOf(d, x, c.blame.ahead[s])
		}
		if inside || x.Odd && d.Context == nil {
			d.Context = x.Context
		}
		if inside && d.From != 0 {
			return
		}
	}
}

// ofOutput says what the descriptor of a writer is.
func ofOutput(w *evidence.Writer, out pipeOf) {
	w.Inode = out.Inode
	if out.Rdev != 0 {
		w.FDKind, w.Path = evidence.FDTTY, fmt.Sprintf("/dev/pts/%d", unix.Minor(out.Rdev))
	} else {
		w.FDKind, w.Path = evidence.FDPipe, fmt.Sprintf("pipe:[%d]", out.Inode)
	}
}

// tornBy names the writers of both sides of a break.
func (c *containerLog) tornBy(s int, d *evidence.Torn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := d.Offset + d.At
	pieces, _, why := c.wrote(s, max(d.Offset, at-aroundIt), min(d.Offset+d.Length+1, at+aroundIt))
	if why != "" {
		d.Unseen = why
		return
	}
	c.logs.mu.Lock()
	out := c.out[s]
	c.logs.mu.Unlock()
	sides(d, pieces, out)
}
