package container

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// session is one connection to a runtime.
type session struct {
	*source
	rt       runtime
	status   Status
	events   chan event
	watchers sync.WaitGroup
	watching context.Context
	stopped  chan error // why watching ended
	ended    bool       // watching has, at least once
	rewatch  time.Time  // when to begin again; zero: it is on, or never
	poll     time.Time
	listed   time.Time // when all of them were asked for last
	details  []string  // to be inspected when there is nothing else to do
	queued   map[string]bool
	asking   map[string]*question
	failed   map[string]int // how often in a row inspecting one went wrong
	hangs    int            // questions without an answer in a row
}

type question struct {
	ref   Ref
	tries int
	at    time.Time
}

// connected asks until the connection or ctx ends, and gives the reason.
func (s *source) connected(ctx context.Context) error {
	rt, err := s.reg.opt.open(s.at)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	name, version := rt.about()
	n := &session{source: s, rt: rt, watching: watching, events: make(chan event, 64), stopped: make(chan error, 1),
		queued: map[string]bool{}, asking: map[string]*question{}, failed: map[string]int{},
		status: Status{Endpoint: s.at.path, Runtime: cut(name+" "+version, maxName), Connected: true}}
	defer func() {
		stop()
		rt.close()
		n.watchers.Wait()
	}()
	n.watch()
	if err := n.all(ctx); err != nil {
		return err
	}
	n.status.Events = n.at.docker
	// Events may have begun only after the list was made.
	n.poll = time.Now().Add(time.Second)
	n.tell(n.status)
	for ctx.Err() == nil {
		if err := n.step(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (n *session) watch() {
	n.rewatch = time.Time{}
	n.watchers.Go(func() {
		err := n.rt.watch(n.watching, func(e event) {
			select {
			case n.events <- e:
			case <-n.watching.Done():
			}
		})
		select {
		case n.stopped <- err:
		case <-n.watching.Done():
		}
	})
}

// unwatched goes on by asking.
func (n *session) unwatched(err error) {
	n.ended = true
	if n.status.Events {
		n.status.Events, n.poll = false, time.Now()
	}
	if !errors.Is(err, errNoEvents) {
		n.rewatch = time.Now().Add(5 * time.Second)
	}
}

// step does the most urgent thing that there is to do, and waits where there is none.
func (n *session) step(ctx context.Context) error {
	select {
	case e := <-n.events:
		n.take(e)
		return nil
	default:
	}
	n.mu.Lock()
	asked, again := n.asked, n.again
	n.asked, n.again = nil, nil
	n.mu.Unlock()
	for _, id := range again {
		n.queue(id)
	}
	now := time.Now()
	for _, ref := range asked {
		if n.asking[ref.ID] == nil && len(n.asking) < maxAsked && !n.reg.has(ref.ID) {
			n.asking[ref.ID] = &question{ref: ref, at: now}
		}
	}
	next := n.poll
	if !n.rewatch.IsZero() && n.rewatch.Before(next) {
		next = n.rewatch
	}
	due := 0
	for _, q := range n.asking {
		if !q.at.After(now) {
			due++
		}
	}
	if due >= manyAsked && now.Sub(n.listed) >= listAgain { // a busy runtime answers each question slowly
		return n.all(ctx)
	}
	for _, q := range n.asking {
		if !q.at.After(now) {
			return n.ask(ctx, q)
		}
		if q.at.Before(next) {
			next = q.at
		}
	}
	switch {
	case !n.rewatch.IsZero() && !n.rewatch.After(now):
		n.status.Events = true // until it fails again; that is told when it does
		n.watch()
		n.poll = now.Add(time.Second)
		return nil
	case !n.poll.After(now):
		n.tell(n.status)
		return n.all(ctx)
	case len(n.details) > 0:
		return n.detail(ctx)
	}
	if n.status.Events || n.ended { // what events tell of the past is among it
		n.reg.whole()
	}
	t := time.NewTimer(time.Until(next))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-n.kick:
	case e := <-n.events:
		n.take(e)
	case err := <-n.stopped:
		n.unwatched(err)
	}
	return nil
}

// all takes everything that the runtime has.
func (n *session) all(ctx context.Context) error {
	limited, stop := context.WithTimeout(ctx, listLimit)
	defer stop()
	infos, whole, err := n.rt.list(limited)
	if err != nil {
		return fmt.Errorf("list its containers: %w", err)
	}
	listed := map[string]bool{}
	for _, i := range infos[:min(len(infos), maxKnown)] {
		listed[i.ID] = true
		n.reg.put(n.source, i, whole)
		n.later(i.ID)
	}
	n.reg.only(n.source, listed)
	n.listed = time.Now()
	n.poll = time.Now().Add(pollAlways)
	if n.status.Events {
		n.poll = time.Now().Add(pollBeside)
	}
	return nil
}

func (n *session) later(id string) {
	if n.reg.vague(id) && n.failed[id] < manyFailures {
		n.queue(id)
	}
}

func (n *session) queue(id string) {
	if !n.queued[id] && len(n.details) < maxKnown {
		n.queued[id] = true
		n.details = append(n.details, id)
	}
}

func (n *session) take(e event) {
	for _, i := range e.infos {
		n.reg.put(n.source, i, false)
	}
	if e.removed {
		n.reg.remove(n.source, e.id)
		return
	}
	if isID(e.id) {
		n.queue(e.id)
	}
}

// detail asks for all of one container.
func (n *session) detail(ctx context.Context) error {
	id := n.details[0]
	n.details = n.details[1:]
	delete(n.queued, id)
	_, err := n.inspect(ctx, id)
	switch {
	case err == nil:
		delete(n.failed, id)
	case errors.Is(err, errNone):
		n.reg.remove(n.source, id)
	case len(n.failed) < maxKnown:
		n.failed[id]++
	}
	return n.serious(err)
}

// ask asks for a container that somebody has seen.
func (n *session) ask(ctx context.Context, q *question) error {
	if n.reg.has(q.ref.ID) {
		delete(n.asking, q.ref.ID)
		return nil
	}
	found, err := n.inspect(ctx, q.ref.ID)
	switch {
	case found, q.tries == len(askAgain):
		delete(n.asking, q.ref.ID)
	default:
		q.at = time.Now().Add(askAgain[q.tries])
		q.tries++
	}
	return n.serious(err)
}

func (n *session) inspect(ctx context.Context, id string) (bool, error) {
	limited, stop := context.WithTimeout(ctx, callLimit)
	defer stop()
	info, err := n.rt.inspect(limited, id)
	if err != nil {
		return false, err
	}
	n.hangs = 0
	if info.ID != id {
		return false, nil // an answer to another question
	}
	n.reg.put(n.source, info, true)
	return true, nil
}

// serious gives the errors that end a connection: one container may be broken, or hang, alone.
func (n *session) serious(err error) error {
	var alone aloneError
	switch {
	case err == nil, n.watching.Err() != nil, errors.Is(err, errNone), errors.As(err, &alone):
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		if n.hangs++; n.hangs < manyHangs {
			return nil
		}
	}
	return fmt.Errorf("ask for a container: %w", err)
}
