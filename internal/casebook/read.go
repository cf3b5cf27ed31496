package casebook

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"golang.org/x/sys/unix"
)

// The errors of Get, for errors.Is. Their texts, as Get gives them, say more.
var (
	ErrNone      = errors.New("no case has been kept yet")
	ErrNotFound  = errors.New("no such case")
	ErrAmbiguous = errors.New("more than one case begins so")
)

// Entry is a case in a list.
type Entry struct {
	ID         string              `json:"id"`
	OpenedAt   time.Time           `json:"openedAt"`
	Kind       evidence.CaseKind   `json:"kind"`
	Command    []string            `json:"command,omitempty"`
	Cause      string              `json:"cause,omitzero"`      // of the first finding; empty: unexplained
	Confidence evidence.Confidence `json:"confidence,omitzero"` // of the first finding
	Title      string              `json:"title,omitzero"`      // of the first finding
	Summary    string              `json:"summary,omitzero"`    // of the first finding
	ExitCode   int32               `json:"exitCode"`            // 0 for a warning
	Signal     evidence.Signal     `json:"signal,omitzero"`     // that ended it
	Comm       string              `json:"comm,omitzero"`       // of the process that died
	NotStarted bool                `json:"notStarted,omitzero"` // the command could not be executed

	Fingerprint string `json:"fingerprint,omitzero"` // of its core, if one was kept: alike crashes have the same

	// Of a case of a node's agent.
	Namespace   string    `json:"namespace,omitzero"`
	Pod         string    `json:"pod,omitzero"`
	Container   string    `json:"container,omitzero"`
	ContainerID string    `json:"containerID,omitzero"`
	Unit        string    `json:"unit,omitzero"`
	DiedAt      time.Time `json:"diedAt,omitzero"`
	Refused     string    `json:"refused,omitzero"`     // why the server did not take it
	WithdrawnAt time.Time `json:"withdrawnAt,omitzero"` // when a warning no longer held
}

// Problem is a file that stands among the cases and is none that can be read.
type Problem struct {
	Name string // in the folder
	Err  error
}

// List gives all cases, newest first, and what stands among them that is no case. It is an error
// only when the folder itself cannot be read; one that does not exist is empty.
func (b *Book) List() ([]Entry, []Problem, error) {
	names, other, err := b.names()
	if err != nil {
		return nil, nil, fmt.Errorf("list cases: %w", err)
	}
	var (
		entries  []Entry
		problems []Problem
	)
	for _, name := range other {
		if !strings.HasPrefix(name, tempPrefix) { // another descry may be writing it
			problems = append(problems, Problem{name, errors.New("not named like a case: <id>.json")})
		}
	}
	// Reading is waiting and parsing in turn: a few at once.
	found := make([]Entry, len(names))
	errs := make([]error, len(names))
	var (
		readers sync.WaitGroup
		next    atomic.Int64
	)
	for range min(runtime.GOMAXPROCS(0), 4) {
		readers.Go(func() {
			q := newQuickReader()
			for i := next.Add(1) - 1; i < int64(len(names)); i = next.Add(1) - 1 {
				found[i], errs[i] = b.entryOf(names[i], q)
			}
		})
	}
	readers.Wait()
	refused := b.refusals()
	entries = found[:0]
	for i, name := range names {
		switch err := errs[i]; {
		case errors.Is(err, fs.ErrNotExist): // dropped just now
		case err != nil:
			problems = append(problems, Problem{name, err})
		default:
			found[i].Refused = refused[found[i].ID]
			entries = append(entries, found[i])
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(b.OpenedAt.Compare(a.OpenedAt), cmp.Compare(b.ID, a.ID))
	})
	slices.SortFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Name, b.Name) })
	return entries, problems, nil
}

