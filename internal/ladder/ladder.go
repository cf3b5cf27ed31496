// Package ladder decides when to look closer at a subject, why, and for how long. It is pure: it is told
// what was seen and what time it is, and says what to do.
//
// To look closer costs the whole machine, so it is done to few subjects at once, for a bounded time, and
// not again at once.
package ladder

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// A Sign is what asks for a closer look.
type Sign int

// The signs, the most urgent first: where there is no room for all, the first ones have it.
const (
	Garbage       Sign = iota // its output turned to what is no text
	StdioReplaced             // one of descriptors 0 to 2 became something else by accident
	NearLimit                 // it is about to reach a limit
	EarlierDeath              // it died lately
	Growth                    // what it holds grows
	signs
)

func (s Sign) String() string {
	return [...]string{"garbage", "stdio-replaced", "near-limit", "earlier-death", "growth"}[s]
}

// Config bounds a ladder. Zero values are the defaults of New.
type Config struct {
	Most    int           // subjects that are looked at closer at once; 0: 8
	Longest time.Duration // of one closer look, whatever is seen; 0: ten minutes
	Rest    time.Duration // after a look that was ended for its length; 0: ten minutes
	Known   int           // subjects that are remembered; 0: 4096
	Hold    [signs]time.Duration
}

// hold is for how long a sign asks, from when it was seen last.
var hold = [signs]time.Duration{
	Garbage: time.Minute, StdioReplaced: 2 * time.Minute, NearLimit: time.Minute, EarlierDeath: 5 * time.Minute, Growth: 30 * time.Second,
}

// Change is a climb or a descent.
type Change struct {
	Subject string
	Closer  bool // a climb: look closer from now on
	Sign    Sign // that asked for it
	Why     string
	At      int64 // nanoseconds, as told
}

func (c Change) String() string {
	if c.Closer {
		return fmt.Sprintf("look closer at %s: %s", c.Subject, c.Why)
	}
	return fmt.Sprintf("look no closer at %s: %s", c.Subject, c.Why)
}

// Ladder is the state of all subjects. It is for one goroutine.
type Ladder struct {
	cfg     Config
	of      map[string]*state
	refused int64
}

type state struct {
	up    bool
	since int64
	until [signs]int64 // by each sign, 0: it does not ask
	rest  int64        // no closer look before
	last  int64        // when it was seen last
}

// New is a ladder on whose lowest step all subjects stand.
func New(cfg Config) *Ladder {
	cfg.Most = cmp.Or(cfg.Most, 8)
	cfg.Longest = cmp.Or(cfg.Longest, 10*time.Minute)
	cfg.Rest = cmp.Or(cfg.Rest, 10*time.Minute)
	cfg.Known = cmp.Or(cfg.Known, 4096)
	for i := range cfg.Hold {
		cfg.Hold[i] = cmp.Or(cfg.Hold[i], hold[i])
	}
	return &Ladder{cfg: cfg, of: map[string]*state{}}
}

// Refused counts the signs that found no room, or came while a subject rests.
func (l *Ladder) Refused() int64 { return l.refused }

// Closer says whether a subject is looked at closer.
func (l *Ladder) Closer(subject string) bool {
	s := l.of[subject]
	return s != nil && s.up
}

// See takes a sign of a subject, in words, at a time in nanoseconds. It gives the climb that follows,
// before it the descent of another that makes room, or nothing.
func (l *Ladder) See(now int64, subject string, sign Sign, why string) []Change {
	if sign < 0 || sign >= signs {
		return nil
	}
	s := l.of[subject]
	if s == nil {
		l.forget(now)
		s = new(state)
		l.of[subject] = s
	}
	s.last = now
	s.until[sign] = now + int64(l.cfg.Hold[sign])
	if s.up {
		return nil
	}
	if now < s.rest {
		l.refused++
		return nil
	}
	changes, ok := l.room(now, sign)
	if !ok {
		l.refused++
		return nil
	}
	s.up, s.since = true, now
	return append(changes, Change{Subject: subject, Closer: true, Sign: sign, Why: why, At: now})
}

// room makes room for one more: whose sign is the least urgent goes, if it is less urgent than sign.
func (l *Ladder) room(now int64, sign Sign) ([]Change, bool) {
	var names []string
	for name, s := range l.of {
		if s.up {
			names = append(names, name)
		}
	}
	if len(names) < l.cfg.Most {
		return nil, true
	}
	slices.Sort(names) // the same choice each time
	worst := slices.MaxFunc(names, func(a, b string) int {
		x, y := l.of[a], l.of[b]
		return cmp.Or(cmp.Compare(x.urgent(now), y.urgent(now)), -cmp.Compare(x.since, y.since))
	})
	if l.of[worst].urgent(now) <= sign {
		return nil, false
	}
	return []Change{l.down(worst, now, fmt.Sprintf("%d others ask more urgently", l.cfg.Most))}, true
}

