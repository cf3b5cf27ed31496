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
	kill    int64 // bytes, after which the follower is killed while it hands on; 0: never
	killed  int   // times; what was handed on since the position was kept comes again
}

// killed is what Take panics with where the follower is killed.
type killed struct{}

func (c *catcher) Take(p *Part) {
	s := &c.streams[p.Stream]
	if c.killed > 0 && p.At < int64(len(*s)) && p.Zeros == 0 {
		again := (*s)[p.At:]
		again = again[:min(len(again), len(p.Text))]
		if !bytes.Equal(again, p.Text[:len(again)]) {
			c.bad = fmt.Sprintf("stream %d, byte %d: other bytes come for those that came before", p.Stream, p.At)
		}
		p.At += int64(len(again))
		p.Text = p.Text[len(again):]
		if len(p.Text) == 0 {
			return
		}
	}
	if c.kill > 0 && int64(len(p.Text)) >= c.kill {
		*s = append(*s, p.Text[:c.kill/2]...) // and did not get all of it
		c.kill, c.killed = 0, c.killed+1
		panic(killed{})
	}
	c.kill = max(0, c.kill-int64(len(p.Text)))
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
	up      bool
	story   func() string // what happened
}

func newLab(t *testing.T, set func(*FollowOptions)) *lab {
	t.Helper()
	dir := t.TempDir()
	l := &lab{T: t, dir: dir, log: filepath.Join(dir, "x.log"), clock: time.Now(), all: map[string]*catcher{}}
	l.start(set)
	t.Cleanup(func() { // what a test's cleanups hold stays as long as its siblings run
		l.Close()
		l.Follower, l.all, l.story = nil, nil, nil
	})
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
	l.Follower, l.up = w, true
}

// poll looks until there is no more, some times over, as time passes.
func (l *lab) poll() *catcher {
	l.Helper()
	for range missingMost + 3 { // a file that is not found at once is looked for again
		l.clock = l.clock.Add(700 * time.Millisecond)
		for n := 0; l.pollOnce(); n++ {
			if n > 100_000 {
				l.Fatal("there is always more")
			}
		}
	}
	for _, c := range l.all {
		if c.bad != "" {
			if l.story != nil {
				l.Log(l.story())
			}
			l.Fatal(c.path, c.bad)
		}
	}
	return l.all[l.log]
}

// pollOnce polls; where the consumer kills the follower there is none any more.
func (l *lab) pollOnce() (more bool) {
	defer func() {
		if x := recover(); x == (killed{}) {
			l.crash()
			l.up, more = false, false
		} else if x != nil {
			panic(x)
		}
	}()
	return l.up && l.Poll(l.clock)
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
