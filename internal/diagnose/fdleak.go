package diagnose

import (
	"fmt"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

var fdLeak = Cause{
	ID:    "fd-leak",
	Title: "Descriptors grow without bound",
	Why: "Something is opened again and again and not closed: connections that the peer has closed, files on an error path, event loops and clients made for each request. " +
		"The process dies when it reaches its limit (fd-limit), or, if it uses select(), when it passes 1023 (select-overflow).",
	Seen: "This is a warning, made while the process lives: sweeps show steady growth, and a forecast says when a limit is reached. Certain: growth is steady and one group of alike descriptors dominates. " +
		"Likely: growth alone. In a death the leak is told as the reason within fd-limit or select-overflow, not as a cause of its own.",
	Advice: "Find what is opened and never closed; a higher limit only makes it die later.",
	Rule:   ruleFDLeak,
	Absent: absentFDLeak,
}

func ruleFDLeak(v *View) *evidence.Finding {
	h, at := v.forecast(evidence.LimitNoFile, evidence.LimitFDSetSize)
	if h == nil {
		return nil
	}
	g := v.grown(0)
	conf := evidence.Likely
	if g.shape == "leak" && h.Group != nil {
		conf = evidence.Certain
	}
	sum := fmt.Sprintf("Descriptors grow %s: %d of %d, in about %s it is full.", rate(h.PerSecond), h.Open, h.Max, span(int64(min(h.Seconds, 1e9)*float64(time.Second))))
	if h.Limit == "fd_setsize" {
		sum = fmt.Sprintf("Descriptors grow %s and the program uses select(), which overflows at %d: it is at %d, in about %s it gets there.",
			rate(h.PerSecond), h.Max, h.Open, span(int64(min(h.Seconds, 1e9)*float64(time.Second))))
	}
	if h.Group != nil {
		sum += fmt.Sprintf(" %d are %s.", h.Group.Count, plain(h.Group.What(), 90))
	}
	return &evidence.Finding{Confidence: conf, Title: "a descriptor leak", Summary: sum, Evidence: append(g.evidence, at),
		Advice: sentences(groupAdvice(h.Group), "A higher limit only makes it die later.")}
}

func absentFDLeak(v *View) string {
	if !v.dead() || !v.Case.Covered("sample") || len(v.samples) < 10 || v.grown(0).shape != "" {
		return ""
	}
	first, last := v.samples[0], v.samples[len(v.samples)-1]
	if last.boot-first.boot < 10*second || last.Open > first.Open+10 {
		return ""
	}
	return fmt.Sprintf("%d descriptors at first, %d at last, %s apart", first.Open, last.Open, span(last.boot-first.boot))
}
