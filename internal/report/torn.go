package report

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// tornLine says of a line of output how it is torn.
func tornLine(d *evidence.Torn) string {
	s := fmt.Sprintf("a line of %s is torn (%s)", clean(d.Stream), clean(d.How))
	if d.Preview != "" {
		s += ": " + middle(clean(d.Preview), 70)
	}
	if a, b := d.Before, d.After; a != nil && b != nil && a.TID != b.TID {
		s += fmt.Sprintf(", by %s (%d) and %s (%d)", orProcess(clean(a.Comm)), a.TID, orProcess(clean(b.Comm)), b.TID)
	}
	if d.Count > 1 {
		s += fmt.Sprintf(" (%d of %d lines up to there)", d.Count, d.Lines)
	}
	return s
}
