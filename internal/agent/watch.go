package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/container"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/output"
	"github.com/descry-dev/descry/internal/probe"
	"github.com/descry-dev/descry/internal/recorder"
	"github.com/descry-dev/descry/internal/report"
	"github.com/descry-dev/descry/internal/run"
	"github.com/descry-dev/descry/internal/sample"
)

// flight is one subject while it runs.
type flight struct {
	cfg     RunConfig
	started time.Time
	report  *target // nil: none
	cmd     *run.Command
	pid     int32
	set     *probe.Set // nil: no probes, for the reason in blind
	blind   error
	sampler *sample.Sampler
	maps    mapsBook
	groups  groups
	rec     *recorder.Recorder
	cores   *cores // nil: none are received
	noCores error  // why not, though it was asked for

	refused seen
	late    bool       // the kernel's last events did not come in time
	saying  sync.Mutex // lines on stderr stay whole

	// Written by the sweeper alone until the command has ended.
	forecasts   map[int32]*outlook
	mappingsMax int64 // vm.max_map_count, 0: not read yet
	batch       []*evidence.Observation
	garbled     int64
	binary      bool // stdout is no text from its first byte on
	turned      bool // text turned to garbage
	outputLost  int64
	streams     [2]*output.Stream
	base        [2]int64 // offset in the stream of the first byte that the judge has seen
	judged      [2]int64 // bytes that it has seen
	torn        tornLines
	stalled     [2]int64 // longest, nanoseconds
	around      around
	blame       blame

	firstGarbage []evidence.FirstGarbage
}

// say prints a remark of descry's own on stderr.
func (f *flight) say(format string, args ...any) {
	f.line("descry: " + report.Safe(fmt.Sprintf(format, args...)))
}

func (f *flight) line(s string) {
	f.saying.Lock()
	defer f.saying.Unlock()
	end := "\n"
	if f.rawTerminal() {
		end = "\r\n"
	}
	fmt.Fprint(f.cfg.Stderr, s, end)
}

// rawTerminal says whether what is said goes to a terminal that does not turn "\n" into "\r\n" now.
func (f *flight) rawTerminal() bool {
	file, ok := f.cfg.Stderr.(*os.File)
	if !ok || !f.cfg.TTY {
		return false
	}
	tio, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil && tio.Oflag&unix.OPOST == 0
}

// attach points everything that watches at the command, which still waits.
func (f *flight) attach(cmd *run.Command, leaf *run.Leaf, noLeaf string) {
	f.sampler = new(sample.Sampler)
	f.forecasts = map[int32]*outlook{}
	for i := range f.streams {
		f.streams[i] = new(output.Stream)
	}
	if f.set != nil {
		if err := f.set.Track(cmd.PID()); err != nil {
			f.blind = err
			f.set.Close()
			f.set = nil
		}
	}
	if f.set != nil {
		f.ownCgroup(leaf, noLeaf)
	}
	f.watchOutput()
	if f.set == nil && !f.cfg.Quiet && !f.cfg.NoProbes {
		f.say("%s", f.whatIsUnseen())
	}
	f.begin()
	f.groups.tell(true, f.observe, f.warn)
	if f.set != nil {
		go f.set.Run(f.observe)
	}
}

// ownCgroup tells the probes which cgroup is the command's, or why there is none.
func (f *flight) ownCgroup(leaf *run.Leaf, noLeaf string) {
	if leaf != nil {
		in, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", f.pid))
		if err == nil && !strings.Contains(string(in), filepath.Base(leaf.Path)) {
			noLeaf = "the command could not be started in it"
		} else if err := f.set.Leaf(leaf.Path, int(f.pid)); err != nil {
			noLeaf = err.Error()
		}
	}
	if noLeaf != "" {
		f.set.NoLeaf(noLeaf)
	}
}

// whatIsUnseen says in one line what a run without probes misses, and how to get it.
func (f *flight) whatIsUnseen() string {
	how := f.blind.Error()
	if unix.Geteuid() != 0 {
		how = "run it with sudo"
	}
	return "sees only /proc and the output: failed system calls, senders of signals, stacks and the descriptors at death stay unseen (" + how + "; descry doctor tells more)"
}

