package agent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/descry-dev/descry/internal/coredump"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/probe"
)

// Where probes are pinned they go on while no agent runs, and the next one reads what happened meanwhile. Whose it is
// the kernel tells by a subject's number alone, so that the file "subjects" in the agent's state has the rest: a line
// of JSON for each that was found, and again when something of it became known.

// pinnedSubject is such a line.
type pinnedSubject struct {
	ID      uint32    `json:"id"`
	Boot    string    `json:"boot,omitzero"` // of the machine's boot, in the file's first line
	Cgroup  string    `json:"cgroup,omitzero"`
	Main    int32     `json:"main,omitzero"`
	Command []string  `json:"command,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Asked   int64     `json:"asked,omitzero"`
	Gone    bool      `json:"gone,omitzero"` // forgotten

	// Of its death, until that is dealt with: an agent may be killed over it.
	Exit      *evidence.Exit `json:"exit,omitempty"`
	Comm      string         `json:"comm,omitzero"`
	BootNanos int64          `json:"bootNanos,omitzero"`
	WallNanos int64          `json:"wallNanos,omitzero"`
}

// maxPinnedLines are the lines at which the file is made anew.
const maxPinnedLines = 16384

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// openPins reads the subjects of the agent before, whose probes went on.
func (n *node) openPins() error {
	if n.cfg.Pins == "" {
		os.Remove(n.state.path("subjects"))
		return nil
	}
	var had map[string][]time.Time
	for _, p := range readPinned(n.state.path("subjects")) {
		s, err := n.add(p.ID, p.Cgroup, "descry began anew while it ran")
		if err != nil {
			return err
		}
		s.main, s.command, s.askedAt, s.earlier = p.Main, p.Command, p.Asked, true
		n.last = max(n.last, p.ID)
		s.workload = n.workloadOf(s)
		s.sandbox = sandboxed(s)
		if !p.Since.IsZero() {
			s.started = p.Since
		}
		if p.Exit == nil {
			continue
		}
		if had == nil {
			had = n.caseTimes()
		}
		n.rebury(s, p, had)
	}
	err := n.rewritePinned()
	if full(err) {
		n.log.Warn("what is known of containers will not outlive the agent", "error", err)
		return nil
	}
	return err
}

// rebury goes on with a death that the agent before had seen, and was killed over, unless it had dealt with it. What
// else it had recorded is gone.
func (n *node) rebury(s *subject, p *pinnedSubject, had map[string][]time.Time) {
	s.exit = &evidence.Observation{
		BootNanos: p.BootNanos, WallNanos: p.WallNanos, Source: evidence.SourceKernel, PID: p.Main, Comm: p.Comm, Subject: s.id, Detail: p.Exit,
	}
	s.found = "the agent that watched it was ended over this death"
	if at := s.exit.Time(); n.state.has(s.ref.ID, at) || sameMoment(had[s.ref.ID], at) {
		s.ended = true
		n.after(forgetAfter, func() { n.forget(s) })
		return
	}
	s.rec.Record(s.exit)
	n.soon(settleTime, func() { n.pending--; n.bury(s, true) })
}

// sameMoment says whether one of some times is that of a death.
func sameMoment(times []time.Time, at time.Time) bool {
	return slices.ContainsFunc(times, func(t time.Time) bool { d := t.Sub(at); return d < sameDeath && d > -sameDeath })
}

func readPinned(name string) map[uint32]*pinnedSubject {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	out := map[uint32]*pinnedSubject{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<10)
	for first := true; lines.Scan(); first = false {
		var p pinnedSubject
		if json.Unmarshal(bytes.TrimSpace(lines.Bytes()), &p) != nil {
			continue // torn
		}
		switch {
		case first && p.Boot != bootID():
			return nil
		case p.ID == 0:
		case p.Gone:
			delete(out, p.ID)
		default:
			out[p.ID] = &p
		}
	}
	return out
}

// rewritePinned makes the file anew.
func (n *node) rewritePinned() error {
	fail := func(err error) error { return fmt.Errorf("keep the agent's state in %s: %w", n.cfg.State, reason(err)) }
	tmp, err := os.CreateTemp(n.cfg.State, ".subjects-*")
	if err != nil {
		return fail(err)
	}
	if n.pinned != nil {
		n.pinned.Close()
	}
	n.pinned, n.pinnedLines = tmp, 0
	n.pin(&pinnedSubject{Boot: bootID()})
	for _, s := range n.subjects {
		n.pin(s.pin())
	}
	if err := os.Rename(tmp.Name(), n.state.path("subjects")); err != nil {
		os.Remove(tmp.Name())
		return fail(err)
	}
	return nil
}

func (s *subject) pin() *pinnedSubject {
	p := &pinnedSubject{ID: s.id, Cgroup: s.cgroup, Main: s.main, Command: s.command, Since: s.since, Asked: s.askedAt}
	if s.exit != nil {
		exit := *s.exit.Detail.(*evidence.Exit)
		exit.FDs = nil // a line must stay short
		p.Exit = &exit
		p.Comm, p.BootNanos, p.WallNanos = s.exit.Comm, s.exit.BootNanos, s.exit.WallNanos
	}
	return p
}

// keepPinned remembers what became known of a subject.
func (n *node) keepPinned(s *subject, gone bool) {
	if n.pinned == nil {
		return
	}
	if n.pinnedLines > maxPinnedLines && n.rewritePinned() == nil {
		return
	}
	p := s.pin()
	if gone {
		p = &pinnedSubject{ID: s.id, Gone: true}
	}
	n.pin(p)
}

func (n *node) pin(p *pinnedSubject) {
	b, err := json.Marshal(p)
	if err == nil {
		_, err = n.pinned.Write(append(b, '\n'))
	}
	n.pinnedLines++
	if err != nil && n.figures.pinError == "" {
		n.figures.pinError = err.Error()
		n.log.Warn("what is known of containers will not outlive the agent", "error", reason(err))
	}
}

// unpinned lets go of the subjects of the agent before of which nothing is left and nothing came.
func (n *node) unpinned() {
	for _, s := range n.subjects {
		if s.earlier && len(s.procs) == 0 && s.exit == nil {
			n.forget(s)
		}
	}
}

// UninstallNode removes what an agent leaves behind that no other one is to take over: the pinned probes and its state.
// It says what was removed, and what stays. The error wraps what was left.
func UninstallNode(stateDir, pins, cases, hostRoot string) (said []string, err error) {
	useProcOf(hostRoot)
	words, err := coredump.Repair()
	if err != nil {
		return nil, err
	}
	if words != "" {
		said = append(said, words)
	}
	if pins != "" {
		removed, uerr := probe.Unpin(pins)
		if len(removed) > 0 {
			said = append(said, fmt.Sprintf("removed %d pinned probes and maps from %s", len(removed), pins))
		}
		if uerr != nil && !errors.Is(uerr, os.ErrNotExist) {
			return said, uerr
		}
	}
	if _, serr := os.Stat(stateDir); errors.Is(serr, fs.ErrNotExist) {
		return append(said, "there is no state in "+stateDir), nil
	}
	st, _, err := openState(stateDir)
	if err != nil {
		return said, err
	}
	defer st.close()
	n := 0
	for _, name := range []string{"deaths", "alive", "subjects", "logs", statusSocket, "lock"} {
		rerr := os.Remove(st.path(name))
		switch {
		case rerr == nil:
			n++
		case !errors.Is(rerr, fs.ErrNotExist):
			err = errors.Join(err, rerr)
		}
	}
	if n > 0 {
		said = append(said, "removed the agent's state from "+stateDir)
	}
	os.Remove(stateDir) // what is not ours stays, and so does it
	if entries, derr := os.ReadDir(cases); derr == nil && len(entries) > 0 {
		said = append(said, "the cases in "+cases+" stay")
	}
	return said, err
}
