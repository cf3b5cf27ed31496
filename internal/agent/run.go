// Package agent wires the parts together: the node's flow on one page. `descry run` is one subject
// from its start to its end.
package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

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
	if err := f.checkTargets(); err != nil {
		return ExitFailed, err
	}
	f.rec, err = recorder.New(recorder.Options{Dir: f.cfg.Keep, OnLoss: func(l evidence.Lost) {
		f.say("the recording in %s misses %d observations: %s; it goes on in memory", f.cfg.Keep, l.Count, l.Why)
	}})
	if err != nil {
		return ExitFailed, fmt.Errorf("keep the recording: %w", err)
	}
	defer f.rec.Close()

	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		f.loadProbes()
	}()
	leaf, noLeaf := run.NewLeaf()
	if leaf != nil {
		defer leaf.Close()
	}
	cmd, err := run.Prepare(run.Config{Args: f.cfg.Command, TTY: f.cfg.TTY, Leaf: leaf, Release: true})
	<-loaded
	if f.set != nil {
		defer f.set.Close()
	}
	if err != nil {
		return f.notStarted(err)
	}
	defer cmd.Close()
	f.attach(cmd, noLeaf)
	if err := cmd.Go(); err != nil {
		return f.notStarted(err)
	}
	stop := f.watch()
	res := cmd.Wait()
	stop()
	f.land(res)
	return res.ExitCode, nil
}

// checkTargets finds out before the command runs what would only fail after it.
func (f *flight) checkTargets() error {
	if f.cfg.Report == "" {
		return nil
	}
	file, err := os.OpenFile(f.cfg.Report, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("write the case to --report: %w", err)
	}
	return file.Close()
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
		return ExitFailed, fmt.Errorf("start %s: %w", f.cfg.Command[0], err)
	}
	f.explain(&evidence.Death{
		At: time.Now().UTC(), BootNanos: bootNanos(), Comm: filepath.Base(f.cfg.Command[0]),
		ExitCode: int32(start.ExitCode()), NotStarted: true, StartErrno: evidence.Errno(start.Errno),
	})
	return start.ExitCode(), nil
}
