// Package agent wires the parts together: the node's flow on one page. `descry run` is one subject
// from its start to its end.
package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/probe"
	"github.com/descry-dev/descry/internal/recorder"
	"github.com/descry-dev/descry/internal/run"
)

// ExitFailed is the exit code when descry itself failed, as env and nohup have it.
const ExitFailed = 125

// RunConfig is what `descry run` was asked to do.
type RunConfig struct {
	Command  []string
	TTY      bool
	Quiet    bool   // no warnings and remarks while the program runs
	NoProbes bool   // sample /proc only
	Keep     string // directory of the recording; "": in memory
	Cores    string // what is kept of the processes' cores: "none", "stacks", "full"; "": they are not received
	CoreDir  string // where they are kept
	Report   string // file for the case as JSON; "": none
	Cases    string // directory of the casebook
	Format   string // of the report: "text", "markdown", "json"
	Stderr   io.Writer
	Color    bool
	Width    int // cells
}

// Run starts the command, watches it to its end, explains its death on cfg.Stderr, and returns the
// exit code: the command's own, 128+n for a signal, 126 not executable, 127 not found, 125 when descry
// itself failed. What cannot be watched or kept is said, and changes nothing for the command.
func Run(cfg RunConfig) int {
	// A reader of ours that goes away must not end us before the command has ended. What is executed
	// gets the default back.
	gone := make(chan os.Signal, 1)
	signal.Notify(gone, unix.SIGPIPE)
	defer signal.Stop(gone)
	f := &flight{cfg: cfg, started: time.Now()}
	code, err := f.fly()
	if err != nil {
		f.say("%v", err)
	}
	return code
}

// fly is the flow: probes and launcher are made ready side by side; then the command runs, watched;
// then what was recorded becomes a case, is judged, shown and kept.
func (f *flight) fly() (code int, err error) {
	if f.report, err = openTarget(f.cfg.Report); err != nil {
		return ExitFailed, err
	}
	defer f.report.close()
	f.rec, err = recorder.New(recorder.Options{Dir: f.cfg.Keep, OnLoss: func(l evidence.Lost) {
		f.say("%s", lossWords(f.cfg.Keep, l))
	}})
	if err != nil {
		return ExitFailed, keepError(f.cfg.Keep, err)
	}
	defer f.rec.Close()

	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		f.loadProbes()
	}()
	received := make(chan struct{})
	go func() {
		defer close(received)
		f.openCores()
	}()
	defer func() {
		<-received
		f.closeCores()
	}()
	leaf, noLeaf := run.NewLeaf()
	if leaf != nil {
		defer leaf.Close()
	}
	cmd, err := run.Prepare(run.Config{Args: f.cfg.Command, TTY: f.cfg.TTY, Leaf: leaf, Release: true})
	if err == nil {
		f.cmd, f.pid = cmd, int32(cmd.PID())
		f.lookAround()
		f.groups.sweep(f.pid)
	}
	<-loaded
	if f.set != nil {
		defer f.set.Close()
	}
	if err != nil {
		return f.notStarted(err)
	}
	defer cmd.Close()
	f.attach(cmd, leaf, noLeaf)
	<-received
	f.followCores(leaf)
	if err := cmd.Go(); err != nil {
		return f.notStarted(err)
	}
	stop := f.watch()
	res := cmd.Wait()
	stop()
	f.land(res)
	return res.ExitCode, nil
}

func (f *flight) loadProbes() {
	if f.cfg.NoProbes {
		f.blind = errors.New("--no-probes was given")
		return
	}
	f.set, f.blind = probe.Open(probe.Config{})
	if f.blind != nil {
		f.set = nil
	}
}

// notStarted ends a run whose command could not be executed: that is a death as well.
func (f *flight) notStarted(err error) (int, error) {
	var start *run.StartError
	if !errors.As(err, &start) {
		if code := f.signalled(); code != 0 {
			return code, nil
		}
		if _, noProc := os.Stat("/proc/self/exe"); noProc != nil {
			err = fmt.Errorf("/proc is not mounted here, and descry needs it: %w", err)
		}
		return ExitFailed, err
	}
	death := &evidence.Death{
		At: time.Now().UTC(), BootNanos: bootNanos(), Comm: filepath.Base(f.cfg.Command[0]),
		ExitCode: int32(start.ExitCode()), NotStarted: true, StartErrno: evidence.Errno(start.Errno),
		StartPath: start.Path, StartWhy: whyNotStarted(f.cfg.Command[0], start.Path, start.Errno),
	}
	if strings.Contains(death.StartWhy, "PATH") {
		death.StartPath = f.cfg.Command[0] // not the last place where it was looked for
	}
	f.explain(death)
	return start.ExitCode(), nil
}

// signalled is the exit code of a command that a signal ended before it was executed: the user
// pressed ^C at once. 0: it was none.
func (f *flight) signalled() int {
	if f.cmd == nil {
		return 0
	}
	select {
	case <-f.cmd.Dead():
	case <-time.After(time.Second):
		return 0
	}
	sig := f.cmd.Death().Signal
	if sig == 0 {
		return 0
	}
	f.say("%s was ended by %s before it was executed", f.cfg.Command[0], evidence.Signal(sig))
	return 128 + int(sig)
}
