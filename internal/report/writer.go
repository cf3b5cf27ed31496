package report

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// writtenBy says who wrote a piece of garbage: ", written by cart (thread 4243), write to descriptor 2, in
// flush_log+0x41 in cart".
func writtenBy(d *evidence.Garbled) string {
	w := d.Writer
	if w == nil {
		return ""
	}
	s := ", written by " + orProcess(clean(w.Comm))
	if !w.Exact {
		s = ", most likely written by " + orProcess(clean(w.Comm))
	}
	if w.TID != w.PID {
		s += fmt.Sprintf(" (pid %d, thread %d)", w.PID, w.TID)
	} else {
		s += fmt.Sprintf(" (pid %d)", w.PID)
	}
	switch d.By {
	case evidence.ByAlone:
		return s + fmt.Sprintf(", which alone had it open, as descriptor %d", w.FD)
	case evidence.ByRing:
		return s + fmt.Sprintf(" through its io_uring, whose writes are not seen, to descriptor %d", w.FD)
	}
	switch d.Others {
	case 0:
	case 1:
		s += " and another thread"
	default:
		s += fmt.Sprintf(" and %d other threads", d.Others)
	}
	s += fmt.Sprintf(", %s to descriptor %d", clean(w.Call), w.FD)
	if w.Was != "" {
		s += ", which had been " + middle(clean(join(string(w.Was), w.WasPeer, w.WasPath)), 50)
	}
	return s + in(w.Trace)
}

func orProcess(comm string) string {
	if comm == "" {
		return "a process"
	}
	return comm
}

// wentAstray says what was written to a standard descriptor that is something else.
func wentAstray(d *evidence.Written) string {
	s := fmt.Sprintf("%s written to descriptor %d, now %s", plural(d.Bytes, "byte"), d.FD, middle(clean(join(string(d.FDKind), d.Peer, d.Path)), 50))
	if !d.Odd && len(d.Data) > 0 {
		s += ": " + quoted(d.Data)
	}
	if d.Count > 1 {
		s += ", " + times(d.Count)
	}
	return s + in(d.Trace)
}

// quoted is the first line of what was written.
func quoted(b []byte) string {
	for i, c := range b {
		if c == '\n' {
			b = b[:i]
			break
		}
	}
	return `"` + middle(clean(string(b)), 40) + `"`
}
