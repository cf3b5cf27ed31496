package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/descry-dev/descry/internal/casebook"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/ladder"
	"github.com/descry-dev/descry/internal/metrics"
	"github.com/descry-dev/descry/internal/probe"
)

// NodeConfig is what `descry agent` was asked to do.
type NodeConfig struct {
	Standalone      bool          // watch units and other cgroups, not containers alone
	Scope           string        // path of a cgroup, as /proc/PID/cgroup has it: only what is below is watched; "": all
	RuntimeEndpoint string        // socket of the container runtime; "": the usual places
	Node            string        // the machine's name in cases; "": its host name
	HostRoot        string        // where the node's files are seen from here; "": /
	State           string        // directory of what must outlive the agent
	Cases           string        // directory of the casebook
	Metrics         string        // address to serve metrics at; "": none
	NoSyscalls      bool          // never look at system calls
	NoDNS           bool          // never look at packets for the names that are asked for
	Closer          int           // subjects whose system calls are looked at, at once; 0: 8
	Pins            string        // directory in a bpffs that probes outlive the agent in; "": they end with it
	Sweep           time.Duration // from one sweep to the next
	Cores           string        // what is kept of cores: "none", "stacks", "full"; "": they are not received
	CoreDir         string        // where they are kept
	Log             *slog.Logger
}

// Sizes of the agent's own.
const (
	nodeRing    = 4 << 20 // bytes of the ring of events, which is mapped twice
	nodeGC      = 50      // per cent, as GOGC: little is allocated. A limit in bytes would have it run all the time where much is watched
	nodeQueue   = 8192    // messages to the goroutine that owns all subjects
	nodeJudges  = 2       // cases that are judged at once
	nodeWaiting = 1024    // deaths that wait to be judged
	endTime     = 800 * time.Millisecond
)

// node is the agent of one machine. The goroutine in own owns everything that is not said to be another's;
// others send it messages.
type node struct {
	cfg   NodeConfig
	log   *slog.Logger
	set   *probe.Set
	book  *casebook.Book
	names registry         // nil: none
	tell  *metrics.Metrics // nil: none
	state *state
	logs  *logs
	cores *nodeCores // nil: none are received

	looking atomic.Bool // files of a death are being looked at
	loops   loops       // of the judges, too

	failing seldom       // likewise
	unkept  atomic.Int64 // cases that could not be kept
	inBook  atomic.Int64 // cases
	dropped atomic.Int64 // cases that made room

	in   chan message
	done chan struct{} // closed when nobody reads in any more
	jobs chan *job
	work sync.WaitGroup

	started     time.Time
	subjects    map[uint32]*subject
	places      map[string]*subject // by container id or cgroup: the newest life
	pids        map[int32]*subject
	last        uint32 // number that was given last
	steps       *ladder.Ladder
	lookFailed  string
	awaited     map[*subject]time.Time // ended on purpose, until it is known whether they were started again
	podGone     map[string]bool        // pods whose sandbox has ended
	aliases     map[string]string      // workloads by command
	dying       map[dying]bool         // that died lately
	around      surroundings
	pinned      *os.File // nil: nothing outlives the agent
	pinnedLines int
	mappingsMax int64  // vm.max_map_count, 0: not read yet
	hostNet     uint64 // inode of the machine's network namespace
	pending     int    // deaths on their way to the judges
	stopping    bool
	figures     figures
	batch       []*evidence.Observation // of one sweep
}

// message is an observation, or something that the owner is to do.
type message struct {
	o  *evidence.Observation
	do func()
}

