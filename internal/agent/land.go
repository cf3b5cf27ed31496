package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/casebook"
	"github.com/descry-dev/descry/internal/diagnose"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/report"
	"github.com/descry-dev/descry/internal/run"
	"github.com/descry-dev/descry/internal/version"
)

// keepOutput is how much of the end of each stream a case has, bytes.
const keepOutput = 64 << 10

// land takes what is left after the command's end, and explains it.
func (f *flight) land(res run.Result) {
	if f.set != nil {
		f.set.Flush(100 * time.Millisecond) // the kernel's events came before the parent was told
		f.set.Counts(f.observe)
	}
	f.readOutput()
	for i := range streams {
		f.endOutput(i)
	}
	if res.OutputHeld {
		f.observe(now(evidence.SourceRuntime, f.pid, &evidence.OutputHeld{Holders: res.Holders}))
		if !f.cfg.Quiet {
			f.say("%s has ended; its output is still held by %s, which goes on", filepath.Base(f.cfg.Command[0]), holders(res.Holders))
		}
	}
	if res.RelayLost && !f.cfg.Quiet {
		f.say("descry's relay was killed: what the command wrote after that is lost")
	}
	f.explain(&evidence.Death{
		At: res.EndedAt.UTC(), BootNanos: res.EndedBoot, PID: f.pid, Comm: filepath.Base(f.cfg.Command[0]),
		ExitCode: int32(res.ExitCode), Signal: evidence.Signal(res.Signal), CoreDumped: res.CoreDumped,
		UptimeSeconds: float64(res.EndedBoot-res.StartedBoot) / 1e9, Interrupted: res.Interrupted,
		MaxRSSBytes: res.MaxRSSBytes, UserSeconds: res.UserTime.Seconds(), SystemSeconds: res.SystemTime.Seconds(),
	})
}

func holders(list []evidence.Holder) string {
	if len(list) == 0 {
		return "a process that cannot be seen from here"
	}
	who := make([]string, len(list))
	for i, h := range list {
		who[i] = fmt.Sprintf("%d (%s)", h.PID, h.Command)
	}
	return strings.Join(who, ", ")
}

// explain makes a case of the recording, judges it, shows it and keeps it.
func (f *flight) explain(death *evidence.Death) {
	c := f.caseOf(death)
	if !f.worthTelling(c) {
		return
	}
	c.FDTable = tableOf(c)
	diagnose.Judge(c)
	kept, keepErr := f.keep(c)
	f.saying.Lock()
	defer f.saying.Unlock()
	if err := f.show(c, kept); err != nil {
		fmt.Fprintf(f.cfg.Stderr, "descry: write the report: %v\n", err)
	}
	if keepErr != nil {
		fmt.Fprintf(f.cfg.Stderr, "descry: %v\n", keepErr)
	}
	if f.cfg.Report != "" {
		if err := writeReport(f.cfg.Report, c); err != nil {
			fmt.Fprintf(f.cfg.Stderr, "descry: %v\n", err)
		}
	}
}

// caseOf puts together what a case holds before it is judged.
func (f *flight) caseOf(death *evidence.Death) *evidence.Case {
	all := f.rec.Observations()
	timeline, left := story(all, f.pid)
	f.maps.unwind(timeline)
	link(timeline)
	c := &evidence.Case{
		ID: ulid.Make().String(), Kind: evidence.CaseDeath, OpenedAt: time.Now().UTC(), Descry: version.String(),
		Host:     evidence.Host{Kernel: kernelRelease(), Arch: runtime.GOARCH},
		Subject:  evidence.Subject{Command: f.cfg.Command, PID: f.pid},
		Death:    death,
		Timeline: timeline,
		Counters: map[string]int64{},
		Coverage: f.coverage(death),
	}
	c.Subject.Node, _ = os.Hostname()
	if f.set != nil {
		c.Counters = f.set.Counters()
	}
	c.Counters[evidence.CountGarbled] = f.garbled
	dropped := left
	for _, n := range f.rec.Dropped() {
		dropped += n
	}
	c.Counters[evidence.CountDropped] = dropped
	if f.cmd != nil {
		c.LastOutput = f.lastOutput()
		c.Counters[evidence.CountOutput] = c.LastOutput.StdoutBytes + c.LastOutput.StderrBytes
	}
	completeDeath(c)
	return c
}

// completeDeath adds to the death what the kernel said of it.
func completeDeath(c *evidence.Case) {
	d := c.Death
	var sent *evidence.SignalSent
	var exit *evidence.Observation
	for i := range c.Timeline {
		o := &c.Timeline[i]
		if o.PID != d.PID || d.PID == 0 {
			continue
		}
		switch x := o.Detail.(type) {
		case *evidence.SignalSent:
			if d.Signal != 0 && x.Signal == d.Signal {
				sent = x
			}
		case *evidence.OOM:
			d.OOMKilled = true
		case *evidence.Exit:
			exit = o
		}
	}
	if exit != nil {
		d.At, d.BootNanos = exit.Time(), exit.BootNanos
		if x := exit.Detail.(*evidence.Exit); x.StartNanos != 0 {
			d.UptimeSeconds = float64(exit.BootNanos-x.StartNanos) / 1e9
		}
		if exit.Comm != "" {
			d.Comm = exit.Comm
		}
	}
	switch {
	case sent != nil && sent.Sender == 0:
		d.SentBy = &evidence.Sender{Comm: "kernel"}
	case sent != nil:
		d.SentBy = &evidence.Sender{PID: sent.Sender, Comm: sent.SenderComm, Command: sent.SenderCommand}
	}
}

