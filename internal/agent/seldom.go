package agent

import (
	"log/slog"
	"sync"
	"time"
)

// seldomEvery is how often is told how many more there were of what was told once.
const seldomEvery = time.Minute

// seldom tells of what fails again and again, as on a full disk: the first time whole, then each minute how often, and
// the last of them whole. Its methods may be called from several goroutines.
type seldom struct {
	mu   sync.Mutex
	of   map[string]*failures // by message: few, of this program's own
	when func() time.Time     // nil: time.Now
}

type failures struct {
	at   time.Time // when it was told
	more int64     // since then
	args []any     // of the last of them
}

func (f *seldom) now() time.Time {
	if f.when != nil {
		return f.when()
	}
	return time.Now()
}

// say tells of a failure, or counts it.
func (f *seldom) say(log *slog.Logger, message string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = map[string]*failures{}
	}
	if p := f.of[message]; p != nil {
		p.more++
		p.args = args
		return
	}
	f.of[message] = &failures{at: f.now()}
	log.Error(message, args...)
}

// tell tells of those that were counted, where that is due. Of what has not failed for so long the next is told at once.
func (f *seldom) tell(log *slog.Logger) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for message, p := range f.of {
		now := f.now()
		switch {
		case now.Sub(p.at) < seldomEvery:
		case p.more == 0:
			delete(f.of, message)
		default:
			log.Error(message, append([]any{"times", p.more, "since", p.at.UTC().Format(time.RFC3339)}, p.args...)...)
			p.at, p.more, p.args = now, 0, nil
		}
	}
}
