package agent

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// NodeStatus is what an agent says of what runs now.
type NodeStatus struct {
	At         time.Time       `json:"at"`
	Started    time.Time       `json:"started"` // the agent
	Version    string          `json:"version"`
	Node       string          `json:"node"`
	Scope      string          `json:"scope,omitzero"`
	SweepNanos int64           `json:"sweepNanos"` // that the last sweep took
	Closer     int             `json:"closer"`     // subjects that are looked at closer
	Subjects   []SubjectStatus `json:"subjects"`
}

// SubjectStatus is one container, or unit, as it is now.
type SubjectStatus struct {
	Namespace   string   `json:"namespace,omitzero"`
	Pod         string   `json:"pod,omitzero"`
	Container   string   `json:"container,omitzero"`
	ContainerID string   `json:"containerID,omitzero"`
	Unit        string   `json:"unit,omitzero"`
	Cgroup      string   `json:"cgroup"`
	Command     []string `json:"command,omitempty"`
	PID         int32    `json:"pid,omitzero"` // main process
	Processes   int      `json:"processes"`
	Threads     int64    `json:"threads"`
	RSSBytes    int64    `json:"rssBytes"` // of all processes; what they share counts more than once
	Open        int64    `json:"open"`     // descriptors of the process that is nearest to its limit
	SoftLimit   int64    `json:"softLimit"`
	WorstPID    int32    `json:"worstPID,omitzero"` // that process
	OpenInAll   int64    `json:"openInAll"`         // descriptors of all processes
	Seconds     float64  `json:"seconds,omitzero"`  // until a limit is reached; 0: nothing grows
	Limit       string   `json:"limit,omitzero"`    // which
	Warned      bool     `json:"warned,omitzero"`
	Step        int      `json:"step"` // of the ladder
	Why         string   `json:"why,omitzero"`
}

// Title is how a subject is called in one column.
func (s *SubjectStatus) Title() string {
	switch {
	case s.Pod != "":
		return s.Namespace + "/" + s.Pod + "/" + s.Container
	case s.Container != "":
		return s.Container
	case s.Unit != "":
		return filepath.Base(s.Unit)
	case len(s.Command) > 0:
		return filepath.Base(s.Command[0]) + " (" + s.ContainerID[:min(12, len(s.ContainerID))] + ")"
	}
	return s.ContainerID[:min(12, len(s.ContainerID))]
}

// statusSocket is where an agent answers, in the directory of its state.
const statusSocket = "agent.sock"

// openStatus answers who asks for the status.
func (n *node) openStatus(ctx context.Context, beside *sync.WaitGroup) error {
	name, done, err := shortPath(n.cfg.State, statusSocket)
	if err != nil {
		return fmt.Errorf("answer in %s: %w", n.cfg.State, reason(err))
	}
	defer done()
	os.Remove(name) // the state is ours alone, so that it is a dead agent's
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return fmt.Errorf("answer in %s: %w", n.cfg.State, reason(err))
	}
	l.SetUnlinkOnClose(false) // by that name it would be another's by then
	if err := os.Chmod(filepath.Join(n.cfg.State, statusSocket), 0o600); err != nil {
		l.Close()
		return fmt.Errorf("answer in %s: %w", n.cfg.State, reason(err))
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	beside.Go(func() {
		defer stop()
		room := make(chan struct{}, 8)
		for {
			c, err := l.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil:
				time.Sleep(100 * time.Millisecond) // no descriptors
				continue
			}
			select {
			case room <- struct{}{}:
				go func() {
					defer func() { c.Close(); <-room }()
					n.answer(c)
				}()
			default:
				c.Close()
			}
		}
	})
	return nil
}

// shortPath is a name for a socket that is not too long, whatever the directory is.
func shortPath(dir, name string) (path string, done func(), err error) {
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), name), func() { f.Close() }, nil
}

func (n *node) answer(c net.Conn) {
	c.SetDeadline(time.Now().Add(5 * time.Second)) //nolint:errcheck // then it waits
	var st *NodeStatus
	if !n.ask(func() { st = n.status() }) {
		return
	}
	w := bufio.NewWriter(c)
	if json.MarshalWrite(w, st) == nil {
		w.Flush() //nolint:errcheck // who asked has gone
	}
}

