package report

import (
	"bufio"
	"io"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// List writes a line for each case: when (in the local time of zone; nil: UTC), id, and what it is.
func List(w io.Writer, cases []*evidence.Case, o Options, zone *time.Location) error {
	if zone == nil {
		zone = time.UTC
	}
	p := &page{bufio.NewWriter(w), o.width(), o.Color}
	id := len("ID")
	for _, c := range cases {
		id = max(id, min(cells(clean(c.ID)), 26))
	}
	form := "2006-01-02 15:04:05"
	if p.width < 120 {
		form = "01-02 15:04"
	}
	if len(cases) > 0 {
		p.line(pad("WHEN", len(form))+"  "+pad("ID", id)+"  WHAT", bold, -1)
	}
	for _, c := range cases {
		when := c.OpenedAt.In(zone).Format(form)
		p.line(pad(when, len(form))+"  "+pad(cut(clean(c.ID), id), id)+"  "+Headline(c), dim, len(when))
	}
	return p.w.Flush()
}
