package output

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// catcher keeps what it is given.
type catcher struct {
	path    string
	streams [2][]byte
	parts   []Part
	losses  []Loss
	ended   bool
	bad     string
	done    func(int) int64
}

func (c *catcher) Take(p *Part) {
	s := &c.streams[p.Stream]
	if p.At != int64(len(*s)) {
		c.bad = fmt.Sprintf("stream %d: %d bytes at %d follow on %d", p.Stream, len(p.Text), p.At, len(*s))
	}
	*s = append(*s, p.Text...)
	*s = append(*s, make([]byte, p.Zeros)...)
	keep := *p
	keep.Text = bytes.Clone(p.Text)
	c.parts = append(c.parts, keep)
}
func (c *catcher) Look()       {}
func (c *catcher) Lost(l Loss) { c.losses = append(c.losses, l) }
func (c *catcher) End()        { c.ended = true }
func (c *catcher) Done(s int) int64 {
	if c.done != nil {
		return c.done(s)
	}
	return int64(len(c.streams[s]))
}

// lab is a follower whose clock the test moves.
type lab struct {
	*testing.T
	*Follower
	dir     string
	log     string
	clock   time.Time
	all     map[string]*catcher
	trouble []Trouble
}

func newLab(t *testing.T, set func(*FollowOptions)) *lab {
	t.Helper()
	dir := t.TempDir()
	l := &lab{T: t, dir: dir, log: filepath.Join(dir, "x.log"), clock: time.Now(), all: map[string]*catcher{}}
	l.start(set)
	return l
}

// start begins to follow, anew if it did before; what was caught stays.
func (l *lab) start(set func(*FollowOptions)) {
	l.Helper()
	o := FollowOptions{Paths: []string{l.log}, New: func(path string) Consumer {
		if l.all[path] == nil {
			l.all[path] = &catcher{path: path}
		}
		return l.all[path]
	}, Trouble: func(x Trouble) { l.trouble = append(l.trouble, x) }}
	if set != nil {
		set(&o)
	}
	w, err := NewFollower(o)
	if err != nil {
		l.Fatal(err)
	}
	l.Follower = w
	l.Cleanup(func() { w.Close() })
}

// poll looks until there is no more, some times over, as time passes.
func (l *lab) poll() *catcher {
	l.Helper()
	for range 5 {
		l.clock = l.clock.Add(700 * time.Millisecond)
		for n := 0; l.Poll(l.clock); n++ {
			if n > 100_000 {
				l.Fatal("there is always more")
			}
		}
	}
	for _, c := range l.all {
		if c.bad != "" {
			l.Fatal(c.path, c.bad)
		}
	}
	return l.all[l.log]
}

func (l *lab) write(path, text string) {
	l.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		l.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		l.Fatal(err)
	}
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l *lab) run(name string, args ...string) {
	l.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		l.Fatalf("%s %s: %v: %s", name, args, err, out)
	}
}

// want compares what was caught of the log.
func (l *lab) want(text string, losses ...int64) {
	l.Helper()
	c := l.all[l.log]
	if c == nil {
		l.Fatal("nothing was followed")
	}
	if got := string(c.streams[0]); got != text {
		l.Fatalf("%s", differ(got, text))
	}
	var lost []int64
	for _, x := range c.losses {
		lost = append(lost, x.Bytes)
	}
	if fmt.Sprint(lost) != fmt.Sprint(losses) {
		l.Fatalf("lost %d, want %d: %+v", lost, losses, c.losses)
	}
}

func differ(got, want string) string {
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	return fmt.Sprintf("%d bytes, want %d; at %d: %.80q, want %.80q", len(got), len(want), n, got[n:], want[n:])
}

// lines gives lines from a to b, numbered.
func lines(a, b int) string {
	var s strings.Builder
	for i := a; i < b; i++ {
		fmt.Fprintf(&s, "line %06d of a log, and some words behind it\n", i)
	}
	return s.String()
}
