package coredump

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// Keeper is what a dump is given to; *Store is one. It ends the dump.
type Keeper interface {
	Take(ctx context.Context, d *Dump) (*Entry, error)
}

// ServeOptions say what becomes of the cores that come.
type ServeOptions struct {
	Keeper   Keeper
	Mine     func(pid int, pidfd *os.File) bool // whether a process is one to record
	Parallel int                                // dumps at once, more wait; 0: 4
	Begun    func(pid int32)                    // told of each that was mine and came; Kept follows
	Kept     func(*Kept)                        // told of each that came
	Said     func(words string)                 // told of what goes wrong
}

// Kept is what became of one dump.
type Kept struct {
	PID   int32
	Entry *Entry // nil with Err
	Err   error
}

const (
	defaultParallel = 4
	maxWaiting      = 64 // dumps that wait for others; more are closed, and said to be lost
	maxRejoins      = 5  // of supervisors that are killed, in a row
)

// server is one Serve.
type server struct {
	*Installed
	o     ServeOptions
	place chan struct{} // one for each dump at a time
	queue chan struct{} // and for each that waits

	mu     sync.Mutex
	offers map[uint64]*Dump
	taking sync.WaitGroup
}

// Serve takes cores until ctx ends or the supervisor does; it starts another one where that was
// killed. It returns when the dumps that it has taken are done with.
func (i *Installed) Serve(ctx context.Context, o ServeOptions) error {
	if o.Parallel <= 0 {
		o.Parallel = defaultParallel
	}
	if o.Begun == nil {
		o.Begun = func(int32) {}
	}
	if o.Kept == nil {
		o.Kept = func(*Kept) {}
	}
	if o.Said == nil {
		o.Said = func(string) {}
	}
	s := &server{
		Installed: i, o: o, offers: map[uint64]*Dump{},
		place: make(chan struct{}, o.Parallel), queue: make(chan struct{}, o.Parallel+maxWaiting),
	}
	i.mu.Lock()
	closed := i.closed
	i.serving = !closed
	i.mu.Unlock()
	if closed {
		return nil
	}
	defer s.taking.Wait()
	defer s.over(farewell{dead: true})
	for failed := 0; ; {
		from := time.Now()
		words, err := s.listen(ctx)
		if err == nil {
			if !s.over(farewell{words: words}) && words != "" {
				o.Said(words)
			}
			return nil
		}
		if ctx.Err() != nil || s.isClosed() {
			return nil
		}
		if time.Since(from) > time.Minute {
			failed = 0
		}
		if failed++; failed > maxRejoins {
			return fmt.Errorf("receive core dumps: the supervisor was killed %d times: %w", failed, err)
		}
		if err := s.join(); err != nil {
			return fmt.Errorf("start another supervisor: %w", err)
		}
		o.Said("the supervisor of core dumps was killed, and another one was started")
	}
}

// over tells Close how the supervisor ended, and says whether that waits for it.
func (s *server) over(f farewell) bool {
	s.Installed.mu.Lock()
	defer s.Installed.mu.Unlock()
	s.serving = false
	select {
	case s.bye <- f:
	default:
	}
	return s.closed
}

func (i *Installed) isClosed() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.closed
}

// listen hears one supervisor to its end: no error where that has said so.
func (s *server) listen(ctx context.Context) (words string, err error) {
	s.Installed.mu.Lock()
	l := s.l
	s.Installed.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { l.SetReadDeadline(time.Now()) })
	defer stop()
	defer s.drop()
	for {
		m, f, err := l.hear()
		if err != nil {
			return "", err
		}
		switch m.Say {
		case sayOffer:
			go s.offer(l, &m, f)
		case sayTake:
			s.take(ctx, l, &m, f)
		case sayBye:
			return m.Words, nil
		}
	}
}

// drop forgets what was offered by a supervisor that is gone.
func (s *server) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, d := range s.offers {
		if d.PIDFD != nil {
			d.PIDFD.Close()
		}
		delete(s.offers, id)
	}
}

func (s *server) offer(l link, m *message, pidfd *os.File) {
	mine := s.o.Mine(m.PID, pidfd)
	if mine {
		d := &Dump{
			PID: int32(m.PID), TID: int32(m.TID), Signal: evidence.Signal(m.Signal), PIDFD: pidfd,
			Proc: "/proc/" + strconv.Itoa(m.PID), At: time.Unix(0, m.At),
		}
		s.mu.Lock()
		s.offers[m.ID] = d
		s.mu.Unlock()
	} else if pidfd != nil {
		pidfd.Close()
	}
	l.say(message{Say: sayAnswer, ID: m.ID, Mine: mine})
}

var errTooMany = errors.New("too many other dumps were waiting")

func (s *server) take(ctx context.Context, l link, m *message, f *os.File) {
	s.mu.Lock()
	d := s.offers[m.ID]
	delete(s.offers, m.ID)
	s.mu.Unlock()
	if f == nil {
		return
	}
	core, err := newStream(f)
	if d == nil {
		if core != nil {
			core.Close()
		}
		l.say(message{Say: sayDone, ID: m.ID})
		return
	}
	s.o.Begun(d.PID)
	if err != nil {
		if d.PIDFD != nil {
			d.PIDFD.Close()
		}
		l.say(message{Say: sayDone, ID: m.ID})
		s.o.Kept(&Kept{PID: d.PID, Err: fmt.Errorf("receive the core: %w", err)})
		return
	}
	d.Core = core
	end := func(k *Kept) {
		core.Close()
		if d.PIDFD != nil {
			d.PIDFD.Close()
		}
		l.say(message{Say: sayDone, ID: m.ID})
		s.o.Kept(k)
	}
	select {
	case s.queue <- struct{}{}:
	default:
		end(&Kept{PID: d.PID, Err: errTooMany})
		return
	}
	s.taking.Go(func() {
		defer func() { <-s.queue }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Installed.o.Bound)
		defer cancel()
		defer context.AfterFunc(ctx, func() { core.Close() })()
		select {
		case s.place <- struct{}{}:
			defer func() { <-s.place }()
		case <-ctx.Done():
			end(&Kept{PID: d.PID, Err: fmt.Errorf("%w for %v", errTooMany, s.Installed.o.Bound)})
			return
		}
		e, err := s.o.Keeper.Take(ctx, d)
		end(&Kept{PID: d.PID, Entry: e, Err: err})
	})
}
