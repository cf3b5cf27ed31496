package container

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// How often a runtime is asked.
const (
	pollAlways    = 5 * time.Second  // for everything, where it has no events
	pollBeside    = 30 * time.Second // for everything, where it has
	lookForSocket = 5 * time.Second  // whether a socket is there now
	manyAsked     = 4                // containers that are asked for at once: all are asked for instead
	listAgain     = time.Second      // and not again before
	manyHangs     = 3                // questions without an answer in a row: the runtime hangs
	manyFailures  = 3                // of inspecting one container: what the list tells of it must do
	sayAgain      = time.Minute      // until another reason why a runtime cannot be asked is told
)

// askAgain are the pauses after which a runtime is asked again for what it did not know: a cgroup is there
// before some runtimes can tell whose it is.
var askAgain = []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 10 * time.Second}

// source keeps the registry up to date from one runtime.
type source struct {
	reg *Registry
	at  endpoint

	mu     sync.Mutex
	asked  []Ref    // that somebody needs
	again  []string // that somebody knows, and wants to know more of
	kick   chan struct{}
	status Status
	said   time.Time
}

// Status is how it stands with one runtime.
type Status struct {
	Endpoint  string
	Runtime   string // name and version; "" where it was never reached
	Connected bool
	Events    bool  // it tells of changes; else it is asked for them
	Err       error // why it is not connected
}

func newSource(r *Registry, e endpoint) *source {
	return &source{reg: r, at: e, kick: make(chan struct{}, 1), status: Status{Endpoint: e.path, Err: errUntried}}
}

// Status gives how it stands with the runtimes, but for those that nobody named and that are not there.
func (r *Registry) Status() []Status {
	var out []Status
	for _, s := range r.sources {
		s.mu.Lock()
		if s.at.given || !errors.Is(s.status.Err, ErrAbsent) && !errors.Is(s.status.Err, errUntried) {
			out = append(out, s.status)
		}
		s.mu.Unlock()
	}
	return out
}

// Answers says whether a runtime can be asked now, or may be in a moment.
func (r *Registry) Answers() bool {
	for _, s := range r.sources {
		s.mu.Lock()
		connected, absent := s.status.Connected, errors.Is(s.status.Err, ErrAbsent)
		s.mu.Unlock()
		if connected || absent && s.at.present() == nil {
			return true
		}
	}
	return false
}

// rank orders sources that know the same container: the CRI knows more than Docker's API.
func (s *source) rank() int {
	if s.at.docker {
		return 1
	}
	return 0
}

// need asks for a container, or asks again, if the runtime can be asked now; else its list tells later.
func (s *source) need(ref Ref, again bool) {
	s.mu.Lock()
	if s.status.Connected && len(s.asked)+len(s.again) < maxAsked {
		if again {
			s.again = append(s.again, ref.ID)
		} else {
			s.asked = append(s.asked, ref)
		}
	}
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

func (s *source) run(ctx context.Context) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval, pause.RandomizationFactor = 200*time.Millisecond, 30*time.Second, 0.5
	for ctx.Err() == nil {
		began := time.Now()
		err := s.connected(ctx)
		if ctx.Err() != nil {
			return
		}
		s.tell(Status{Endpoint: s.at.path, Err: err})
		if time.Since(began) > time.Minute {
			pause.Reset() // it was well
		}
		wait := pause.NextBackOff()
		if errors.Is(err, ErrAbsent) {
			pause.Reset()
			wait = lookForSocket
		}
		sleep(ctx, wait)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// tell keeps the status, and says in one line what is new about it.
func (s *source) tell(now Status) {
	s.mu.Lock()
	was := s.status
	if now.Runtime == "" {
		now.Runtime = was.Runtime
	}
	s.status = now
	if !now.Connected {
		s.asked, s.again = nil, nil
	}
	reason := func(e error) string {
		if e == nil {
			return ""
		}
		return e.Error()
	}
	news := was.Connected != now.Connected || was.Events != now.Events && now.Connected
	absent := errors.Is(was.Err, errUntried) && errors.Is(now.Err, ErrAbsent) // as most of those that nobody named
	if !now.Connected && !was.Connected && !absent && reason(was.Err) != reason(now.Err) && time.Since(s.said) > sayAgain {
		news = true
	}
	if s.said.IsZero() && s.at.given { // that it is not there, too
		news = true
	}
	if news {
		s.said = time.Now()
	}
	s.mu.Unlock()
	switch {
	case !news:
	case now.Connected && now.Events:
		s.reg.opt.Log("names come from %s at %s, which tells of changes", now.Runtime, now.Endpoint)
	case now.Connected:
		s.reg.opt.Log("names come from %s at %s, which is asked every %s, and at once for what is new", now.Runtime, now.Endpoint, pollAlways)
	default:
		s.reg.opt.Log("no names from the runtime at %s for now: %v", now.Endpoint, now.Err)
	}
}
