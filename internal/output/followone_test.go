package output

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Logs that are named one by one, come and go, and go on after a restart.
func TestFollowLater(t *testing.T) {
	set := func(o *FollowOptions) {
		o.Position = filepath.Join(filepath.Dir(o.Paths[0]), ".position")
		o.Paths, o.Later = nil, true
	}
	l := newLab(t, set)
	old, other := filepath.Join(l.dir, "old.log"), filepath.Join(l.dir, "other.log")
	l.write(old, lines(0, 10))
	l.write(l.log, lines(0, 5))
	l.poll()
	l.must(l.Follow(l.log, false))
	l.must(l.Follow(old, true))
	l.must(l.Follow(other, false)) // which comes later
	l.poll()
	l.write(old, lines(10, 20))
	l.write(l.log, lines(5, 10))
	l.write(other, lines(0, 7))
	l.poll()
	l.crash()
	l.write(l.log, lines(10, 15))
	l.start(set)
	l.poll() // nothing is named yet, and nothing forgotten
	l.must(l.Follow(l.log, true))
	l.must(l.Follow(old, true))
	l.poll()
	l.write(l.log, "no end")
	l.Leave(l.log)
	if c := l.all[l.log]; !c.ended || string(c.streams[0]) != lines(0, 15)+"no end" {
		t.Errorf("left: ended %v, %s", c.ended, differ(string(c.streams[0]), lines(0, 15)+"no end"))
	}
	l.write(l.log, lines(15, 20))
	l.poll()
	if c := l.all[l.log]; string(c.streams[0]) != lines(0, 15)+"no end" {
		t.Error("it is followed though it was left")
	}
	if c := l.all[old]; string(c.streams[0]) != lines(10, 20) {
		t.Error(differ(string(c.streams[0]), lines(10, 20)))
	}
	if c := l.all[other]; string(c.streams[0]) != lines(0, 7) {
		t.Error(differ(string(c.streams[0]), lines(0, 7)))
	}
	if !l.Known(other) || l.Known(l.log) {
		t.Error("positions: what was left is known, or what is still awaited is not")
	}
	l.clock = l.clock.Add(keptWait + time.Second)
	l.poll()
	if l.Known(other) {
		t.Error("a position is kept for ever of a log that nobody names")
	}
	l.Close()
	b, err := os.ReadFile(filepath.Join(l.dir, ".position"))
	l.must(err)
	_, kept, err := OpenJournal(filepath.Join(l.dir, ".position"))
	if err != nil || len(kept) != 1 {
		t.Errorf("%d positions are kept (%v), want that of old.log: %s", len(kept), err, b)
	}
}

// Look looks at once.
func TestFollowLook(t *testing.T) {
	l := newLab(t, nil)
	l.write(l.log, lines(0, 1))
	l.poll()
	l.write(l.log, lines(1, 2))
	l.pollOnce()
	l.want(lines(0, 1))
	l.Look(l.log, l.clock)
	l.want(lines(0, 2))
}
