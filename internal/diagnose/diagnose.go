// Package diagnose says of a case what its cause is, and what it is not.
//
// Judgement is pure: it reads the case and nothing else, no clock, no file, no order of a map, so
// a stored case can be judged again and gives the same. Each cause is one file with a title, why
// it happens, how it is seen, advice, and a rule; All lists them. docs/causes is generated from
// them.
//
// A rule that is not sure stays silent: no finding at all is a good answer, a wrong one is not.
package diagnose

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/descry-dev/descry/internal/evidence"
)

//go:generate go run ./docgen

// Cause is one entry of the catalogue.
type Cause struct {
	ID     string
	Title  string // for a heading: "Out of file descriptors"
	Why    string // why it happens, in a few sentences
	Seen   string // what must be observed for which confidence
	Advice string // how to fix it; a finding may carry a better one of its own

	// Rule finds the cause in a case, or nothing. Judge fills in the finding's Cause and, where
	// it is empty, its Advice.
	Rule func(*View) *evidence.Finding
	// Absent gives the figures that rule the cause out, "" where they do not. It may be nil and
	// is not asked where the rule found the cause.
	Absent func(*View) string

	Explains []string // causes that are consequences of this one: they stand behind it
	Swallows []string // causes that only say the same with less: they are dropped
	Weak     bool     // says how it ended and no more: dropped where anything else is found
}

// All lists the causes, the more telling first: equals are ranked in this order.
var All = []*Cause{
	// Descriptors.
	&selectOverflow,
	&fdLimit,
	&systemFDLimit,
	&inotifyLimit,
	&fdLeak,
	&stdioReplaced,
	&addressInUse,
	&portExhaustion,

	// Memory, processes.
	&nodeMemory,
	&memoryLimit,
	&pidLimit,
	&mappingLimit,
	&fileTruncated,
	&seccomp,
	&resourceSignal,

	// Disk, files.
	&diskFull,
	&permission,
	&fileMissing,

	// Network.
	&dnsFailure,
	&connectFailure,
	&connectionLoss,

	// Buffers and output.
	&brokenPipe,
	&outputStalled,
	&socketMemory,
	&receiveOverflow,
	&acceptOverflow,
	&sendStalled,

	// The program itself.
	&stackOverflow,
	&memoryCorruption,
	&uncaughtError,
	&invalidAccess,
	&startFailure,
	&assertion,
	&shutdownTimeout,
	&killed,
	&exitError,
	&finished,
}

// Judge fills Findings, Symptoms and RuledOut of c, in place of what was there.
func Judge(c *evidence.Case) {
	c.Findings, c.Symptoms, c.RuledOut = []evidence.Finding{}, nil, nil
	v := newView(c)
	found := map[string]bool{}
	var all []ranked
	for i, cause := range All {
		f := cause.Rule(v)
		if f == nil {
			continue
		}
		f.Cause = cause.ID
		if f.Advice == "" {
			f.Advice = cause.Advice
		}
		f.Evidence = tidy(f.Evidence, len(c.Timeline))
		if len(v.Passed) > 0 {
			f.Summary = fmt.Sprintf("In %s (pid %d), whose end it passed on: %s", plain(v.Name, 40), v.PID, f.Summary)
			if !cause.Weak {
				f.Title += " in " + plain(v.Name, 40)
			}
		}
		found[cause.ID] = true
		all = append(all, ranked{f, cause, i, v.latest(f.Evidence)})
	}
	for _, r := range rank(all) {
		c.Findings = append(c.Findings, *r.f)
	}
	c.Symptoms = slices.DeleteFunc(symptoms(v), func(s evidence.Symptom) bool {
		return s.Kind == "no-output" && found[stdioReplaced.ID] // the finding tells it
	})
	for i := range c.Symptoms {
		c.Symptoms[i].Evidence = tidy(c.Symptoms[i].Evidence, len(c.Timeline))
	}
	if !v.dead() || v.How == endNotStarted {
		return // nothing has come to its end, or nothing had begun
	}
	for _, cause := range All {
		if found[cause.ID] || cause.Absent == nil {
			continue
		}
		if because := cause.Absent(v); because != "" {
			c.RuledOut = append(c.RuledOut, evidence.RuledOut{Cause: cause.ID, Because: because})
		}
	}
}

type ranked struct {
	f     *evidence.Finding
	cause *Cause
	order int
	near  int64 // boot time of its latest evidence
}

// rank drops what says nothing of its own and puts what explains another before it; then by
// confidence, then by nearness to the death.
func rank(all []ranked) []ranked {
	strong := slices.ContainsFunc(all, func(r ranked) bool { return !r.cause.Weak })
	kept := all[:0:0]
	for _, r := range all {
		swallowed := r.cause.Weak && strong
		for _, s := range all {
			swallowed = swallowed || slices.Contains(s.cause.Swallows, r.cause.ID)
		}
		if !swallowed {
			kept = append(kept, r)
		}
	}
	slices.SortStableFunc(kept, func(a, b ranked) int {
		return cmp.Or(-cmp.Compare(a.f.Confidence.Rank(), b.f.Confidence.Rank()),
			-cmp.Compare(a.near, b.near), cmp.Compare(a.order, b.order))
	})
	// Explanations form no cycle (a test sees to it), so that this ends; the bound is a belt.
	for range len(kept) * len(kept) {
		moved := false
		for i := range kept {
			for j := i + 1; j < len(kept) && !moved; j++ {
				if slices.Contains(kept[j].cause.Explains, kept[i].cause.ID) {
					r := kept[j]
					kept = slices.Insert(slices.Delete(kept, j, j+1), i, r)
					moved = true
				}
			}
		}
		if !moved {
			break
		}
	}
	return kept
}

// tidy sorts indexes and drops doubles and what is outside the timeline.
func tidy(at []int, n int) []int {
	out := slices.DeleteFunc(slices.Clone(at), func(i int) bool { return i < 0 || i >= n })
	slices.Sort(out)
	return slices.Compact(out)
}

// latest is the boot time of the latest of the observations.
func (v *View) latest(at []int) int64 {
	t := int64(math.MinInt64)
	for _, i := range at {
		t = max(t, v.Case.Timeline[i].BootNanos)
	}
	return t
}