// worthTelling says whether there is anything to say: a command that ended with 0 and showed nothing
// is not talked about. A child that died of a fault makes the case one of its own kind.
func (f *flight) worthTelling(c *evidence.Case) bool {
	if c.Death.ExitCode != 0 {
		return true
	}
	for i := range c.Timeline {
		o := &c.Timeline[i]
		x, ok := o.Detail.(*evidence.Exit)
		if ok && o.PID != f.pid && crashed(x, c, o.PID) {
			c.Kind = evidence.CaseChildDeath
			c.Death.At, c.Death.BootNanos, c.Death.PID, c.Death.Comm = o.Time(), o.BootNanos, o.PID, o.Comm
			c.Death.ExitCode, c.Death.Signal, c.Death.CoreDumped = x.ExitCode, x.Signal, x.CoreDumped
			c.Death.UptimeSeconds = float64(o.BootNanos-x.StartNanos) / 1e9
			return true
		}
	}
	return f.garbled > 0
}

// crashed tells a child's death that nobody wished for from those that shells and supervisors bring
// about all the time (SIGPIPE at the end of a pipeline, SIGTERM to a worker).
func crashed(x *evidence.Exit, c *evidence.Case, pid int32) bool {
	switch x.Signal {
	case evidence.SIGSEGV, evidence.SIGBUS, evidence.SIGILL, evidence.SIGFPE, evidence.SIGABRT, evidence.SIGSYS, evidence.SIGXCPU, evidence.SIGXFSZ:
		return true
	case evidence.SIGKILL:
		for i := range c.Timeline {
			if _, ok := c.Timeline[i].Detail.(*evidence.OOM); ok && c.Timeline[i].PID == pid {
				return true
			}
		}
	}
	return false
}

// tableOf is the descriptor table of the process that the judgement is about: at its death, or at its
// first refusal where a runtime has closed most of it in between.
func tableOf(c *evidence.Case) *evidence.FDTable {
	about := diagnose.Culprit(c)
	var table *evidence.FDTable
	for i := range c.Timeline {
		if c.Timeline[i].PID != about {
			continue
		}
		switch d := c.Timeline[i].Detail.(type) {
		case *evidence.FDRefused:
			if table == nil {
				table = d.FDs
			}
		case *evidence.Exit:
			if d.FDs != nil && (table == nil || d.FDs.Open*2 > table.Open) {
				table = d.FDs
			}
		}
	}
	return table
}

// coverage says what watched, and from when to when.
func (f *flight) coverage(death *evidence.Death) []evidence.Coverage {
	var out []evidence.Coverage
	to := death.At
	if f.set != nil {
		lost := f.set.Lost()
		for _, s := range f.set.Status() {
			v := evidence.Coverage{Source: s.Name, By: s.By, Missing: s.Missing, Lost: lost[s.Name]}
			if s.Missing == "" {
				v.From, v.To = f.started.UTC(), to
			}
			out = append(out, v)
		}
	} else if f.blind != nil {
		out = append(out, evidence.Coverage{Source: "probe", Missing: f.blind.Error()})
	}
	if f.cmd != nil {
		by := "/proc"
		if f.set != nil {
			by = "iter/task"
		}
		out = append(out,
			evidence.Coverage{Source: "sample", By: by, From: f.started.UTC(), To: to},
			evidence.Coverage{Source: "output", By: "relay", From: f.started.UTC(), To: to, Lost: f.outputLost})
	}
	return out
}

// keep puts the case into the casebook.
func (f *flight) keep(c *evidence.Case) (bool, error) {
	if _, err := casebook.New(f.cfg.Cases, casebook.Bounds{}).Put(c); err != nil {
		return false, fmt.Errorf("keep the case: %w (--cases DIR or DESCRY_CASES names another place)", err)
	}
	return true, nil
}

// show writes the report in the form that was asked for.
func (f *flight) show(c *evidence.Case, kept bool) error {
	w := f.cfg.Stderr
	if f.cmd != nil && f.cmd.RawTerminal() {
		w = carriage{w}
	}
	switch f.cfg.Format {
	case "json":
		return evidence.WriteCase(w, c)
	case "markdown":
		return report.Markdown(w, c)
	}
	opt := report.Options{Width: f.cfg.Width, Color: f.cfg.Color}
	if kept {
		opt.CaseHint = "descry why " + c.ID
	}
	return report.Terminal(w, c, opt)
}

// writeReport replaces the file as a whole, so that nobody reads half a case.
func writeReport(name string, c *evidence.Case) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() { // /dev/stdout, a FIFO
		file, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("write the case to --report: %w", err)
		}
		return errors.Join(evidence.WriteCase(file, c), file.Close())
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("write the case to --report: %w", err)
	}
	if err := errors.Join(evidence.WriteCase(tmp, c), tmp.Close()); err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("write the case to --report %s: %w", name, err)
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("write the case to --report: %w", err)
	}
	return nil
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
