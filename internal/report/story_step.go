package report

import "github.com/descry-dev/descry/internal/evidence"

// step says a climb or a descent on the ladder.
func step(d *evidence.Step) string {
	who, more := "", "system calls too"
	if d.Stream != "" {
		who, more = clean(d.Stream)+" ", "stacks of its next writes, too"
	}
	what := who + "looked at closer from here on: " + more
	if d.Step == 0 {
		what = who + "looked at no closer from here on"
	}
	if d.Error != "" {
		return who + "could not be looked at closer (" + middle(clean(d.Why), 60) + "): " + middle(clean(d.Error), 60)
	}
	if d.Why != "" {
		what += " (" + middle(clean(d.Why), 80) + ")"
	}
	return what
}
