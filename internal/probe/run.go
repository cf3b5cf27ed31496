//go:build linux

package probe

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/descry-dev/descry/internal/evidence"
)

// Run hands every observation to handle, in one goroutine, until Close. handle may keep the
// observation. An event that cannot be read is counted as lost.
func (s *Set) Run(handle func(*evidence.Observation)) error {
	if !s.runs.CompareAndSwap(false, true) {
		return errors.New("read events: already running")
	}
	defer close(s.done)
	s.handle = handle
	s.before(handle)
	var rec ringbuf.Record
	for {
		switch err := s.reader.ReadInto(&rec); {
		case err == nil:
			s.event(rec.RawSample)
			if len(s.gap.dead) > 0 && rec.Remaining == 0 {
				s.after(handle)
			}
		case errors.Is(err, ringbuf.ErrFlushed):
			s.flush.arrived()
		case errors.Is(err, ringbuf.ErrClosed):
			s.flush.arrived()
			return nil
		default:
			return fmt.Errorf("read events: %w", err)
		}
	}
}

// event decodes one event and hands it on.
func (s *Set) event(raw []byte) {
	o := new(evidence.Observation)
	typ, err := s.header(raw, o)
	if err != nil || typ >= eventTypes || s.byType[typ] == nil || s.byType[typ].Decode == nil {
		s.unread.Add(1)
		return
	}
	if o.Detail = s.byType[typ].Decode(s, o, raw); o.Detail != nil {
		s.read[typ].Add(1)
		s.handle(o)
	}
}

// flusher lets callers wait until the ring was read up to where it was.
type flusher struct {
	one     sync.Mutex // one flush at a time: the reader cannot tell them apart
	mu      sync.Mutex
	waiting chan struct{}
	stale   bool // the last one timed out, and its answer is still to come
}

func (f *flusher) arrived() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting != nil {
		close(f.waiting)
		f.waiting = nil
	}
}

// Flush returns when all that the kernel emitted before the call was handed to handle, or after
// the timeout; it says whether it was done in time. Run must be running.
func (s *Set) Flush(timeout time.Duration) bool {
	f := &s.flush
	f.one.Lock()
	defer f.one.Unlock()
	rounds := 1
	if f.stale {
		rounds = 2
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	for range rounds {
		ch := make(chan struct{})
		f.mu.Lock()
		f.waiting = ch
		f.mu.Unlock()
		if err := s.reader.Flush(); err != nil {
			return false // closed
		}
		select {
		case <-ch:
		case <-s.done:
			return false
		case <-t.C:
			f.stale = true
			return false
		}
	}
	f.stale = false
	return true
}