// urgent is the most urgent sign that still asks.
func (s *state) urgent(now int64) Sign {
	for sign, until := range s.until {
		if until > now {
			return Sign(sign)
		}
	}
	return signs
}

func (l *Ladder) down(subject string, now int64, why string) Change {
	s := l.of[subject]
	sign := min(s.urgent(now), signs-1)
	s.up, s.until = false, [signs]int64{}
	return Change{Subject: subject, Sign: sign, Why: why, At: now}
}

// Tick gives the descents that are due at a time.
func (l *Ladder) Tick(now int64) (changes []Change) {
	for name, s := range l.of {
		switch {
		case !s.up:
		case now-s.since >= int64(l.cfg.Longest):
			s.rest = now + int64(l.cfg.Rest)
			changes = append(changes, l.down(name, now, fmt.Sprintf("that lasted %v, as long as it may", l.cfg.Longest)))
		case s.urgent(now) == signs:
			last := Sign(0)
			for sign, until := range s.until {
				if until > s.until[last] {
					last = Sign(sign)
				}
			}
			c := l.down(name, now, fmt.Sprintf("no %s for %v", last, l.cfg.Hold[last]))
			c.Sign = last
			changes = append(changes, c)
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Subject, b.Subject) })
	return changes
}

// Gone forgets a subject that has ended, and gives its descent if it was looked at closer.
func (l *Ladder) Gone(now int64, subject string) []Change {
	s := l.of[subject]
	if s == nil {
		return nil
	}
	var changes []Change
	if s.up {
		changes = append(changes, l.down(subject, now, "it has ended"))
	}
	delete(l.of, subject)
	return changes
}

// forget makes room in the memory: those that rest no more and were not seen for the longest go.
func (l *Ladder) forget(now int64) {
	if len(l.of) < l.cfg.Known {
		return
	}
	oldest := ""
	for name, s := range l.of {
		if !s.up && (oldest == "" || s.last < l.of[oldest].last || s.last == l.of[oldest].last && name < oldest) {
			oldest = name
		}
	}
	delete(l.of, oldest)
}

// SignOf is what an observation asks for; false: nothing.
func SignOf(o *evidence.Observation) (sign Sign, why string, ok bool) {
	switch d := o.Detail.(type) {
	case *evidence.Garbled:
		return Garbage, fmt.Sprintf("its %s turned to garbage at byte %d", d.Stream, d.Offset), true
	case *evidence.Stdio:
		if d.Action == "allocated" && d.Is != evidence.FDDevice && d.Is != evidence.FDTTY {
			return StdioReplaced, fmt.Sprintf("descriptor %d was closed and given to a %s", d.FD, d.Is), true
		}
	case *evidence.Process:
		// How they came to that was not seen. A file or a device is what output is redirected to on purpose.
		for _, t := range d.Turned {
			switch t.Is {
			case evidence.FDTCP, evidence.FDUDP, evidence.FDUnix, evidence.FDSocket, evidence.FDNetlink, evidence.FDRawSocket, evidence.FDPacket:
				if t.FD > 0 && t.Was != t.Is && t.Was != "" {
					return StdioReplaced, fmt.Sprintf("descriptor %d was a %s and is a %s", t.FD, t.Was, t.Is), true
				}
			}
		}
	case *evidence.Headroom:
		switch {
		case d.Max <= 0:
		case d.Seconds > 0 && d.Seconds < 600 || d.Open*10 >= d.Max*9:
			return NearLimit, fmt.Sprintf("%s: %s", d.Limit, ofLimit(d)), true
		case d.PerSecond > 0:
			return Growth, fmt.Sprintf("%s grows by %s a second, %s", d.Limit, rateOf(d), ofLimit(d)), true
		}
	case *evidence.Exit:
		if d.Signal != 0 || d.ExitCode != 0 {
			return EarlierDeath, "it died lately", true
		}
	}
	return 0, "", false
}

// ofLimit is "100 of 1000".
func ofLimit(d *evidence.Headroom) string {
	if d.Limit == evidence.LimitMemory {
		return fmt.Sprintf("%d MiB of %d MiB", d.Open>>20, d.Max>>20)
	}
	return fmt.Sprintf("%d of %d", d.Open, d.Max)
}

func rateOf(d *evidence.Headroom) string {
	if d.Limit == evidence.LimitMemory {
		return fmt.Sprintf("%.1f KiB", d.PerSecond/1024)
	}
	return fmt.Sprintf("%.1f", d.PerSecond)
}
