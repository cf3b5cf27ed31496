package agent

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/output"
)

// containerLog is the log of one subject. What the follower's goroutine writes is read under mu elsewhere.
type containerLog struct {
	logs    *logs
	subject uint32

	// Under logs.mu.
	path string    // "": none, because of lack
	lack string    //
	from time.Time // since when it is followed
	pid  int32     // main process
	out  [2]pipeOf // what its stdout and stderr were when it was first looked at

	// The follower's goroutine's alone.
	watch   *output.Watch
	part    *output.Part // that is being taken
	file    output.FileID
	form    output.Form
	marks   [2]stamps
	told    [2]int  // torn lines
	foreign [2]bool // told
	spans   [2]toldSpans
	grows   [2]int64     // offset of the garbage that was signed while it grows, and one
	since   [2]time.Time // when what stands before that was read; zero: not known

	mu      sync.Mutex
	at      [2]int64 // offset in each stream, up to which was read
	base    [2]int64 // where in it this life begins
	begun   [2]bool
	late    string // why not all of it was judged
	lost    int64  // bytes
	garbled int64
	lines   int64
	tears   int64
	tail    *evidence.LastOutput // as it was read last
	over    bool                 // a later life writes to the same log
	binary  bool                 // stdout is no text from its first line on
	turned  bool
	first   []evidence.FirstGarbage
	blame   blameOf
	armed   [2]pipeOf // outputs whose writes are noted
}

// Bounds of what is told of one stream.
const (
	spansAtOnce = 256 // pieces of garbage; then one in spansAgain
	spansAgain  = time.Second
)

// toldSpans is how many pieces of garbage of a stream were told.
type toldSpans struct {
	n    int
	last time.Time
}

// sink takes what a log holds, for the life of its container that is the newest.
type sink struct{ c *containerLog }

func (s *sink) Take(p *output.Part) { s.c.take(p) }
func (s *sink) Look()               { s.c.look() }
func (s *sink) Lost(x output.Loss)  { s.c.lose(x) }
func (s *sink) End()                { s.c.end() }

func (s *sink) Done(stream int) int64 {
	s.c.mu.Lock()
	base := s.c.base[stream]
	s.c.mu.Unlock()
	return max(base, s.c.watch.Done(stream))
}

// stamps are the times of the last pieces of a stream.
type stamps struct {
	n    int
	at   [stampsKept]int64
	text [stampsKept][36]byte
}

const stampsKept = 8

func (s *stamps) add(at int64, stamp []byte) {
	i := s.n % stampsKept
	s.at[i], s.text[i] = at, [36]byte{}
	copy(s.text[i][:], stamp)
	s.n++
}

// of is when the byte at an offset was written, as far as the runtime tells; zero where that is not known.
func (s *stamps) of(at int64) time.Time {
	best := -1
	for i := range min(s.n, stampsKept) {
		if s.at[i] <= at && (best < 0 || s.at[i] > s.at[best]) {
			best = i
		}
	}
	if best < 0 {
		return time.Time{}
	}
	return output.StampTime(bytes.TrimRight(s.text[best][:], "\x00"))
}

// before is when the piece in front of that with the byte at an offset was read; zero where that is not known.
func (s *stamps) before(at int64) time.Time {
	last, prev := -1, -1
	for i := range min(s.n, stampsKept) {
		switch {
		case s.at[i] > at:
		case last < 0 || s.at[i] > s.at[last]:
			last, prev = i, last
		case prev < 0 || s.at[i] > s.at[prev]:
			prev = i
		}
	}
	if prev < 0 {
		return time.Time{}
	}
	return output.StampTime(bytes.TrimRight(s.text[prev][:], "\x00"))
}

func (c *containerLog) take(p *output.Part) {
	s := p.Stream
	c.part, c.file, c.form = p, p.File, p.Form
	if stamp := p.Stamp(); stamp != nil {
		c.marks[s].add(p.At, stamp)
	}
	n := int64(len(p.Text)) + p.Zeros
	c.mu.Lock()
	if !c.begun[s] {
		c.begun[s], c.base[s] = true, p.At
	}
	c.at[s] = p.At + n
	c.blame.keep(s, p)
	c.mu.Unlock()
	c.watch.Take(p)
	c.part = nil
}

// look tells garbage that has not ended, and counts.
func (c *containerLog) look() {
	c.watch.Look()
	lines, torn := c.watch.Lines()
	c.mu.Lock()
	c.lines, c.tears = lines, torn
	c.mu.Unlock()
}

func (c *containerLog) lose(x output.Loss) {
	c.watch.Lost(x)
	c.mu.Lock()
	c.lost += max(x.Bytes, 1)
	c.mu.Unlock()
	c.logs.cfg.Say("%s", x.String())
}

