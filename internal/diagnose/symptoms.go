package diagnose

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// symptoms are what a user saw, apart from why.
func symptoms(v *View) []evidence.Symptom {
	var out []evidence.Symptom
	for _, f := range []func(*View) *evidence.Symptom{garbledOutput, tornOutput, foreignEncoding, noOutput, slowDeath} {
		if s := f(v); s != nil {
			out = append(out, *s)
		}
	}
	return out
}

func garbledOutput(v *View) *evidence.Symptom {
	var ev []int
	var sum int64
	var first *evidence.Garbled
	firstAt := 0
	for i, g := range ofPID[*evidence.Garbled](v, 0) {
		if first == nil {
			first, firstAt = g, i
		}
		if g.Length > 0 {
			sum += min(g.Length, 1<<50)
		}
		if len(ev) < 4 {
			ev = append(ev, i)
		}
	}
	if first == nil {
		return nil
	}
	sum = max(sum, v.Case.Counters[evidence.CountGarbled])
	s := fmt.Sprintf("%s of its output are no text", bytesOf(sum))
	for _, c := range v.Case.Coverage {
		if c.Source == "output" && c.Lost > 0 {
			s += fmt.Sprintf(" (%s more went by too fast to be looked at)", bytesOf(min(c.Lost, 1<<50)))
		}
	}
	s += ", the first on " + plain(first.Stream, 20)
	if gap := v.End - v.boot(firstAt); v.dead() && gap >= 0 && v.boot(firstAt) != 0 {
		s += fmt.Sprintf(" %s before the end", span(gap))
	}
	if first.LooksLike != "" {
		s += "; they look like " + plain(first.LooksLike, 60)
	}
	s += v.writerWords(first)
	return &evidence.Symptom{Kind: "garbled-output", Summary: s + ".", Evidence: ev}
}

// foreignEncoding is honest text that a reader of UTF-8 sees as garbage.
func foreignEncoding(v *View) *evidence.Symptom {
	for i, d := range ofPID[*evidence.Foreign](v, 0) {
		if d.Encoding == "" {
			continue
		}
		return &evidence.Symptom{Kind: "foreign-encoding", Evidence: []int{i}, Summary: fmt.Sprintf(
			"Its %s is text in %s, not UTF-8 (%s of it): what shows it as UTF-8 shows wrong characters.", plain(d.Stream, 20), plain(d.Encoding, 30), bytesOf(d.Bytes))}
	}
	return nil
}

func noOutput(v *View) *evidence.Symptom {
	for _, r := range v.accidents() {
		if r.FD == 0 {
			continue
		}
		return &evidence.Symptom{Kind: "no-output", Evidence: []int{r.at, r.closed},
			Summary: fmt.Sprintf("Its %s was closed and its number given to %s %s before the end: what it printed from then on went there.", stream(r.FD), kindWords(r.Is), span(max(0, v.End-v.boot(r.at))))}
	}
	o := v.Case.LastOutput
	switch v.How {
	case endError, endFault, endAbort: // of others nobody expects last words
	default:
		return nil
	}
	if o == nil || !v.Case.Covered("output") {
		return nil
	}
	if o.StdoutBytes != 0 || o.StderrBytes != 0 || len(o.Stdout) != 0 || len(o.Stderr) != 0 || v.Case.Counters[evidence.CountOutput] != 0 {
		return nil
	}
	return &evidence.Symptom{Kind: "no-output", Summary: "It wrote nothing at all to standard output and error."}
}

// slowDeath is an error that was refused again and again for long before the end.
func slowDeath(v *View) *evidence.Symptom {
	if !v.dead() {
		return nil
	}
	type streak struct {
		what string
		seen
	}
	var all []streak
	put := func(what string, i int, count int64) {
		k := -1
		for j := range all {
			if all[j].what == what {
				k = j
			}
		}
		if k < 0 {
			all, k = append(all, streak{what: what}), len(all)
		}
		n := max(all[k].count, count)
		all[k].add(v, i, 0)
		all[k].count = n
	}
	for i, o := range v.Case.Timeline {
		if o.PID != v.PID {
			continue
		}
		switch d := o.Detail.(type) {
		case *evidence.FDRefused:
			put(fmt.Sprintf("%s was refused a descriptor (%s)", plain(d.Call, 30), d.Errno), i, d.Count)
		case *evidence.InotifyRefused:
			put(fmt.Sprintf("%s was refused (%s)", plain(d.Call, 30), d.Errno), i, d.Count)
		case *evidence.AddressRefused:
			put(fmt.Sprintf("%s was refused its address (%s)", plain(d.Call, 30), d.Errno), i, d.Count)
		case *evidence.WriteRefused:
			put(fmt.Sprintf("writes to %s were refused (%s)", stream(d.FD), d.Errno), i, d.Count)
		}
	}
	var worst *streak
	for i := range all {
		s := &all[i]
		if s.count >= 10 && v.End-s.first >= 10*second && v.End-s.last < window && (worst == nil || s.count > worst.count) {
			worst = s
		}
	}
	if worst == nil {
		return nil
	}
	return &evidence.Symptom{Kind: "slow-death", Evidence: []int{worst.evidence[0], worst.evidence[len(worst.evidence)-1]},
		Summary: fmt.Sprintf("For %s before the end %s, %s.", span(v.End-worst.first), worst.what, times(worst.count))}
}
