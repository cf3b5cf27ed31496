//go:build linux

package probe

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// Way says how system calls are watched.
type Way int

// The ways.
const (
	Auto      Way = iota // functions where programs can be attached to them, else SysExit
	SysExit              // one program at the exit of all system calls
	Functions            // programs on the kernel's functions; no system call tracepoint is on
)

// String is the way's name.
func (w Way) String() string {
	return [...]string{"auto", "sys_exit", "functions"}[w]
}

// Config says what to watch with.
type Config struct {
	SelfPID int      // descry itself, never watched; 0: this process
	Way     Way      // how system calls are watched; tests force one
	Without []string // features to treat as missing, for tests of degradation: "btf", "tp_btf", "iter", "fexit", the name of a probe
	Node    *Node    // watch all containers of the machine; nil: one tree, see Set.Track
}

// Set is all probes of one watcher. Its methods may be called from several goroutines.
type Set struct {
	env    *env
	self   int
	probes []*Probe   // those of All that it is to have
	mu     sync.Mutex // guards status and links while what may come later is loaded
	status []Status
	links  []link.Link
	later  chan struct{} // closed when all is loaded
	iters  map[string]*link.Iter
	byType [eventTypes]*Event
	owner  [eventTypes]string // name of the probe that an event type belongs to
	missed map[string]func() int64
	leafed map[string]*Made // by name of the probe: those that need the subject's cgroup

	reader *ringbuf.Reader
	read   [eventTypes]atomic.Int64 // observations made of events, by type
	wall   atomic.Int64             // Unix time less boot time, nanoseconds
	comms  map[[16]byte]string

	lookedAt time.Time // when decodeAddress last read /proc
	files    fileView
	filesAt  time.Time // when decodeFile last looked at files

	tcp    tcpSeen
	flush  flusher
	parts  pending
	sweep  sweeper
	names  dnsNames
	book   socketBook // guarded by sweep.mu
	drops  drops
	ledger ledgerBuffer
	look   looking
	gap    gap
	counters
	handle func(*evidence.Observation) // while Run runs
	closed atomic.Bool
	done   chan struct{} // closed when Run has returned
	once   sync.Once
	runs   atomic.Bool
}

// Open loads and attaches all probes that this kernel and this process's rights allow. What cannot
// be had is left out with a reason, see Status. The error wraps ErrNotSupported and means that
// there is nothing at all: no BTF, no rights, or a kernel without BPF.
func Open(cfg Config) (_ *Set, err error) {
	s := &Set{
		env: &env{
			cache: btf.NewCache(), without: cfg.Without, node: nodeOf(cfg.Node),
			maps: map[string]*ebpf.Map{}, objs: map[*object]func() (*ebpf.CollectionSpec, error){},
		},
		self: cfg.SelfPID, iters: map[string]*link.Iter{}, missed: map[string]func() int64{}, leafed: map[string]*Made{}, comms: map[[16]byte]string{},
		done: make(chan struct{}), later: make(chan struct{}),
	}
	s.counters.init()
	if s.self == 0 {
		s.self = os.Getpid()
	}
	defer func() {
		if err != nil {
			close(s.later)
			s.Close()
		}
	}()
	for _, p := range All {
		if (!p.Node || cfg.Node != nil) && (p != syscallProbe || cfg.Node == nil) {
			s.probes = append(s.probes, p)
		}
	}
	if err := s.prepare(cfg); err != nil {
		return nil, err
	}
	s.attachAll(cfg.Way)
	if s.env.node != nil {
		s.attachUnified()
		s.expectCalls()
		if err := s.takeOver(); err != nil {
			return nil, err
		}
	}
	if len(s.links) == 0 {
		reasons := make([]error, 0, len(s.status))
		for i := range s.status {
			reasons = append(reasons, fmt.Errorf("%s: %s", s.status[i].Name, s.status[i].Missing))
		}
		return nil, &NotSupportedError{Feature: "watching the kernel", Err: errors.Join(reasons...)}
	}
	events := s.env.maps["events"]
	debug.FreeOSMemory() // the ring's pages come on top of what loading needed
	if s.reader, err = ringbuf.NewReader(events); err != nil {
		return nil, fmt.Errorf("read the ring of events: %w", err)
	}
	go s.loadLater()
	return s, nil
}

