package agent

import (
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/ladder"
)

// How much closer a stream is looked at that turned to garbage.
const (
	closerFor    = 10 * time.Second
	closerStacks = 16
)

// climb looks closer at a stream that turns to garbage: for a time, stacks of its next writes are taken,
// whatever they hold.
func (f *flight) climb(i int, why string) {
	if f.set == nil || f.blame.out[i].Inode == 0 {
		return
	}
	if f.blame.steps == nil {
		f.blame.steps = ladder.New(ladder.Config{Longest: time.Minute, Hold: [5]time.Duration{ladder.Garbage: closerFor}})
	}
	f.descend()
	f.step(f.blame.steps.See(bootNanos(), streams[i].String(), ladder.Garbage, why))
}

// descend looks no closer at what has been text again for long enough.
func (f *flight) descend() {
	if f.blame.steps != nil {
		f.step(f.blame.steps.Tick(bootNanos()))
	}
}

// step does what the ladder says, and records it.
func (f *flight) step(changes []ladder.Change) {
	for _, c := range changes {
		d := &evidence.Step{Sign: c.Sign.String(), Why: c.Why, Stream: c.Subject}
		if c.Closer {
			d.Step = 1
			for i := range streams {
				if streams[i].String() != c.Subject {
					continue
				}
				if err := f.set.Closer(f.blame.out[i], closerStacks, c.At+int64(closerFor)); err != nil { // it is blamed without them, too
					d.Error = err.Error()
				}
			}
		}
		f.observe(now(evidence.SourceRuntime, f.pid, d))
	}
}
