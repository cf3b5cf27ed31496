package diagnose

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

// shown are causes that show in how the program ended, in its signals, its samples or a runtime's own
// check: not by a refusal.
var shown = []string{"select-overflow", "fd-leak", "stdio-replaced", "memory-limit", "node-memory", "file-truncated", "seccomp", "resource-signal", "output-stalled", "stack-overflow", "memory-corruption",
	"uncaught-error", "invalid-access", "start-failure", "assertion", "shutdown-timeout", "killed", "exit-error", "finished"}

// positives gives the cases that a cause of the refusals is found in first, by file.
func positives(t *testing.T) map[string]string {
	out := map[string]string{}
	for file, c := range stored(t) {
		cause := filepath.Base(filepath.Dir(file))
		if slices.Contains(shown, cause) {
			continue
		}
		if slices.ContainsFunc(c.Timeline, func(o evidence.Observation) bool {
			f, ok := o.Detail.(*evidence.SignalFatal)
			return ok && f.Signal == evidence.SIGPIPE
		}) {
			continue // the signal is the kernel's word for it
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if strings.HasPrefix(expectations(t, filepath.Dir(file))[name], cause+" ") {
			out[file] = cause
		}
	}
	if len(out) < 15 {
		t.Fatalf("%d positives", len(out))
	}
	return out
}

// withoutRefusals takes from a case what the kernel and samples say of refusals; how the program lived and
// ended, and what it said, stay.
func withoutRefusals(c *evidence.Case) {
	c.Timeline = slices.DeleteFunc(c.Timeline, func(o evidence.Observation) bool {
		switch d := o.Detail.(type) {
		case *evidence.ThreadFailures:
			d.Calls = nil
		case *evidence.Exit:
			d.RefusedFDs = 0
		case *evidence.SignalSent:
			return d.Signal == evidence.SIGPIPE
		case *evidence.SignalFatal, *evidence.SignalCaught, *evidence.Fork, *evidence.Exec, *evidence.Process, *evidence.Garbled, *evidence.OutputHeld, *evidence.OutputStalled:
		default:
			return true
		}
		return false
	})
	for k := range c.Counters {
		c.Counters[k] = 0
	}
}

func finding(c *evidence.Case, cause string) *evidence.Finding {
	for i := range c.Findings {
		if c.Findings[i].Cause == cause {
			return &c.Findings[i]
		}
	}
	return nil
}

// TestNotFromTextAlone: where the kernel watched and saw nothing of it, no words make a cause.
func TestNotFromTextAlone(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range stored(t) {
		for _, x := range c.Coverage {
			covered[x.Source] = true
		}
	}
	for file, cause := range positives(t) {
		c := load(t, file)
		withoutRefusals(c)
		whole := evidence.Coverage{Source: "probe/syscall", By: "made"}
		if len(c.Coverage) > 0 {
			whole = c.Coverage[0]
		}
		c.Coverage = nil
		for source := range covered {
			whole.Source, whole.Missing, whole.Lost = source, "", 0
			c.Coverage = append(c.Coverage, whole)
		}
		Judge(c)
		if f := finding(c, cause); f != nil {
			t.Errorf("%s: nothing was refused, and %s is %s: %s", file, f.Cause, f.Confidence, f.Summary)
		}
	}
}

// TestUnwatched: where nobody watched, words make nothing certain.
func TestUnwatched(t *testing.T) {
	for file, cause := range positives(t) {
		c := load(t, file)
		c.Timeline = slices.DeleteFunc(c.Timeline, func(o evidence.Observation) bool { return o.Source == evidence.SourceKernel })
		c.Counters = nil
		for i := range c.Coverage {
			if strings.HasPrefix(c.Coverage[i].Source, "probe/") {
				c.Coverage[i].Missing = "needs root"
			}
		}
		Judge(c)
		if f := finding(c, cause); f != nil && f.Confidence == evidence.Certain {
			t.Errorf("%s: not watched, and %s is certain: %s", file, f.Cause, f.Summary)
		}
	}
}

// TestWithoutWords: what the kernel saw says no more when the program's words are not known.
func TestWithoutWords(t *testing.T) {
	for file, cause := range positives(t) {
		c := load(t, file)
		Judge(c)
		before := finding(c, cause)
		c.LastOutput = nil
		for i := range c.Coverage {
			if c.Coverage[i].Source == "output" {
				c.Coverage[i].Missing = "not passed on"
			}
		}
		Judge(c)
		if f := finding(c, cause); f != nil && f.Confidence.Rank() > before.Confidence.Rank() {
			t.Errorf("%s: %s is %s without its words, %s with them", file, cause, f.Confidence, before.Confidence)
		}
	}
}

// TestOtherWords: a runtime's report of another refusal does not confirm what the kernel saw.
func TestOtherWords(t *testing.T) {
	for file, cause := range positives(t) {
		c := load(t, file)
		if c.Death == nil || c.Death.Signal != 0 {
			continue
		}
		before := c.LastOutput
		Judge(c)
		was := finding(c, cause)
		if was == nil || before == nil {
			continue
		}
		c.LastOutput = &evidence.LastOutput{Stderr: []byte("Traceback (most recent call last):\n  File \"/srv/x.py\", line 3, in <module>\n    f()\nValueError: no stock\n")}
		Judge(c)
		if f := finding(c, cause); f != nil {
			t.Errorf("%s: it died of a ValueError, and %s is %s: %s", file, f.Cause, f.Confidence, f.Summary)
		}
	}
}

// TestReportsAlone: a real report of a refusal, where the kernel watched and refused nothing, is no cause
// of the refusals; where nobody watched it makes none certain.
func TestReportsAlone(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range stored(t) {
		for _, x := range c.Coverage {
			covered[x.Source] = true
		}
	}
	for _, r := range recordings(t) {
		for _, watched := range []bool{true, false} {
			c := r.view().Case
			whole := c.Coverage[0]
			c.Coverage = nil
			for source := range covered {
				x := whole
				x.Source = source
				if !watched && strings.HasPrefix(source, "probe/") {
					x.Missing = "needs root"
				}
				c.Coverage = append(c.Coverage, x)
			}
			Judge(c)
			for _, f := range c.Findings {
				if !slices.Contains(shown, f.Cause) && (watched || f.Confidence == evidence.Certain) {
					t.Errorf("%s, watched %t: %s is %s: %s", r.file, watched, f.Cause, f.Confidence, f.Summary)
				}
			}
		}
	}
}
