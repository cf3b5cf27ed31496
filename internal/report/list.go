package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
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
	alike := alikeBefore(cases)
	for i, c := range cases {
		when := c.OpenedAt.In(zone).Format(form)
		s := pad(when, len(form)) + "  " + pad(cut(clean(c.ID), id), id) + "  " + Headline(c)
		if a := alike[i]; a.count > 0 {
			s += fmt.Sprintf(", %s alike since %s", ordinal(a.count+1), a.first.In(zone).Format(form))
		}
		p.line(s, dim, len(when))
	}
	return p.w.Flush()
}

// earlier are the cases before one whose crashes were alike.
type earlier struct {
	count int
	first time.Time
}

// alikeBefore counts them, by the fingerprints of the cores.
func alikeBefore(cases []*evidence.Case) []earlier {
	out := make([]earlier, len(cases))
	seen := map[string]earlier{}
	order := make([]int, len(cases))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cases[a].OpenedAt.Compare(cases[b].OpenedAt) })
	for _, i := range order {
		if cases[i].Core == nil || cases[i].Core.Fingerprint == "" {
			continue
		}
		e := seen[cases[i].Core.Fingerprint]
		if out[i] = e; e.count == 0 {
			e.first = cases[i].OpenedAt
		}
		e.count++
		seen[cases[i].Core.Fingerprint] = e
	}
	return out
}

func ordinal(n int) string {
	switch {
	case n%100/10 == 1:
	case n%10 == 1:
		return fmt.Sprintf("%dst", n)
	case n%10 == 2:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}