// prepare checks what all probes need.
func (s *Set) prepare(cfg Config) (err error) {
	e := s.env
	if err := allowed(); err != nil {
		return err
	}
	if err := e.lacks("btf"); err != nil {
		return btfMissing(err)
	}
	if err := e.lacks("ringbuf"); err != nil {
		return err
	}
	e.readAhead(s.probes)
	if _, err := e.cache.Kernel(); err != nil {
		return btfMissing(err)
	}
	if e.cpus, err = ebpf.PossibleCPU(); err != nil {
		e.cpus = runtime.NumCPU()
	}
	if e.level, err = e.findLevel(); err != nil {
		return &NotSupportedError{Feature: "watching from inside a pid namespace", Err: err}
	}
	if e.node != nil {
		if err := e.node.find(); err != nil {
			return err
		}
		if dir := e.node.Pins; dir != "" {
			for _, p := range s.probes {
				for i := range p.Ways {
					if o := p.Ways[i].Object; !slices.Contains(e.objects, o) {
						e.objects = append(e.objects, o)
					}
				}
			}
			if e.node.pins, err = openPins(dir, buildOf(), e.settingsOf()); err != nil {
				return err
			}
			e.node.pins.goOn(e.maps)
		}
	}
	return s.setWall()
}

func btfMissing(err error) error {
	return &NotSupportedError{
		Feature: "watching the kernel", Since: "5.17",
		Err: fmt.Errorf("it needs the kernel's type information, /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF): %w", err),
	}
}

// setWall measures the distance of the two clocks; the wall clock may be set at any time.
func (s *Set) setWall() error {
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return fmt.Errorf("read the boot clock: %w", err)
	}
	s.wall.Store(time.Now().UnixNano() - boot.Nano())
	return nil
}

// attachAll attaches each probe in the first way that can be had.
func (s *Set) attachAll(way Way) {
	// Which way can be had is found out while what is the same in both is loaded.
	progs := programs{}
	var g errgroup.Group
	g.Go(func() error {
		s.loadAll(progs, func(m *Made) bool { return m.Way == Auto && !m.Later })
		return nil
	})
	chosen := way
	if way == Auto {
		chosen = Functions
		if s.env.trampolines() != nil {
			chosen = SysExit
		}
	}
	_ = g.Wait()
	s.env.way = chosen
	s.loadAll(progs, func(m *Made) bool { return m.Way == chosen })
	if way == Auto && chosen == Functions && s.functionsFailed(progs) {
		progs.close()
		progs = programs{}
		s.env.way = SysExit
		clear(s.env.objs) // their constants may depend on the way
		s.loadAll(progs, func(m *Made) bool { return !m.Later && (m.Way == Auto || m.Way == SysExit) })
	}
	for _, p := range s.probes {
		if p.later() {
			for i := range p.Ways {
				_, _ = s.env.open(p.Ways[i].Object) // its maps are there from now on; an error comes again
			}
			s.status = append(s.status, Status{Name: p.Name, Cost: p.Cost})
			continue
		}
		s.status = append(s.status, s.attachProbe(p, progs))
	}
	progs.close()
}

// later says that a probe is loaded while the subject starts.
func (p *Probe) later() bool {
	return !slices.ContainsFunc(p.Ways, func(m Made) bool { return !m.Later })
}

// loadLater loads what only asks, and lets go of what loading needed.
func (s *Set) loadLater() {
	progs := programs{}
	s.loadAll(progs, func(m *Made) bool { return m.Later })
	s.mu.Lock()
	for i, p := range s.probes {
		if p.later() {
			s.status[i] = s.attachProbe(p, progs)
		}
	}
	if s.env.node != nil {
		s.loadLook()
	}
	s.mu.Unlock()
	progs.close()
	s.env.release()
	close(s.later)
	debug.FreeOSMemory() // loading needs much, and what follows little
}

// programs are loaded ones by object and name, or why they could not be.
type programs map[*object]map[string]*program

type program struct {
	*ebpf.Program
	group    *group // of Made.Load, in place of Program
	err      error
	attached bool
}

// group is what Made.Load has loaded.
type group struct {
	attach func() ([]link.Link, error)
	close  func()
	by     string       // instead of Made.By, if not empty
	missed func() int64 // what it could not look at; may be nil
	names  []string     // of the programs whose links attach gives, where they can be pinned
}

// names of the programs that are loaded for m.
func (m *Made) names() []string {
	if m.Load != nil {
		return []string{m.By}
	}
	return m.Programs
}

func (ps programs) close() {
	for _, m := range ps {
		for _, p := range m {
			if p.group != nil {
				p.group.close()
			}
			if p.Program != nil {
				p.Close()
			}
		}
	}
}

// loadAll loads every program that some probe may use of those that are wanted, as many at a time
// as there are processors.
func (s *Set) loadAll(progs programs, wanted func(*Made) bool) {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range slices.Backward(s.probes) { // the last ones take longest
		for i := range p.Ways {
			m := &p.Ways[i]
			if !wanted(m) || s.lacks(p, m) != nil {
				continue
			}
			if progs[m.Object] == nil {
				progs[m.Object] = map[string]*program{}
			}
			for _, name := range m.names() {
				if progs[m.Object][name] != nil {
					continue
				}
				out := new(program)
				progs[m.Object][name] = out
				if s.env.node.attached(name) != nil {
					continue
				}
				g.Go(func() error {
					if m.Load != nil {
						out.group, out.err = m.Load(s.env)
						return nil
					}
					out.Program, out.err = s.env.load(m.Object, name)
					return nil
				})
			}
		}
	}
	_ = g.Wait()
}