func entry(c *evidence.Case) Entry {
	s := &c.Subject
	e := Entry{ID: c.ID, OpenedAt: c.OpenedAt, Kind: c.Kind, Command: s.Command, WithdrawnAt: c.WithdrawnAt,
		Namespace: s.Namespace, Pod: s.Pod, Container: s.Container, ContainerID: s.ContainerID, Unit: s.Unit}
	if len(c.Findings) > 0 {
		first := &c.Findings[0]
		e.Cause, e.Confidence, e.Title, e.Summary = first.Cause, first.Confidence, first.Title, first.Summary
	}
	if d := c.Death; d != nil {
		e.ExitCode, e.Signal, e.Comm, e.NotStarted, e.DiedAt = d.ExitCode, d.Signal, d.Comm, d.NotStarted, d.At
	}
	if c.Core != nil {
		e.Fingerprint = c.Core.Fingerprint
	}
	return e
}

func (b *Book) read(name string) (*evidence.Case, error) {
	f, err := os.OpenFile(filepath.Join(b.dir, name), os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO must not hold us
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, errors.New("not a case: no ordinary file, or too large")
	}
	c, err := evidence.ReadCase(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	if c.ID != strings.TrimSuffix(name, suffix) {
		return nil, fmt.Errorf("it holds case %q, which is not its name", c.ID)
	}
	return c, nil
}

// Get gives a case by its id or by a beginning of it that no other case has, in large or small
// letters; empty means the newest that can be read. The error is ErrNone, ErrNotFound or
// ErrAmbiguous, each with a hint, or says why the case's file cannot be read.
func (b *Book) Get(idOrPrefix string) (*evidence.Case, error) {
	names, _, err := b.names()
	if err != nil {
		return nil, fmt.Errorf("read a case: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w in %s; descry run -- COMMAND makes one when COMMAND dies", ErrNone, b.dir)
	}
	if idOrPrefix == "" {
		return b.newest(names)
	}
	want := canonical(idOrPrefix)
	var match []string
	for _, name := range names {
		if strings.HasPrefix(name, want) {
			match = append(match, strings.TrimSuffix(name, suffix))
		}
	}
	switch {
	case len(match) == 0:
		return nil, fmt.Errorf("%w: %s; the nearest is %s (descry cases lists all)", ErrNotFound, idOrPrefix, nearest(names, want))
	case len(match) > 1:
		more := ""
		if len(match) > 3 {
			more = fmt.Sprintf(" and %d more", len(match)-3)
		}
		return nil, fmt.Errorf("%w: %s may be %s%s", ErrAmbiguous, idOrPrefix, strings.Join(match[:min(3, len(match))], ", "), more)
	}
	c, err := b.read(match[0] + suffix)
	if err != nil {
		return nil, fmt.Errorf("read case %s: %w", match[0], err)
	}
	return c, nil
}

// canonical forgives what ULIDs forgive: small letters, and I, L and O, which stand for no letter.
func canonical(id string) string {
	return strings.NewReplacer("I", "1", "L", "1", "O", "0").Replace(strings.ToUpper(strings.TrimSuffix(id, suffix)))
}

// newest reads cases from the newest on until one can be read. Ids order them to the millisecond;
// within one, the time of opening does.
func (b *Book) newest(names []string) (*evidence.Case, error) {
	var (
		best *evidence.Case
		errs []error
	)
	const millis = 10 // characters of a ULID
	for _, name := range names {
		if best != nil && name[:millis] != best.ID[:millis] {
			break
		}
		c, err := b.read(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("read case %s: %w", strings.TrimSuffix(name, suffix), err))
			continue
		}
		if best == nil || c.OpenedAt.After(best.OpenedAt) {
			best = c
		}
	}
	if best == nil {
		return nil, errs[0]
	}
	return best, nil
}

// nearest is the id that shares the longest beginning with want, the newest of equals.
func nearest(names []string, want string) string {
	best, bestLen := names[0], -1
	for _, name := range names {
		n := 0
		for n < len(want) && n < len(name) && want[n] == name[n] {
			n++
		}
		if n > bestLen {
			best, bestLen = name, n
		}
	}
	return strings.TrimSuffix(best, suffix)
}