// RunNode watches all containers of the machine until ctx ends, and keeps a case of each that dies. The
// error says why it could not begin, or go on.
func RunNode(ctx context.Context, cfg NodeConfig) (err error) {
	n := &node{
		cfg: cfg, log: cfg.Log, in: make(chan message, nodeQueue), done: make(chan struct{}), jobs: make(chan *job, nodeWaiting),
		started: time.Now(), subjects: map[uint32]*subject{}, places: map[string]*subject{}, pids: map[int32]*subject{},
		steps: ladder.New(ladder.Config{Most: cfg.Closer}), awaited: map[*subject]time.Time{}, podGone: map[string]bool{}, dying: map[dying]bool{},
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(nodeGC)
	}
	var before []record
	if n.state, before, err = openState(cfg.State); err != nil {
		return err
	}
	defer n.state.close()
	for _, r := range before {
		if r.Case != "" && r.Workload != "" {
			n.loops.remember(r.Workload, r.Kind, r.Case, r.Cause, r.At)
		}
	}
	n.book = casebook.New(cfg.Cases, casebook.Bounds{})
	if n.set, err = probe.Open(probe.Config{Node: &probe.Node{
		Scope: cfg.Scope, Standalone: cfg.Standalone, Pins: cfg.Pins, NoCalls: cfg.NoSyscalls, NoDNS: cfg.NoDNS, Ring: nodeRing,
	}}); err != nil {
		return fmt.Errorf("watch this node: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var beside sync.WaitGroup // what ends with ctx
	defer beside.Wait()
	defer stop()
	if err := n.openNames(ctx, &beside); err != nil {
		return errors.Join(err, n.set.Close())
	}
	if err := n.openMetrics(ctx, &beside); err != nil {
		return errors.Join(err, n.set.Close())
	}
	if err := n.openStatus(ctx, &beside); err != nil {
		return errors.Join(err, n.set.Close())
	}
	if err := n.openPins(); err != nil {
		return errors.Join(err, n.set.Close())
	}
	endOutput, err := n.openOutput()
	if err != nil {
		return errors.Join(err, n.set.Close())
	}
	n.say()
	for range nodeJudges {
		n.work.Go(n.judge)
	}
	beside.Go(func() { n.fill(ctx) })
	reading := make(chan error, 1)
	go func() { reading <- n.set.Run(func(o *evidence.Observation) { n.post(message{o: o}) }) }()
	beside.Go(func() {
		err := n.set.Adopt()
		n.post(message{do: func() { n.adopted(err) }})
	})
	err = n.own(ctx, reading)
	close(n.done)
	close(n.jobs)
	n.work.Wait()
	endOutput()
	n.writeMore()
	n.state.touch()
	return errors.Join(err, n.set.Close())
}

// post sends the owner a message. Nobody waits for an owner that is gone.
func (n *node) post(m message) {
	select {
	case n.in <- m:
	case <-n.done:
	}
}

// ask has the owner do something and waits for it; false: the owner is gone.
func (n *node) ask(do func()) bool {
	did := make(chan struct{})
	n.post(message{do: func() { do(); close(did) }})
	select {
	case <-did:
		return true
	case <-n.done:
		return false
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
	args := []any{"version", descryVersion(), "scope", scope, "cases", n.cfg.Cases, "state", n.cfg.State}
	for _, st := range n.set.Status() {
		if st.Missing != "" {
			args = append(args, "missing "+st.Name, st.Missing)
		} else if st.Name == callSource {
			args = append(args, "system calls", st.By)
		}
	}
	n.log.Info("watching", args...)
}

// callSource is the probe of step 1.
const callSource = "probe/syscall"

// own is the owner's loop. It ends when ctx has ended and all deaths that were seen are on their way to the judges.
func (n *node) own(ctx context.Context, reading <-chan error) error {
	sweep := time.NewTicker(max(n.cfg.Sweep, 100*time.Millisecond))
	defer sweep.Stop()
	ended, late := ctx.Done(), (<-chan time.Time)(nil)
	var changed <-chan struct{}
	if n.names != nil {
		changed = n.names.Changed()
	}
	for {
		select {
		case <-ended:
			ended = nil
			n.stopping = true
			late = time.After(endTime)
			for _, s := range n.subjects {
				if s.unnamed != nil { // its death waits for what a runtime tells
					s.unnamed()
				}
			}
		case <-late:
			n.log.Warn("ends with deaths that are not judged", "deaths", n.pending)
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
		case <-changed:
			n.named()
		case <-sweep.C:
			n.sweep()
		}
		if n.stopping && n.pending == 0 {
			return nil
		}
	}
}

// observe takes one observation of any source.
func (n *node) observe(o *evidence.Observation) {
	if d, ok := o.Detail.(*evidence.Container); ok {
		n.contained(o, d)
		return
	}
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
		n.signalled(s, o, d)
	case *evidence.OOM:
		if s.oom == nil {
			s.oom = map[int32]bool{}
		}
		if len(s.oom) < maxMembers {
			s.oom[o.PID] = true
		}
	}
	if d, ok := o.Detail.(*evidence.Written); ok && n.logs.written(s.id, o, d) {
		return
	}
	s.rec.Record(o)
	n.sign(s, o)
	switch d := o.Detail.(type) {
	case *evidence.Stdio:
		n.logs.changed(s.id, o, d)
	case *evidence.Fork:
		n.forked(s, d.Child)
	case *evidence.Exec:
		n.executed(s, o, d)
	case *evidence.Exit:
		n.exited(s, o, d)
	}
}

// signalled notes who sends a signal, and whether it asks the subject to end.
func (n *node) signalled(s *subject, o *evidence.Observation, d *evidence.SignalSent) {
	if d.Sender > 0 && !d.SenderInTree {
		if ref, ok := containerOf(d.Sender); ok && ref.ID != s.ref.ID {
			d.SenderContainer = ref.ID
		}
	}
	if (o.PID == s.main || s.main == 0) && s.askedAt == 0 && byRuntime(d) && !d.Ignored && d.Signal != 28 /* SIGWINCH, of a terminal */ {
		s.askedAt = o.BootNanos
		n.keepPinned(s, false)
	}
}

// adopted goes on when the containers that ran before were taken up.
func (n *node) adopted(err error) {
	if err != nil {
		n.log.Error("containers that ran before are not watched", "error", err)
	}
	n.after(fillAfter, n.unpinned)
}

// sweep looks at all processes once.
func (n *node) sweep() {
	from := time.Now()
	// What is swept is looked at afterwards: that may ask the probes for more.
	n.batch = n.batch[:0]
	err := n.set.Sweep(func(o *evidence.Observation) { n.batch = append(n.batch, o) })
	for _, o := range n.batch {
		if s := n.subjectOf(o); s != nil {
			n.swept(s, o, o.Detail.(*evidence.Process))
		}
	}
	for _, s := range n.subjects {
		if s.main == 0 && s.exit == nil && s.found != "" {
			n.findMain(s)
		}
	}
	clear(n.batch)
	n.batch = n.batch[:0]
	if err == nil {
		err = n.set.Counts(func(o *evidence.Observation) { n.batch = append(n.batch, o) })
		for _, o := range n.batch {
			n.observe(o)
		}
	}
	if err != nil && n.figures.sweepError != err.Error() {
		n.figures.sweepError = err.Error()
		n.log.Warn("the sweep failed", "error", err)
	}
	n.lookAround()
	n.step(n.steps.Tick(bootNanos()))
	n.awaitedTooLong(from)
	if from.Sub(n.figures.touched) >= aliveEvery {
		n.figures.touched = from
		n.state.touch()
	}
	if from.Sub(n.figures.counted) >= loopToldMin {
		n.figures.counted = from
		go n.writeMore()
	}
	n.failing.tell(n.log)
	n.boundRecordings()
	n.measure(time.Since(from))
}

// writeMore adds to cases how many deaths like theirs came after.
func (n *node) writeMore() {
	for id, more := range n.loops.take() {
		c, err := n.book.Get(id)
		if err == nil {
			if c.More == nil {
				c.More = new(evidence.More)
			}
			c.More.Count += more.Count
			c.More.LastAt = more.LastAt
			_, err = n.book.Put(c)
		}
		if err != nil {
			n.failing.say(n.log, "deaths are not counted on the case that they are like", "case", id, "deaths", more.Count, "error", err)
		}
	}
}