// end ends the judgement of what there is: nothing of this life comes any more.
func (c *containerLog) end() {
	if c.watch == nil {
		return
	}
	for i := range streams {
		if f, ok := c.watch.ForeignIn(i); ok && !c.foreign[i] {
			c.foreign[i] = true
			c.tell(&evidence.Foreign{Stream: streams[i].String(), Encoding: f.Encoding, Offset: f.Offset, Bytes: f.Bytes}, time.Time{})
		}
	}
	c.watch.Flush()
	c.look()
}

// goOn begins where the life before has ended.
func (c *containerLog) goOn(before *containerLog) {
	before.mu.Lock()
	at := before.at
	before.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.base, c.begun = at, at, [2]bool{true, true}
}

// taken is how much of both streams was read.
func (c *containerLog) taken() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at[0] + c.at[1]
}

// any says whether anything of this life was read.
func (c *containerLog) any() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun[0] || c.begun[1]
}

// partial notes that what the log held before is not judged.
func (c *containerLog) partial(atEnd bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.late = ""; atEnd {
		c.late = "what it wrote before descry watched it was not judged"
	}
}

// tell hands on an observation of what was written at a time; zero: now.
func (c *containerLog) tell(d evidence.Detail, at time.Time) {
	c.logs.cfg.Tell(c.subject, c.observation(d, at))
}

func (c *containerLog) observation(d evidence.Detail, at time.Time) *evidence.Observation {
	c.logs.mu.Lock()
	pid := c.pid
	c.logs.mu.Unlock()
	o := now(evidence.SourceOutput, pid, d)
	if wall := at.UnixNano(); !at.IsZero() && wall < o.WallNanos {
		o.BootNanos -= o.WallNanos - wall
		o.WallNanos = wall
	}
	o.Subject = c.subject
	return o
}

// found takes a piece of garbage.
func (c *containerLog) found(f output.Found, growing bool) {
	s := streamOf(f.Stream)
	when := c.marks[s].of(f.At)
	if growing {
		if c.grows[s] != f.At+1 {
			c.grows[s], c.since[s] = f.At+1, c.marks[s].before(f.At)
			c.remember(s, f)
			if c.logs.cfg.Sign != nil {
				c.logs.cfg.Sign(c.subject, fmt.Sprintf("its %s turns to garbage at byte %d", streams[s], f.At))
			}
		}
		return
	}
	c.remember(s, f)
	since := c.marks[s].before(f.At)
	c.mu.Lock()
	c.garbled += f.Length
	if c.grows[s] == f.At+1 {
		c.grows[s], since = 0, c.since[s]
	}
	t := &c.spans[s]
	t.n++
	quiet := t.n > spansAtOnce && time.Since(t.last) < spansAgain
	if !quiet {
		t.last = time.Now()
	}
	c.mu.Unlock()
	if quiet {
		return
	}
	d := &evidence.Garbled{Stream: streams[s].String(), Offset: f.At, Length: f.Length, LooksLike: f.LooksLike, Preview: f.Preview}
	c.blameFor(s, d, when)
	o := c.observation(d, when)
	c.logs.mu.Lock()
	out := c.out[s]
	c.logs.mu.Unlock()
	if d.Writer != nil || since.IsZero() || out.Inode == 0 || c.logs.cfg.Unseen == nil {
		c.logs.cfg.Tell(c.subject, o)
		return
	}
	c.logs.cfg.Unseen(c.subject, o, out, bootNanos()-time.Since(since).Nanoseconds())
}

// remember keeps what stands around the first garbage of a stream, and whether that was text before.
func (c *containerLog) remember(s int, f output.Found) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := streams[s].String()
	known := false
	for i := range c.first {
		known = known || c.first[i].Stream == name
	}
	if !known {
		g := evidence.FirstGarbage{Stream: name, Offset: f.At - c.base[s]}
		c.logs.mu.Lock()
		path := c.path
		c.logs.mu.Unlock()
		if pre, post, err := output.Around(path, c.file, c.form, s, f.Offset, keepBefore, keepBegin); err == nil {
			g.Before, g.Begin = pre, post
		}
		if s == 0 && c.late == "" && (g.Offset == 0 || g.InFirstLine()) {
			c.binary = true
		}
		g.Offset = f.At
		c.first = append(c.first, g)
	}
	c.turned = c.turned || !c.binary || s != 0
}

// torn takes a torn line.
func (c *containerLog) torn(f output.FoundTorn) {
	s := streamOf(f.Stream)
	if c.told[s] >= tornMost {
		return
	}
	c.told[s]++
	lines, torn := c.watch.Lines()
	d := &evidence.Torn{
		Stream: streams[s].String(), How: string(f.Kind), Offset: f.Start, Length: f.Length, At: f.At, Preview: f.Preview,
		Count: torn, Lines: min(lines, f.Line+1),
	}
	when := c.marks[s].of(f.Start)
	c.tornBy(s, d)
	c.tell(d, when)
}

func streamOf(name string) int {
	if name == "stderr" {
		return 1
	}
	return 0
}