// observe takes one observation of any source. It is called from several goroutines.
func (f *flight) observe(o *evidence.Observation) {
	if x := contextOf(o.Detail); x != nil {
		f.maps.hold(o.PID, x)
	}
	if d, ok := o.Detail.(*evidence.FDRefused); ok && d.Errno == evidence.EMFILE && f.refused.first(o.PID) {
		d.FDs, _ = f.set.Table(int(o.PID)) // it may be gone already: then the table at death is whole
	}
	if d, ok := o.Detail.(*evidence.SignalSent); ok && int(d.Sender) == os.Getpid() {
		d.SenderComm, d.SenderCommand = "descry", evidence.PassedOn
	} else if ok && d.Sender > 0 && !d.SenderInTree {
		d.SenderContainer = f.foreignContainer(d.Sender)
	}
	switch d := o.Detail.(type) {
	case *evidence.Written:
		if !f.blame.written(o, d) {
			return
		}
	case *evidence.Stdio:
		f.blame.changed(o.PID, o.BootNanos, d)
	case *evidence.Exit:
		f.blame.ended.Store(o.BootNanos)
	}
	f.rec.Record(o)
}

// now stamps an observation of descry's own.
func now(source evidence.Source, pid int32, d evidence.Detail) *evidence.Observation {
	return &evidence.Observation{BootNanos: bootNanos(), WallNanos: time.Now().UnixNano(), Source: source, PID: pid, Detail: d}
}

func bootNanos() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0
	}
	return t.Nano()
}

// watch sweeps and reads the output until stop is called; stop returns when both have ended.
func (f *flight) watch() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var schedule sample.Schedule
		from := time.Now()
		for {
			f.sweep()
			f.surroundings()
			timer := time.NewTimer(schedule.Next(time.Since(from), f.exhaustion()))
			select {
			case <-done:
				timer.Stop()
				return
			case <-timer.C:
			}
		}
	})
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			f.cmd.Tap().Wait(100 * time.Millisecond)
			f.readOutput()
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// sweep reads every process of the tree once.
func (f *flight) sweep() {
	f.around.pids = f.around.pids[:0]
	if f.set != nil {
		// What is swept is looked at afterwards: that may ask the probes for more.
		f.batch = f.batch[:0]
		if err := f.set.Sweep(func(o *evidence.Observation) { f.batch = append(f.batch, o) }); err == nil {
			for _, o := range f.batch {
				f.swept1(o)
			}
			f.set.Counts(f.observe)
			f.groups.tell(false, f.observe, f.warn)
			return
		} else if !errors.Is(err, probe.ErrNotSupported) {
			f.observe(now(evidence.SourceSample, f.pid, &evidence.Lost{By: "sample", Count: 1, Why: err.Error()}))
		}
		f.set.Counts(f.observe)
	}
	for _, pid := range f.sampler.Tree(int(f.pid)) {
		o, err := f.sampler.Observe(pid)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
				f.observe(now(evidence.SourceSample, int32(pid), &evidence.Lost{By: "sample", Count: 1, Why: err.Error()}))
			}
			continue
		}
		f.swept1(o)
	}
	f.groups.tell(false, f.observe, f.warn)
}

// swept1 takes one process of a sweep: records it, forecasts it, and keeps its maps for stacks.
func (f *flight) swept1(o *evidence.Observation) {
	p := o.Detail.(*evidence.Process)
	f.around.pids = append(f.around.pids, o.PID)
	w := f.forecasts[o.PID]
	if w == nil {
		w = new(outlook)
		f.forecasts[o.PID] = w
		if p.Stdio == nil {
			if q, err := f.sampler.Process(int(o.PID)); err == nil {
				p.Stdio = q.Stdio
			}
		}
	}
	f.maps.keep(o.PID, f.sampler)
	f.groups.sweep(o.PID)
	f.observe(o)
	f.forecast(o, p, w)
}

// table is the descriptor table of a live process.
func (f *flight) table(pid int) (*evidence.FDTable, error) {
	if f.set != nil {
		if t, err := f.set.Table(pid); err == nil {
			return t, nil
		}
	}
	return f.sampler.Table(pid)
}

// seen tells the first time of each process.
type seen struct {
	mu  sync.Mutex
	pid map[int32]bool
}

func (s *seen) first(pid int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid[pid] || len(s.pid) > 1000 {
		return false
	}
	if s.pid == nil {
		s.pid = map[int32]bool{}
	}
	s.pid[pid] = true
	return true
}

// foreignContainer is the container of a process that is in another one than the command, "" where it is
// in none, in the same, or gone.
func (f *flight) foreignContainer(pid int32) string {
	theirs, ok := containerOf(pid)
	if ours, _ := containerOf(f.pid); !ok || theirs.ID == ours.ID {
		return ""
	}
	return theirs.ID
}

func containerOf(pid int32) (container.Ref, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return container.Ref{}, false
	}
	return container.Of(b)
}
