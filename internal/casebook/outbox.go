package casebook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/descry-dev/descry/internal/evidence"
)

// Sender hands cases to a server. It may get a case again that the server has, also in a newer form: the id
// tells. An error that is ErrRefused is the server's last word on this case; any other may go away.
type Sender interface {
	Send(ctx context.Context, c *evidence.Case) error
}

// ErrRefused is of a case that the server will never take, for errors.Is. The text around it says why.
var ErrRefused = errors.New("refused")

// Times of the outbox.
const (
	sendLimit  = 30 * time.Second // one case
	firstPause = time.Second      // after a failure; doubled and jittered from then on
	longPause  = 5 * time.Minute
	lookAnew   = time.Minute // at the folder, for what others put there
	syncEvery  = time.Second // the journal: what is lost of it is sent again
	strikes    = 3           // failures in a row of one case, until others are tried before it
)

// Outbox sends the cases of a book, the oldest first, each until the server has taken or refused its newest form.
// One outbox at a time may use a folder.
type Outbox struct {
	book   *Book
	sender Sender
	log    func(format string, args ...any)
	j      *journal
	wake   chan struct{}
	first  time.Duration // firstPause; tests are quicker

	mu      sync.Mutex
	waiting map[string]*waiting // by the case's id
	stats   OutboxStats
	failing bool
}

type waiting struct {
	as     string // its form
	failed int
	until  time.Time // not before
	pause  *backoff.ExponentialBackOff
}

// OutboxStats are figures of an outbox.
type OutboxStats struct {
	Waiting int       // cases that the server does not have, in their newest form
	Oldest  string    // id of the oldest of these
	Refused int       // cases in the folder that the server did not want
	Sent    int64     // since the outbox was opened
	Failed  int64     // attempts that failed, likewise
	Lost    int64     // cases that were dropped before they were sent, ever
	Since   time.Time // when the server was reached last; zero: not yet
	Err     error     // what went wrong last; nil: nothing since then
}

// NewOutbox opens the outbox of a book. The book is to be the one that the program puts cases into: then none
// that it drops is missed. log is told what is to be said, once for each change.
func NewOutbox(book *Book, sender Sender, log func(format string, args ...any)) (*Outbox, error) {
	j, remark, err := openJournal(book.dir)
	if err != nil {
		return nil, fmt.Errorf("open the outbox of %s: %w", book.dir, err)
	}
	o := &Outbox{book: book, sender: sender, log: log, j: j, wake: make(chan struct{}, 1), first: firstPause, waiting: map[string]*waiting{}}
	o.stats.Lost = j.lost
	if remark != "" {
		log("the outbox of %s: %s", book.dir, remark)
	}
	book.mu.Lock()
	book.changed, book.dropped = o.Wake, o.droppedCase
	book.mu.Unlock()
	o.readFolder()
	return o, nil
}

