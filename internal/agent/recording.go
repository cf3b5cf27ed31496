package agent

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/descry-dev/descry/internal/diagnose"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/recorder"
	"github.com/descry-dev/descry/internal/run"
)

// begin records whose recording it is.
func (f *flight) begin() {
	f.observe(now(evidence.SourceRuntime, f.pid, &evidence.RunStarted{
		Command: f.cfg.Command, Node: hostname(), Kernel: kernelRelease(), Arch: runtime.GOARCH, Descry: descryVersion(),
	}))
}

// end records how it ended: with begin, all that a case has and the observations have not, but the
// last output.
func (f *flight) end(res run.Result, death *evidence.Death) {
	e := &evidence.RunEnded{
		ExitCode: death.ExitCode, Signal: death.Signal, CoreDumped: death.CoreDumped, Interrupted: death.Interrupted,
		StartNanos: res.StartedBoot, UserNanos: int64(res.UserTime), SystemNanos: int64(res.SystemTime), MaxRSSBytes: death.MaxRSSBytes,
	}
	for name, n := range f.counters() {
		e.Counters = append(e.Counters, evidence.StateCount{Name: name, Count: n})
	}
	for _, v := range f.coverage(death) {
		e.Watched = append(e.Watched, evidence.Watched{Source: v.Source, By: v.By, Lost: v.Lost, Missing: v.Missing})
	}
	f.observe(&evidence.Observation{
		BootNanos: death.BootNanos, WallNanos: death.At.UnixNano(), Source: evidence.SourceRuntime, PID: f.pid, Detail: e,
	})
}

// CaseOfRecording makes a case of the recording in dir, as it is while another descry still writes it
// or as a kill or a loss of power left it, and judges it. remarks say what the recording lacks, in
// whole sentences. It is an error when there is no recording that can be read.
func CaseOfRecording(dir string) (c *evidence.Case, remarks []string, err error) {
	rec, err := recorder.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	if rec.Recovered.Reason != "" {
		remarks = append(remarks, "the recording is damaged: "+rec.Recovered.Reason)
	}
	if len(rec.Observations) == 0 {
		return nil, remarks, fmt.Errorf("read the recording in %s: it holds no observation", dir)
	}
	c, ended := caseOfObservations(rec.Observations)
	if !rec.StartedAt.IsZero() {
		c.OpenedAt = rec.StartedAt
	}
	switch last := rec.Observations[len(rec.Observations)-1]; {
	case c.Death == nil:
		remarks = append(remarks, fmt.Sprintf("the recording breaks off at %s, before the program ended: descry or the machine ended there, or it still runs",
			last.Time().Local().Format("2006-01-02 15:04:05.000")))
	case !ended:
		remarks = append(remarks, "the recording breaks off at the program's end: what is counted over the whole run is not in it")
	}
	c.FDTable = tableOf(c)
	diagnose.Judge(c)
	return c, remarks, nil
}

// caseOfObservations is a case as far as observations alone tell it. ended says that the recording
// is whole: without its end nothing can be ruled out.
func caseOfObservations(all []*evidence.Observation) (c *evidence.Case, ended bool) {
	c = &evidence.Case{
		ID: ulid.Make().String(), Kind: evidence.CaseWarning, OpenedAt: all[0].Time(), Descry: descryVersion(), Counters: map[string]int64{},
	}
	from := all[0].Time()
	for _, o := range all {
		switch d := o.Detail.(type) {
		case *evidence.RunStarted:
			from = o.Time()
			c.Subject = evidence.Subject{Node: d.Node, Command: d.Command, PID: o.PID}
			c.Host = evidence.Host{Kernel: d.Kernel, Arch: d.Arch}
		case *evidence.RunEnded:
			ended = true
			to := o.Time()
			c.Kind = evidence.CaseDeath
			c.Death = &evidence.Death{
				At: o.Time(), BootNanos: o.BootNanos, PID: o.PID, ExitCode: d.ExitCode, Signal: d.Signal,
				CoreDumped: d.CoreDumped, Interrupted: d.Interrupted, MaxRSSBytes: d.MaxRSSBytes,
				UserSeconds: float64(d.UserNanos) / 1e9, SystemSeconds: float64(d.SystemNanos) / 1e9,
				UptimeSeconds: float64(o.BootNanos-d.StartNanos) / 1e9,
			}
			for _, n := range d.Counters {
				c.Counters[n.Name] = n.Count
			}
			for _, w := range d.Watched {
				v := evidence.Coverage{Source: w.Source, By: w.By, Lost: w.Lost, Missing: w.Missing}
				if w.Missing == "" {
					v.From, v.To = from, to
				}
				c.Coverage = append(c.Coverage, v)
			}
		}
	}
	if c.Subject.PID == 0 { // its beginning is lost
		c.Subject.PID = firstProcess(all)
	}
	if !ended {
		deathByKernel(c, all)
		c.Coverage = []evidence.Coverage{{Source: "recording", Missing: "the recording breaks off, so nothing can be ruled out"}}
	}
	if c.Death != nil && len(c.Subject.Command) > 0 {
		c.Death.Comm = filepath.Base(c.Subject.Command[0])
	}
	timeline, left := story(all, c.Subject.PID)
	c.Counters[evidence.CountDropped] += left
	(&mapsBook{past: true}).unwind(timeline)
	link(timeline)
	c.Timeline = timeline
	if c.Death != nil {
		completeDeath(c)
		if c.Death.ExitCode == 0 {
			turnToChild(c)
		}
	}
	return c, ended
}

// deathByKernel takes the end of the main process from what the kernel said, where nobody lived to
// hear it from its parent.
func deathByKernel(c *evidence.Case, all []*evidence.Observation) {
	for _, o := range all {
		if d, ok := o.Detail.(*evidence.Exit); ok && o.PID == c.Subject.PID {
			c.Kind = evidence.CaseDeath
			c.Death = &evidence.Death{
				At: o.Time(), BootNanos: o.BootNanos, PID: o.PID, ExitCode: d.ExitCode, Signal: d.Signal, CoreDumped: d.CoreDumped,
				MaxRSSBytes: d.MaxRSSBytes, UserSeconds: float64(d.UserNanos) / 1e9, SystemSeconds: float64(d.SystemNanos) / 1e9,
			}
		}
	}
}

func firstProcess(all []*evidence.Observation) int32 {
	for _, o := range all {
		if o.PID != 0 {
			return o.PID
		}
	}
	return 0
}

// keepError says why a recording cannot be kept, before the command runs.
func keepError(dir string, err error) error {
	what := strings.TrimPrefix(err.Error(), "keep the recording in "+dir+": ")
	return fmt.Errorf("no recording can be kept in --keep %s: %s; the command was not started", dir, what)
}

// lossWords says once that the recording's directory takes no more.
func lossWords(dir string, l evidence.Lost) string {
	why := strings.TrimSuffix(strings.TrimPrefix(l.Why, "keep the recording in "+dir+": "), "; it goes on in memory")
	return fmt.Sprintf("the recording in %s is not complete: %s; it goes on in memory, and there when there is room again", dir, why)
}
