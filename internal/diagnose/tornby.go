package diagnose

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// atomic is how many bytes a write to a pipe may have at most to be sure to stay in one piece (pipe(7), PIPE_BUF).
const atomic = 4096

// tornBy is the torn line whose both writers are known, where there is one: of two threads, and sure, if
// there is such a one.
func tornBy(all []*evidence.Torn) (best *evidence.Torn) {
	rank := 0
	for _, d := range all {
		if d.Before == nil || d.After == nil {
			continue
		}
		r := 1
		if d.Before.TID != d.After.TID {
			if r = 2; d.Before.Exact && d.After.Exact {
				r = 3
			}
		}
		if r > rank {
			best, rank = d, r
		}
	}
	return best
}

// tornByWords says who wrote a torn line, as a sentence behind others.
func tornByWords(d *evidence.Torn) string {
	a, b := d.Before, d.After
	by := "was written by"
	if !a.Exact || !b.Exact {
		by = "was most likely written by"
	}
	name := func(w *evidence.Writer) string {
		if w.Comm == "" {
			return "a program"
		}
		return plain(w.Comm, 20)
	}
	if a.TID == b.TID {
		if d.How == "cut short" { // its end is missing: nobody's interleaving
			return ""
		}
		return fmt.Sprintf(" Both parts of such a line were written by one thread, of %s (%d).", name(a), a.TID)
	}
	s := ""
	if a.PID == b.PID {
		s = fmt.Sprintf(" Such a line %s two threads of %s (%d and %d)", by, name(a), a.TID, b.TID)
	} else {
		s = fmt.Sprintf(" Such a line %s two processes, %s (%d) and %s (%d)", by, name(a), a.PID, name(b), b.PID)
	}
	n, m := d.BeforeWrite, d.AfterWrite
	switch {
	case n > 0 && m > 0:
		s += fmt.Sprintf(", in pieces of %s and %s", bytesOf(n), bytesOf(m))
	case n > 0 || m > 0:
		s += fmt.Sprintf(", one of them in a piece of %s", bytesOf(n+m))
	}
	s += "."
	if n > 0 && m > 0 && n%atomic == 0 && m%atomic == 0 {
		s += " These are buffers that were handed on when they were full, wherever the line was then."
	}
	if max(n, m) > atomic && a.FDKind == evidence.FDPipe {
		s += fmt.Sprintf(" Writes of more than %d bytes to a pipe with several writers are not atomic.", atomic)
	}
	return s
}
