package agent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// state is what outlives the agent, in a directory of its own:
//
//	lock    held while an agent runs
//	deaths  which deaths were dealt with, a line of JSON each
//	alive   an empty file, touched while the agent runs: what died after that, nobody watched
type state struct {
	dir   string
	lock  *os.File
	file  *os.File
	err   error // of the last line that could not be written
	known map[string][]time.Time
	lines int
	seen  time.Time // when the agent before was alive last; zero: there was none
}

// record is a death that was dealt with. A container's id alone does not tell its lives apart: Docker starts one
// again under the same id.
type record struct {
	Container string            `json:"container,omitzero"`
	At        time.Time         `json:"at"`
	Case      string            `json:"case,omitzero"` // empty: there is none
	Workload  string            `json:"workload,omitzero"`
	Kind      evidence.CaseKind `json:"kind,omitzero"`
	Cause     string            `json:"cause,omitzero"`
}

// Bounds of the state.
const (
	maxDeaths  = 4096            // lines, when the file is made anew
	aliveEvery = 2 * time.Second // between two touches
	sameDeath  = 5 * time.Second // as far as the clocks of a runtime and of the kernel's events differ
)

// errAgentRuns is the error where another agent has the state.
var errAgentRuns = errors.New("another agent runs with it")

// openState opens the state, and gives what was dealt with before.
func openState(dir string) (*state, []record, error) {
	fail := func(err error) (*state, []record, error) {
		return nil, nil, fmt.Errorf("keep the agent's state in %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(reason(err))
	}
	s := &state{dir: dir, known: map[string][]time.Time{}}
	var err error
	if s.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return fail(reason(err))
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		s.lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errAgentRuns
		}
		return fail(err)
	}
	if st, err := os.Stat(s.path("alive")); err == nil {
		s.seen = st.ModTime()
	}
	before := s.read()
	err = s.rewrite(before)
	if full(err) { // what there is can be read, and goes on being written once there is room
		s.lines = len(before)
		s.file, err = os.OpenFile(s.path("deaths"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	}
	if err != nil {
		s.close()
		return fail(reason(err))
	}
	s.touch()
	return s, before, nil
}

// full says whether an error is that of a full disk: an agent works on one, as well as it can.
func full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func (s *state) path(name string) string { return filepath.Join(s.dir, name) }

// read gives the newest lines that can be read, and remembers these alone: the last one may be torn.
func (s *state) read() (out []record) {
	f, err := os.Open(s.path("deaths"))
	if err != nil {
		return nil
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<10)
	for lines.Scan() {
		var r record
		if json.Unmarshal(bytes.TrimSpace(lines.Bytes()), &r) == nil && !r.At.IsZero() {
			out = append(out, r)
		}
	}
	out = slices.Clip(out[max(0, len(out)-maxDeaths/2):])
	clear(s.known)
	for i := range out {
		s.know(&out[i])
	}
	return out
}

func (s *state) know(r *record) {
	if r.Container == "" {
		return
	}
	if at := s.known[r.Container]; len(at) < 64 {
		s.known[r.Container] = append(at, r.At)
	}
}

// rewrite makes the file anew.
func (s *state) rewrite(all []record) error {
	tmp, err := os.CreateTemp(s.dir, ".deaths-*")
	if err != nil {
		return err
	}
	w := bufio.NewWriter(tmp)
	for i := range all {
		b, err := json.Marshal(&all[i])
		if err == nil {
			w.Write(append(b, '\n')) //nolint:errcheck // Flush says it
		}
	}
	if err := errors.Join(w.Flush(), tmp.Close(), os.Rename(tmp.Name(), s.path("deaths"))); err != nil {
		os.Remove(tmp.Name())
		return err
	}
	if s.file != nil {
		s.file.Close()
	}
	s.lines = len(all)
	s.file, err = os.OpenFile(s.path("deaths"), os.O_WRONLY|os.O_APPEND, 0)
	return err
}

// decided remembers a death. The line is with the kernel when it returns, so that it survives the agent.
func (s *state) decided(r record) {
	s.know(&r)
	b, err := json.Marshal(&r)
	if err == nil {
		_, err = s.file.Write(append(b, '\n'))
	}
	s.err = err
	if s.lines++; s.lines > maxDeaths {
		s.err = s.rewrite(s.read())
	}
}

// has says whether a death was dealt with.
func (s *state) has(container string, at time.Time) bool {
	return sameMoment(s.known[container], at)
}

// touch says that the agent is alive.
func (s *state) touch() {
	now := time.Now()
	if os.Chtimes(s.path("alive"), now, now) != nil {
		if f, err := os.OpenFile(s.path("alive"), os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			f.Close()
		}
	}
}

func (s *state) close() {
	if s.file != nil {
		s.file.Close()
	}
	s.lock.Close()
}

// decided remembers that a subject's death was dealt with.
func (n *node) decided(s *subject, id string) {
	if s.exit == nil {
		return
	}
	n.state.decided(record{Container: s.ref.ID, At: s.exit.Time(), Case: id, Workload: s.workload, Kind: evidence.CaseDeath})
}
