package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/casebook"
	"github.com/descry-dev/descry/internal/diagnose"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/report"
	"github.com/descry-dev/descry/internal/run"
	"github.com/descry-dev/descry/internal/version"
)

// flushTime is how long the kernel's last events are waited for; what comes later is lost.
const flushTime = 3 * time.Second

// keepOutput is how much of the end of each stream a case has, bytes.
const keepOutput = 64 << 10

// land takes what is left after the command's end, and explains it.
func (f *flight) land(res run.Result) {
	if f.set != nil {
		// The kernel's events came before the parent was told. On a machine under load they may wait
		// for a processor, or for a look at who holds an address.
		f.late = !f.set.Flush(flushTime)
		f.set.Counts(f.observe)
	}
	f.groups.tell(true, f.observe, nil)
	f.waitCores()
	f.lastSurroundings()
	f.readOutput()
	for i := range streams {
		f.fullBuffers(i, true)
		f.endOutput(i)
	}
	f.answer(true)
	if res.OutputHeld {
		f.observe(now(evidence.SourceRuntime, f.pid, &evidence.OutputHeld{Holders: res.Holders}))
		if !f.cfg.Quiet {
			f.say("%s has ended; its output is still held by %s, which goes on", filepath.Base(f.cfg.Command[0]), holders(res.Holders))
		}
	}
	if res.RelayLost && !f.cfg.Quiet {
		f.say("descry's relay was killed: what the command wrote after that is lost")
	}
	if res.Stuck && !f.cfg.Quiet {
		f.say("what the output goes to takes nothing; the rest is passed on when it does")
	}
	f.outputRefused()
	res.Interrupted = res.Interrupted || f.cmd.Death().Interrupted // the signal may be counted after the death that it caused
	death := &evidence.Death{
		At: res.EndedAt.UTC(), BootNanos: res.EndedBoot, PID: f.pid, Comm: filepath.Base(f.cfg.Command[0]),
		ExitCode: int32(res.ExitCode), Signal: evidence.Signal(res.Signal), CoreDumped: res.CoreDumped,
		UptimeSeconds: float64(res.EndedBoot-res.StartedBoot) / 1e9, Interrupted: res.Interrupted,
		MaxRSSBytes: res.MaxRSSBytes, UserSeconds: res.UserTime.Seconds(), SystemSeconds: res.SystemTime.Seconds(),
	}
	f.end(res, death)
	f.explain(death)
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
	tell := f.worthTelling(c)
	c.Core = f.core(c.Death.PID)
	if !tell && f.report == nil {
		return
	}
	c.FDTable = tableOf(c)
	diagnose.Judge(c)
	if tell {
		kept, keepErr := f.keep(c)
		f.saying.Lock()
		err := f.show(c, kept)
		f.saying.Unlock()
		if err != nil {
			f.say("the report could not be written: %v", err)
		}
		if keepErr != nil {
			f.say("%v", keepErr)
		}
	}
	if f.report != nil { // of a command that ended well too: who asks for it reads it
		if err := f.report.write(c); err != nil {
			f.say("%v", err)
		}
	}
}

// caseOf puts together what a case holds before it is judged.
func (f *flight) caseOf(death *evidence.Death) *evidence.Case {
	m := material{
		subject: evidence.Subject{Node: hostname(), Command: f.cfg.Command, PID: f.pid},
		all:     f.rec.Observations(), maps: &f.maps,
		death: death, counters: f.counters(), coverage: f.coverage(death),
	}
	if f.cmd != nil {
		m.output = f.lastOutput()
	}
	return m.assemble()
}

// counters are what is counted over the whole run.
func (f *flight) counters() map[string]int64 {
	n := map[string]int64{}
	if f.set != nil {
		n = f.set.Counters()
	}
	n[evidence.CountGarbled] = f.garbled
	f.countLines(n)
	for _, dropped := range f.rec.Dropped() {
		n[evidence.CountDropped] += dropped
	}
	if f.cmd != nil {
		n[evidence.CountOutput] = f.cmd.Tap().Totals(run.Stdout).Written + f.cmd.Tap().Totals(run.Stderr).Written
	}
	return n
}

// worthTelling says whether there is anything to say: a command that ended with 0 and showed nothing
// is not talked about. A child that died of a fault makes the case one of its own kind; text that
// turned to garbage is told in any case, but not what is no text from its first byte on: that was
// meant.
func (f *flight) worthTelling(c *evidence.Case) bool {
	return c.Death.ExitCode != 0 || turnToChild(c) || f.turned
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
			if f.late {
				v.Lost++ // at the least; the end itself may be missing
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
			f.groups.coverage(f.started.UTC(), to),
			f.aroundCoverage("sample/network", "/proc/PID/net", f.around.noNet, to),
			f.aroundCoverage("sample/machine", "/proc", f.around.machine.missing, to),
			evidence.Coverage{Source: "output", By: "relay", From: f.started.UTC(), To: to, Lost: f.outputLost})
	}
	return out
}

func (f *flight) aroundCoverage(source, by, missing string, to time.Time) evidence.Coverage {
	if missing != "" {
		return evidence.Coverage{Source: source, Missing: missing}
	}
	return evidence.Coverage{Source: source, By: by, From: f.started.UTC(), To: to}
}

// keep puts the case into the casebook.
func (f *flight) keep(c *evidence.Case) (bool, error) {
	if f.cfg.Cases == "" {
		return false, errors.New("the case is not kept: neither HOME nor XDG_STATE_HOME names a place for it (--cases DIR or DESCRY_CASES=DIR does)")
	}
	if _, err := casebook.New(f.cfg.Cases, casebook.Bounds{}).Put(c); err != nil {
		return false, fmt.Errorf("the case is not kept in %s: %w (--cases DIR or DESCRY_CASES=DIR names another place)", f.cfg.Cases, reason(err))
	}
	return true, nil
}

// show writes the report in the form that was asked for.
func (f *flight) show(c *evidence.Case, kept bool) error {
	w := f.cfg.Stderr
	if f.rawTerminal() {
		w = carriage{w}
	}
	switch f.cfg.Format {
	case "json":
		return evidence.WriteCase(w, c)
	case "markdown":
		return report.Markdown(w, c)
	}
	if kept && c.Death.Interrupted && len(c.Findings) == 1 && c.Findings[0].Cause == "killed" {
		_, err := fmt.Fprintf(w, "descry: %s; more: descry why %s\n", report.Headline(c), c.ID) // who did it knows why
		return err
	}
	opt := report.Options{Width: f.cfg.Width, Color: f.cfg.Color}
	if kept {
		opt.CaseHint = "descry why " + c.ID
		if f.cfg.Keep != "" {
			opt.CaseHint += "; the recording: descry judge " + f.cfg.Keep
		}
	}
	return report.Terminal(w, c, opt)
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

func hostname() string {
	name, _ := os.Hostname()
	return name
}

func descryVersion() string { return version.String() }
