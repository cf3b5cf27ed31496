package diagnose

import (
	"fmt"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// cutWrites are writes to standard output and error that were cut short or refused.
type cutWrites struct {
	writes, lost int64
	full         bool // because what it goes to was full
	evidence     []int
}

func (v *View) cutWrites() (c cutWrites) {
	type key struct {
		pid, fd int32
		errno   evidence.Errno
	}
	n := map[key][2]int64{}
	for i, o := range v.Case.Timeline {
		var k key
		var val [2]int64
		switch d := o.Detail.(type) {
		case *evidence.WriteShort:
			k, val = key{o.PID, d.FD, 0}, [2]int64{d.Count, d.Lost}
			c.full = c.full || d.FDKind == evidence.FDPipe
		case *evidence.WriteRefused:
			if d.Errno != evidence.EAGAIN && d.Errno != evidence.ENOSPC {
				continue
			}
			k, val = key{o.PID, d.FD, d.Errno}, [2]int64{d.Count, d.Lost}
			c.full = c.full || d.Errno == evidence.EAGAIN
		default:
			continue
		}
		old := n[k]
		n[k] = [2]int64{max(old[0], val[0]), max(old[1], val[1])}
		if len(c.evidence) < 4 {
			c.evidence = append(c.evidence, i)
		}
	}
	for _, x := range n {
		c.writes, c.lost = c.writes+x[0], c.lost+x[1]
	}
	return c
}

// tornOutput are lines that were seen to be torn, and those that were cut because a write was short or refused.
func tornOutput(v *View) *evidence.Symptom {
	cut := v.cutWrites()
	var ev []int
	var first *evidence.Torn
	firstAt := 0
	how := map[string]bool{}
	var all []*evidence.Torn
	count := map[string]int64{}
	for i, d := range ofPID[*evidence.Torn](v, 0) {
		if first == nil {
			first, firstAt = d, i
		}
		how[d.How] = true
		all = append(all, d)
		count[d.Stream] = max(count[d.Stream], d.Count)
		if len(ev) < 4 {
			ev = append(ev, i)
		}
	}
	if first == nil {
		if cut.writes == 0 || cut.lost <= 0 {
			return nil
		}
		return &evidence.Symptom{Kind: "torn-output", Evidence: cut.evidence, Summary: fmt.Sprintf("%s; up to %s are missing from it.", cut.words("its output"), bytesOf(cut.lost))}
	}
	var seen int64
	for _, n := range count {
		seen += n
	}
	torn := max(seen, v.Case.Counters[evidence.CountTorn])
	s := "A line of its output is torn"
	if torn > 1 {
		s = fmt.Sprintf("%d lines of its output are torn", torn)
	}
	if lines := v.Case.Counters[evidence.CountLines]; lines >= torn && lines > 1 {
		are := "are"
		if torn == 1 {
			are = "is"
		}
		s = fmt.Sprintf("%d of %d lines of its output %s torn", torn, lines, are)
	}
	var ways []string
	if how["interleaved"] {
		ways = append(ways, "lines of several writers stand in one")
	}
	if how["glued"] {
		ways = append(ways, "two lines stand in one")
	}
	if how["cut short"] {
		ways = append(ways, "lines end before their end")
	}
	if len(ways) > 0 {
		s += ": " + strings.Join(ways, ", ")
	}
	s += ". The first was on " + plain(first.Stream, 20)
	if gap := v.End - v.boot(firstAt); v.dead() && gap >= 0 && v.boot(firstAt) != 0 {
		s += fmt.Sprintf(" %s before the end", span(gap))
	}
	if first.Preview != "" {
		s += ": " + quoteLine(first.Preview)
	}
	s += "."
	if d := tornBy(all); d != nil {
		s += tornByWords(d)
	}
	if cut.writes > 0 {
		ev = append(ev, cut.evidence[0])
		s += " " + cut.words("it")
		if cut.full {
			s += ": what it goes to was full and did not wait"
		}
		if cut.lost > 0 {
			s += fmt.Sprintf("; up to %s are missing from it", bytesOf(cut.lost))
		}
		s += "."
	}
	return &evidence.Symptom{Kind: "torn-output", Summary: s, Evidence: ev}
}

// words say how many writes were cut.
func (c *cutWrites) words(to string) string {
	if c.writes == 1 {
		return "A write to " + to + " was cut short or refused"
	}
	return fmt.Sprintf("%d writes to %s were cut short or refused", c.writes, to)
}
