package coredump

import (
	"sync"
	"time"
)

// recorder is a descry that records processes whose cores it wants.
type recorder struct {
	link
	pid    int
	linger time.Duration
	bound  time.Duration

	mu      sync.Mutex
	answers map[uint64]chan bool
	taken   map[uint64]chan struct{} // that it was given and has not done with
	silent  bool                     // it has not answered in time
	gone    bool
}

// listen returns when the recorder is gone; left says whether it said so.
func (r *recorder) listen() (left bool) {
	for {
		m, f, err := r.hear()
		if f != nil {
			f.Close()
		}
		if err != nil {
			return false
		}
		r.mu.Lock()
		r.silent = false
		switch m.Say {
		case sayAnswer:
			if c := r.answers[m.ID]; c != nil {
				c <- m.Mine
				delete(r.answers, m.ID)
			}
		case sayDone:
			if c := r.taken[m.ID]; c != nil {
				close(c)
				delete(r.taken, m.ID)
			}
		}
		r.mu.Unlock()
		if m.Say == sayLeave {
			return true
		}
	}
}

// offer asks a recorder whether the process is its.
func (r *recorder) offer(o *offered) bool {
	answer := make(chan bool, 1)
	r.mu.Lock()
	if r.gone || r.silent {
		r.mu.Unlock()
		return false
	}
	r.answers[o.id] = answer
	r.mu.Unlock()
	m := message{Say: sayOffer, ID: o.id, PID: o.PID, TID: o.TID, Signal: o.Signal, At: o.At.UnixNano()}
	var files []int
	if o.pidfd != nil {
		files = append(files, int(o.pidfd.Fd()))
	}
	if err := r.say(m, files...); err != nil {
		return false
	}
	select {
	case mine := <-answer: // false where it is closed
		return mine
	case <-time.After(answerTime):
		r.mu.Lock()
		defer r.mu.Unlock()
		r.silent = true
		delete(r.answers, o.id)
		return false
	}
}

// take gives the dump to a recorder, and waits until that is done, or too slow, or gone. It says false
// where the recorder did not get it.
func (r *recorder) take(o *offered) bool {
	over := make(chan struct{})
	r.mu.Lock()
	gone := r.gone
	if !gone {
		r.taken[o.id] = over
	}
	r.mu.Unlock()
	if gone {
		return false
	}
	defer func() {
		r.mu.Lock()
		delete(r.taken, o.id)
		r.mu.Unlock()
	}()
	if err := o.start(); err != nil {
		return true // the kernel has given up
	}
	var err error
	o.stream.control(func(fd int) { err = r.say(message{Say: sayTake, ID: o.id}, fd) })
	if err != nil {
		return false
	}
	select {
	case <-over:
	case <-time.After(r.bound + time.Second): // it should have given up by itself
	}
	return true
}
