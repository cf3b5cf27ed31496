package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/descry-dev/descry/internal/casebook"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/probe"
)

// NodeConfig is what `descry agent` was asked to do.
type NodeConfig struct {
	Standalone      bool          // watch units and other cgroups, not containers alone
	Scope           string        // path of a cgroup, as /proc/PID/cgroup has it: only what is below is watched; "": all
	RuntimeEndpoint string        // socket of the container runtime; "": the usual places
	HostRoot        string        // where the node's files are seen from here; "": /
	State           string        // directory of what must outlive the agent
	Cases           string        // directory of the casebook
	Metrics         string        // address to serve metrics at; "": none
	NoSyscalls      bool          // never look at system calls
	Pins            string        // directory in a bpffs that probes outlive the agent in; "": they end with it
	Sweep           time.Duration // from one sweep to the next
	Cores           string        // what is kept of cores: "none", "stacks", "full"; "": they are not received
	CoreDir         string        // where they are kept
	Log             *slog.Logger
}

// Sizes of the agent's own.
const (
	nodeMemory  = 56 << 20 // bytes of the Go heap and its kind, beyond which memory is given back sooner
	nodeQueue   = 4096     // messages to the goroutine that owns all subjects
	nodeJudges  = 2        // cases that are judged at once
	nodeWaiting = 256      // deaths that wait to be judged
)

// node is the agent of one machine. The goroutine in Run owns everything that is not said to be another's;
// others send it messages.
type node struct {
	cfg  NodeConfig
	log  *slog.Logger
	set  *probe.Set // nil: no probes, for the reason in blind
	book *casebook.Book

	in   chan message
	done chan struct{} // closed when nobody reads in any more
	jobs chan *job
	work sync.WaitGroup

	started  time.Time
	subjects map[uint32]*subject
	places   map[string]*subject // by container id or cgroup
	pids     map[int32]*subject
	last     uint32 // number that was given last
	finder   finder
}

// message is an observation, or something that the owner is to do.
type message struct {
	o  *evidence.Observation
	do func()
}

// RunNode watches all containers of the machine until ctx ends, and keeps a case of each that dies. The
// error says why it could not begin.
func RunNode(ctx context.Context, cfg NodeConfig) error {
	n := &node{
		cfg: cfg, log: cfg.Log, in: make(chan message, nodeQueue), done: make(chan struct{}), jobs: make(chan *job, nodeWaiting),
		started: time.Now(), subjects: map[uint32]*subject{}, places: map[string]*subject{}, pids: map[int32]*subject{},
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(nodeMemory)
	}
	if err := os.MkdirAll(cfg.State, 0o700); err != nil {
		return fmt.Errorf("keep the agent's state in %s: %w", cfg.State, reason(err))
	}
	n.book = casebook.New(cfg.Cases, casebook.Bounds{})
	set, err := probe.Open(probe.Config{})
	if err != nil {
		return fmt.Errorf("watch this node: %w", err)
	}
	n.set = set
	n.say()
	for range nodeJudges {
		n.work.Go(n.judge)
	}
	reading := make(chan error, 1)
	go func() { reading <- set.Run(func(o *evidence.Observation) { n.post(message{o: o}) }) }()
	err = n.own(ctx, reading)
	close(n.done)
	close(n.jobs)
	n.work.Wait()
	return errors.Join(err, set.Close())
}

// post sends the owner a message. Nobody waits for an owner that is gone.
func (n *node) post(m message) {
	select {
	case n.in <- m:
	case <-n.done:
	}
}

// after has the owner do something later.
func (n *node) after(d time.Duration, do func()) {
	time.AfterFunc(d, func() { n.post(message{do: do}) })
}

// say tells what is watched, and what is missing.
func (n *node) say() {
	scope := n.cfg.Scope
	if scope == "" {
		scope = "/"
	}
	var missing []string
	for _, st := range n.set.Status() {
		if st.Missing != "" {
			missing = append(missing, st.Name)
		}
	}
	args := []any{"version", descryVersion(), "scope", scope, "cases", n.cfg.Cases, "state", n.cfg.State}
	if len(missing) > 0 {
		args = append(args, "missing", missing)
	}
	n.log.Info("watching", args...)
}

// own is the owner's loop.
func (n *node) own(ctx context.Context, reading <-chan error) error {
	every := n.cfg.Sweep
	if every <= 0 {
		every = time.Second
	}
	sweep := time.NewTicker(every)
	defer sweep.Stop()
	find := time.NewTicker(findEvery)
	defer find.Stop()
	n.find(true)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-reading:
			if err == nil {
				err = errors.New("the ring of events was closed")
			}
			return fmt.Errorf("watch this node: %w", err)
		case m := <-n.in:
			if m.do != nil {
				m.do()
			} else {
				n.observe(m.o)
			}
		case <-find.C:
			n.find(false)
		case <-sweep.C:
			n.sweep()
		}
	}
}

// observe takes one observation of any source.
func (n *node) observe(o *evidence.Observation) {
	s := n.subjectOf(o)
	if s == nil {
		return
	}
	if x := contextOf(o.Detail); x != nil {
		s.maps.hold(o.PID, x)
	}
	switch d := o.Detail.(type) {
	case *evidence.FDRefused:
		if d.Errno == evidence.EMFILE && s.refused.first(o.PID) {
			d.FDs, _ = n.set.Table(int(o.PID))
		}
	case *evidence.SignalSent:
		if d.Sender > 0 && !d.SenderInTree {
			if ref, ok := containerOf(d.Sender); ok && ref.ID != s.ref.ID {
				d.SenderContainer = ref.ID
			}
		}
	}
	s.rec.Record(o)
	switch d := o.Detail.(type) {
	case *evidence.Fork:
		n.forked(s, o.PID, d.Child)
	case *evidence.Exec:
		n.executed(s, o, d)
	case *evidence.Exit:
		n.exited(s, o, d)
	}
}

// sweep looks at all processes once.
func (n *node) sweep() {
	err := n.set.Sweep(func(o *evidence.Observation) {
		if s := n.subjectOf(o); s != nil {
			n.swept(s, o, o.Detail.(*evidence.Process))
		}
	})
	if err == nil {
		err = n.set.Counts(n.observe)
	}
	if err != nil {
		n.log.Warn("the sweep failed", "error", err)
	}
}