// Wake says that a case was put. Put does so itself.
func (o *Outbox) Wake(id string) {
	st, err := os.Lstat(filepath.Join(o.book.dir, fileName(id)))
	if err == nil {
		o.mu.Lock()
		o.seen(strings.ToUpper(id), stampOf(st))
		o.mu.Unlock()
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// seen notes a case in its present form. o.mu is held.
func (o *Outbox) seen(id, as string) {
	if a, ok := o.j.answers[id]; ok && a.as == as {
		delete(o.waiting, id)
	} else if w := o.waiting[id]; w == nil || w.as != as {
		o.waiting[id] = &waiting{as: as}
	}
}

// droppedCase counts a case that nobody will ever send.
func (o *Outbox) droppedCase(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone(id)
}

func (o *Outbox) gone(id string) {
	if o.waiting[id] != nil {
		delete(o.waiting, id)
		o.stats.Lost++
	}
}

// Stats gives figures of o.
func (o *Outbox) Stats() OutboxStats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.stats
	s.Waiting, s.Refused = len(o.waiting), 0
	for id := range o.waiting {
		if s.Oldest == "" || id < s.Oldest {
			s.Oldest = id
		}
	}
	for _, a := range o.j.answers {
		if a.refused {
			s.Refused++
		}
	}
	return s
}

// Run sends until ctx ends.
func (o *Outbox) Run(ctx context.Context) {
	pause := o.newPause()
	looked, synced := time.Now(), time.Time{}
	for ctx.Err() == nil {
		if time.Since(looked) > lookAnew {
			o.readFolder()
			looked = time.Now()
		}
		wait := lookAnew
		ids, soonest := o.next()
		if soonest > 0 {
			wait = min(wait, soonest)
		}
		if len(ids) > 0 {
			wait = 0
			if !o.attempt(ctx, ids) {
				wait = pause.NextBackOff()
			} else {
				pause.Reset()
			}
		}
		if len(ids) == 0 || wait > 0 || time.Since(synced) > syncEvery {
			o.save()
			synced = time.Now()
		}
		o.sleep(ctx, wait, len(ids) > 0)
	}
}

// Close puts what is known on the disk, when Run has ended.
func (o *Outbox) Close() error {
	o.book.mu.Lock()
	o.book.changed, o.book.dropped = nil, nil
	o.book.mu.Unlock()
	o.save()
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.j.close(); err != nil {
		return fmt.Errorf("close the outbox of %s: %w", o.book.dir, err)
	}
	return nil
}

func (o *Outbox) newPause() *backoff.ExponentialBackOff {
	p := backoff.NewExponentialBackOff()
	p.InitialInterval, p.MaxInterval, p.Multiplier, p.RandomizationFactor = o.first, longPause, 2, 0.5
	p.Reset()
	return p
}

// sleep waits; a new case ends it, but not the pause after a failure.
func (o *Outbox) sleep(ctx context.Context, d time.Duration, failed bool) {
	if d <= 0 {
		return
	}
	wake := o.wake
	if failed {
		wake = nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
}

// next gives what may be sent now, oldest first, and where there is nothing how long that lasts.
func (o *Outbox) next() (ids []string, wait time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for id, w := range o.waiting {
		if left := w.until.Sub(now); left > 0 {
			if wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, wait
}

// attempt sends the oldest case. Where that has failed some times, the second oldest tells whose fault it is:
// is that one taken, then the first must wait for a while, so that it does not hold up the others.
func (o *Outbox) attempt(ctx context.Context, ids []string) (well bool) {
	if o.send(ctx, ids[0]) {
		return true
	}
	o.mu.Lock()
	w := o.waiting[ids[0]]
	alone := w != nil && w.failed >= strikes && len(ids) > 1
	o.mu.Unlock()
	if !alone || !o.send(ctx, ids[1]) {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if w.pause == nil {
		w.pause = o.newPause()
		w.pause.InitialInterval = 10 * o.first
		w.pause.Reset()
	}
	w.until = time.Now().Add(w.pause.NextBackOff())
	return true
}

// send gives false where the server could not be asked, or could not say.
func (o *Outbox) send(ctx context.Context, id string) bool {
	path := filepath.Join(o.book.dir, fileName(id))
	before, err := os.Lstat(path)
	var c *evidence.Case
	if err == nil {
		c, err = o.book.read(fileName(id))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o.droppedCase(id)
		return true
	case err != nil: // what cannot be read the server would not want either
		err = fmt.Errorf("%w: it cannot be read: %w", ErrRefused, err)
	default:
		limited, stop := context.WithTimeout(ctx, sendLimit)
		err = o.sender.Send(limited, c)
		stop()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil && !errors.Is(err, ErrRefused) {
		if ctx.Err() != nil {
			return false
		}
		o.stats.Failed++
		o.stats.Err = err
		if w := o.waiting[id]; w != nil {
			w.failed++
		}
		if !o.failing {
			o.failing = true
			o.log("cases cannot be sent for now, and are kept: %v", err)
		}
		return false
	}
	m := mark{As: stampOf(before), Sent: id}
	if err != nil {
		m.Sent, m.Refused, m.Why = "", id, strings.ToValidUTF8(err.Error()[:min(len(err.Error()), 500)], "")
		o.log("case %s is put aside: %v", id, err)
	} else {
		o.stats.Sent++
	}
	o.stats.Since, o.stats.Err = time.Now(), nil
	if o.failing {
		o.failing = false
		o.log("cases are sent again")
	}
	if err := o.j.add(m); err != nil {
		o.stats.Err = err
	}
	if w := o.waiting[id]; w != nil && w.as == m.As { // else it has a newer form by now
		delete(o.waiting, id)
	}
	return true
}

// readFolder finds what others have put there or removed, and forgets what was said of cases that are gone.
func (o *Outbox) readFolder() {
	names, _, err := o.book.names()
	if err != nil {
		return
	}
	there := make(map[string]bool, len(names))
	for _, name := range names {
		id := strings.TrimSuffix(name, suffix)
		st, err := os.Lstat(filepath.Join(o.book.dir, name))
		if err != nil {
			continue
		}
		there[id] = true
		o.mu.Lock()
		o.seen(id, stampOf(st))
		o.mu.Unlock()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range o.waiting {
		if !there[id] {
			if _, err := os.Lstat(filepath.Join(o.book.dir, fileName(id))); err != nil { // it may have come just now
				o.gone(id)
			}
		}
	}
	for id := range o.j.answers {
		if !there[id] {
			delete(o.j.answers, id)
		}
	}
}

// save puts on the disk what the server has.
func (o *Outbox) save() {
	o.mu.Lock()
	defer o.mu.Unlock()
	var err error
	if o.stats.Lost > o.j.lost {
		err = o.j.add(mark{Lost: o.stats.Lost})
	}
	if err = cmp.Or(err, o.j.sync()); err != nil {
		o.stats.Err = err
	}
}