// first orders what is before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// status is what runs now: what is warned of first, then what is nearest to its limit of descriptors.
func (n *node) status() *NodeStatus {
	st := &NodeStatus{
		At: time.Now().UTC(), Started: n.started.UTC(), Version: descryVersion(), Node: n.called(), Scope: n.cfg.Scope,
		SweepNanos: int64(n.figures.swept), Subjects: []SubjectStatus{},
	}
	for _, s := range n.subjects {
		if s.exit != nil || s.sandbox || len(s.procs) == 0 {
			continue
		}
		st.Subjects = append(st.Subjects, s.status())
		if s.closer() {
			st.Closer++
		}
	}
	slices.SortFunc(st.Subjects, func(a, b SubjectStatus) int {
		return cmp.Or(first(a.Warned, b.Warned), -cmp.Compare(a.Open*max(b.SoftLimit, 1), b.Open*max(a.SoftLimit, 1)), strings.Compare(a.Title(), b.Title()), strings.Compare(a.Cgroup, b.Cgroup))
	})
	return st
}

func (s *subject) status() SubjectStatus {
	out := SubjectStatus{
		Namespace: s.info.Namespace, Pod: s.info.Pod, Container: s.info.Container, ContainerID: s.ref.ID, Cgroup: s.cgroup,
		Command: s.command, PID: s.main, Processes: len(s.procs),
	}
	if s.ref.ID == "" {
		out.Unit = s.cgroup
	}
	if s.closer() {
		out.Step, out.Why = 1, s.looks[len(s.looks)-1].why
	}
	for pid, m := range s.procs {
		p := &m.last
		out.Threads += p.Threads
		out.RSSBytes += p.RSSBytes
		out.OpenInAll += p.Open
		if out.SoftLimit == 0 || p.SoftLimit > 0 && p.Open*out.SoftLimit > out.Open*p.SoftLimit {
			out.Open, out.SoftLimit, out.WorstPID = p.Open, p.SoftLimit, pid
		}
		if h, ok := m.look.headroom(); ok {
			out.exhausts(&h)
		}
		out.warnedOf(m.warned)
	}
	if h, ok := s.outlook.headroom(); ok {
		out.exhausts(&h)
	}
	out.warnedOf(s.warned)
	return out
}

// warnedOf takes the warnings that hold; where there is no forecast they say what of.
func (s *SubjectStatus) warnedOf(warned map[string]string) {
	for limit := range warned {
		s.Warned = true
		if s.Seconds == 0 && (s.Limit == "" || limit < s.Limit) {
			s.Limit = limit
		}
	}
}

// exhausts takes a forecast, where it comes first.
func (s *SubjectStatus) exhausts(h *evidence.Headroom) {
	if h.Seconds > 0 && (s.Seconds == 0 || h.Seconds < s.Seconds) {
		s.Seconds, s.Limit = h.Seconds, h.Limit
	}
}

// ErrNoAgent is what AskNode's error wraps where no agent runs with that state.
var ErrNoAgent = errors.New("no agent answers")

// AskNode asks the agent whose state is in dir what runs now.
func AskNode(dir string) (*NodeStatus, error) {
	name, done, err := shortPath(dir, statusSocket)
	if err != nil {
		return nil, fmt.Errorf("%w in %s: %w", ErrNoAgent, dir, reason(err))
	}
	defer done()
	c, err := net.DialTimeout("unix", name, 2*time.Second)
	if err != nil {
		return nil, fmt.Errorf("%w in %s: %w", ErrNoAgent, dir, reason(err))
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second)) //nolint:errcheck // then it waits
	b, err := io.ReadAll(io.LimitReader(c, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("ask the agent in %s: %w", dir, reason(err))
	}
	st := new(NodeStatus)
	if err := json.Unmarshal(b, st); err != nil {
		return nil, fmt.Errorf("ask the agent in %s: its answer is not whole: %w", dir, err)
	}
	return st, nil
}
