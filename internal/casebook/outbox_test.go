package casebook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/google/go-cmp/cmp"
)

// inbox is a server.
type inbox struct {
	mu     sync.Mutex
	got    []string // ids, with the number of findings
	down   bool
	answer func(*evidence.Case) error
}

func (s *inbox) Send(_ context.Context, c *evidence.Case) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errors.New("connection refused")
	}
	if s.answer != nil {
		if err := s.answer(c); err != nil {
			return err
		}
	}
	s.got = append(s.got, c.ID)
	return nil
}

func (s *inbox) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func (s *inbox) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("a minute has passed, and not yet: %s", what)
		}
	}
}

// sending runs an outbox until the function is called, or the test ends.
func sending(t *testing.T, b *Book, s Sender) (o *Outbox, said func() []string, stop func()) {
	t.Helper()
	var mu sync.Mutex
	var lines []string
	o, err := NewOutbox(b, s, func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, fmt.Sprintf(format, args...))
	})
	if err != nil {
		t.Fatal(err)
	}
	o.first = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { o.Run(ctx); close(done) }()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return o, func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(lines) }, stop
}

func TestOutboxSendsOldestFirstAndOnce(t *testing.T) {
	b, s := New(t.TempDir(), Bounds{}), &inbox{down: true}
	var want []string
	for i := range 20 {
		c := numbered(i)
		put(t, b, c)
		want = append(want, c.ID)
	}
	o, said, stop := sending(t, b, s)
	until(t, "some failures", func() bool { return o.Stats().Failed > 5 })
	if st := o.Stats(); st.Waiting != 20 || st.Oldest != want[0] || st.Err == nil {
		t.Errorf("%+v", st)
	}
	s.set(false)
	until(t, "all", func() bool { return o.Stats().Waiting == 0 })
	late := numbered(30)
	put(t, b, late)
	want = append(want, late.ID)
	until(t, "one that was put", func() bool { return len(s.ids()) == 21 })
	until(t, "it to be noted", func() bool { return o.Stats().Waiting == 0 })
	if d := cmp.Diff(want, s.ids()); d != "" {
		t.Error(d)
	}
	if l := said(); len(l) != 2 || !strings.Contains(l[0], "connection refused") || !strings.Contains(l[1], "again") {
		t.Errorf("said %q", l)
	}
	stop()
	// The next one knows; one that has changed since is sent again.
	late.Findings[0].Summary = "It is over."
	put(t, b, late)
	o, _, _ = sending(t, b, s)
	until(t, "the changed one", func() bool { return len(s.ids()) == 22 })
	until(t, "it to be noted", func() bool { return o.Stats().Waiting == 0 })
	late.Findings[0].Summary = "It is back."
	put(t, b, late)
	until(t, "it to be sent again", func() bool { return len(s.ids()) == 23 })
	until(t, "it to be noted", func() bool { return o.Stats().Waiting == 0 })
	if got := s.ids(); got[21] != late.ID || got[22] != late.ID {
		t.Errorf("sent again: %v", got[20:])
	}
	if _, problems, err := b.List(); len(problems) > 0 || err != nil {
		t.Error("the journal is listed as a case:", problems, err)
	}
	if _, err := NewOutbox(New(b.Dir(), Bounds{}), s, t.Logf); !errors.Is(err, errLocked) {
		t.Errorf("two at once: %v", err)
	}
}

func TestOutboxPutsAsideWhatIsRefused(t *testing.T) {
	b := New(t.TempDir(), Bounds{})
	bad, poison := numbered(1), numbered(0)
	s := &inbox{answer: func(c *evidence.Case) error {
		switch c.ID {
		case bad.ID:
			return fmt.Errorf("HTTP 422: no such node: %w", ErrRefused)
		case poison.ID:
			return errors.New("HTTP 500")
		}
		return nil
	}}
	put(t, b, poison)
	put(t, b, bad)
	torn := numbered(2)
	if err := os.WriteFile(filepath.Join(b.Dir(), fileName(torn.ID)), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 10 {
		c := numbered(10 + i)
		put(t, b, c)
		want = append(want, c.ID)
	}
	o, said, stop := sending(t, b, s)
	until(t, "the rest", func() bool { return o.Stats().Waiting == 1 })
	if d := cmp.Diff(want, s.ids()); d != "" {
		t.Error(d)
	}
	if st := o.Stats(); st.Refused != 2 || st.Oldest != poison.ID || st.Lost != 0 {
		t.Errorf("%+v", st)
	}
	entries, _, err := b.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if (e.Refused != "") != (e.ID == bad.ID) || e.ID == bad.ID && !strings.Contains(e.Refused, "no such node") {
			t.Errorf("%s: refused %q", e.ID, e.Refused)
		}
	}
	stop()
	n := len(said())
	// It is not asked about again, unless it changes.
	o, said, _ = sending(t, b, s)
	until(t, "the poison to fail again", func() bool { return o.Stats().Failed > 0 })
	if st := o.Stats(); st.Refused != 2 || len(said()) > n {
		t.Errorf("%+v, said %q", st, said())
	}
	s.mu.Lock()
	s.answer = nil
	s.mu.Unlock()
	put(t, b, bad)
	until(t, "both", func() bool { return o.Stats().Waiting == 0 })
	if st := o.Stats(); st.Refused != 1 { // the torn one
		t.Errorf("%+v", st)
	}
}

func TestOutboxCountsWhatWasDropped(t *testing.T) {
	b, s := New(t.TempDir(), Bounds{Cases: 5}), &inbox{down: true}
	o, _, stop := sending(t, b, s)
	var last []string
	for i := range 12 {
		c := numbered(i)
		put(t, b, c)
		last = append(last, c.ID)
	}
	if st := o.Stats(); st.Lost != 7 || st.Waiting != 5 {
		t.Errorf("%+v", st)
	}
	stop()
	o, _, _ = sending(t, b, s)
	s.set(false)
	until(t, "the rest", func() bool { return len(s.ids()) == 5 })
	put(t, b, numbered(50)) // drops one that was sent
	until(t, "all", func() bool { return o.Stats().Waiting == 0 })
	if st := o.Stats(); st.Lost != 7 {
		t.Errorf("%+v", st)
	}
	if d := cmp.Diff(last[7:], s.ids()[:5]); d != "" {
		t.Error(d)
	}
}
