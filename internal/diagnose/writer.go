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
	s += whoWrote(w)
	if f := ownFrame(w.Trace); f != nil && f.Own {
		s += ", in " + frameText(f)
	}
	return s
}

// whoWrote is "thread 4243 of cart, with write to descriptor 2".
func whoWrote(w *evidence.Writer) string {
	comm := plain(w.Comm, 20)
	if comm == "" {
		comm = "a program"
	}
	s := fmt.Sprintf("%s (pid %d", comm, w.PID)
	if w.TID != w.PID {
		s += fmt.Sprintf(", thread %d", w.TID)
	}
	return s + fmt.Sprintf(") with %s to descriptor %d", plain(w.Call, 20), w.FD)
}
