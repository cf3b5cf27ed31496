package diagnose

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// writerWords says who wrote the first garbage, as a clause behind others.
func (v *View) writerWords(g *evidence.Garbled) string {
	w := g.Writer
	if w == nil {
		if g.Unseen != "" {
			return "; who wrote them was not seen (" + plain(g.Unseen, 120) + ")"
		}
		return ""
	}
	s := "; the first of it was written by "
	if !w.Exact {
		s = "; the first of it was most likely written by "
	}
	switch g.By {
	case evidence.ByAlone:
		return s + fmt.Sprintf("%s (pid %d), which alone had that open, as descriptor %d", orProgram(w.Comm), w.PID, w.FD)
	case evidence.ByRing:
		return s + fmt.Sprintf("%s (pid %d) through its io_uring, whose writes are not seen", orProgram(w.Comm), w.PID)
	}
	s += whoWrote(w)
	if f := ownFrame(w.Trace); f != nil && f.Own {
		s += ", in " + frameText(f)
	}
	return s
}

// whoWrote is "thread 4243 of cart, with write to descriptor 2".
func whoWrote(w *evidence.Writer) string {
	s := fmt.Sprintf("%s (pid %d", orProgram(w.Comm), w.PID)
	if w.TID != w.PID {
		s += fmt.Sprintf(", thread %d", w.TID)
	}
	return s + fmt.Sprintf(") with %s to descriptor %d", plain(w.Call, 20), w.FD)
}

func orProgram(comm string) string {
	if comm = plain(comm, 20); comm == "" {
		return "a program"
	}
	return comm
}