// unusable says why a probe is not even tried to be made in that way.
func (s *Set) unusable(p *Probe, m *Made) error {
	if m.Way != Auto && m.Way != s.env.way {
		return fmt.Errorf("%s is not the way in use", m.Way)
	}
	return s.lacks(p, m)
}

// lacks says which feature that a probe needs, made in that way, is switched off.
func (s *Set) lacks(p *Probe, m *Made) error {
	if p == dnsProbe && s.env.node != nil && s.env.node.NoDNS {
		return &NotSupportedError{Feature: "looking at packets for names", Err: errors.New("forbidden by the configuration")}
	}
	for _, f := range append([]string{p.Name}, m.Needs...) {
		if err := s.env.lacks(f); err != nil {
			return err
		}
	}
	return nil
}

// functionsFailed says that some probe could not be made of functions though the kernel allows it:
// then all use the other way, so that nothing is counted twice.
func (s *Set) functionsFailed(progs programs) bool {
	for _, p := range s.probes {
		for i := range p.Ways {
			if p.Ways[i].Way != Functions {
				continue
			}
			for _, name := range p.Ways[i].names() {
				if q := progs[p.Ways[i].Object][name]; q != nil && q.err != nil {
					return true
				}
			}
		}
	}
	return false
}

func (s *Set) attachProbe(p *Probe, progs programs) Status {
	st := Status{Name: p.Name, Cost: p.Cost}
	for i := range p.Ways {
		m := &p.Ways[i]
		err := s.unusable(p, m)
		if err == nil {
			err = s.attachWay(m, progs[m.Object])
		}
		if err == nil {
			st.By, st.Since, st.Missing = m.By, m.Since, ""
			if m.Leaf {
				s.leafed[p.Name] = m
			}
			if q := progs[m.Object][m.By]; q != nil && q.group != nil {
				if q.group.by != "" {
					st.By = q.group.by
				}
				s.missed[p.Name] = q.group.missed
			}
			for j := range p.Events {
				s.byType[p.Events[j].Type] = &p.Events[j]
				s.owner[p.Events[j].Type] = p.Name
			}
			return st
		}
		if st.Missing == "" || m.Way == s.env.way {
			st.Missing, st.Since = err.Error(), m.Since
		}
	}
	return st
}

func (s *Set) attachWay(m *Made, progs map[string]*program) error {
	for _, name := range m.names() {
		if err := progs[name].err; err != nil {
			return err
		}
	}
	for _, name := range m.names() {
		p := progs[name]
		if p.attached {
			continue
		}
		if l := s.env.node.attached(name); l != nil {
			p.attached = true
			s.links = append(s.links, l)
			continue
		}
		if p.group != nil {
			links, err := p.group.attach()
			s.links = append(s.links, links...)
			for i, l := range links {
				if i < len(p.group.names) {
					s.env.node.keep(p.group.names[i], l)
				}
			}
			p.attached = err == nil
			if err != nil {
				return err
			}
			continue
		}
		l, err := s.env.attach(m.Object, name, p.Program)
		if err != nil {
			return fmt.Errorf("attach %s: %w", name, err)
		}
		p.attached = true
		s.links = append(s.links, l)
		if it, ok := l.(*link.Iter); ok {
			s.iters[name] = it
		} else {
			s.env.node.keep(name, l)
		}
	}
	return nil
}

// release lets go of what only loading needed: the kernel's types are tens of megabytes.
func (e *env) release() {
	e.cache = nil
	e.objs, e.read = nil, nil
}

// Close detaches everything. Run returns.
func (s *Set) Close() error {
	var errs []error
	s.once.Do(func() {
		s.closed.Store(true)
		<-s.later
		if s.reader != nil {
			errs = append(errs, s.reader.Close())
		}
		if s.runs.Load() {
			<-s.done
		}
		for _, l := range append(s.links, s.look.links...) {
			errs = append(errs, l.Close())
		}
		if s.look.group != nil {
			s.look.group.close()
		}
		s.env.dns.Close()
		for _, m := range s.env.maps {
			errs = append(errs, m.Close())
		}
		if s.env.node != nil {
			s.env.node.pins.close()
		}
	})
	return errors.Join(errs...)
}

// Track makes pid, as descry sees it, the main process of the subject. Its children, and theirs,
// belong to the tree from their fork on.
func (s *Set) Track(pid int) error {
	if pid == s.self {
		return fmt.Errorf("watch process %d: that is descry itself", pid)
	}
	tgid, err := s.global(pid)
	if err != nil {
		return fmt.Errorf("watch process %d: %w", pid, err)
	}
	p := proc{PID: uint32(pid), Root: uint32(pid)}
	if err := s.env.maps["tree"].Put(tgid, &p); err != nil {
		return fmt.Errorf("watch process %d: %w", pid, err)
	}
	return nil
}
