package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/descry-dev/descry/bench/forecast/trace"
)

//go:embed forecast.md
var text string

// slowFrom is how long a leak must take, from its beginning to the limit, for a warning a minute before to be
// asked for: seconds.
const slowFrom = 600

// asked is how long before the end that warning must come, seconds.
const asked = 60

func (r *result) slow() bool { return r.end >= 0 && r.end-r.from >= slowFrom }

// table writes docs/forecast.md.
func table(w io.Writer, rs []*result) error {
	slices.SortStableFunc(rs, func(a, b *result) int { return cmp.Compare(a.Name, b.Name) })
	fill := strings.NewReplacer("@@SUMMARY@@", summary(rs), "@@LEAKS@@", leakRows(rs), "@@HONEST@@", honestRows(rs), "@@COVER@@", coverage(rs))
	_, err := io.WriteString(w, fill.Replace(text))
	return err
}

// ways are what is compared: descry, and the rules.
func ways() (names []string) {
	names = []string{"descry"}
	for _, r := range rules {
		hold := ""
		if r.hold > 0 {
			hold = fmt.Sprintf(", for: %dm", r.hold/60)
		}
		names = append(names, fmt.Sprintf("predict_linear(x[%s], 3600), scraped each %d s%s", span(r.window), r.scrape, hold))
	}
	return names
}

func (r *result) way(i int) *verdict {
	if i == 0 {
		return &r.descry
	}
	return &r.rules[i-1]
}

func summary(rs []*result) string {
	var b strings.Builder
	b.WriteString("| way | half | leaks of ten minutes or more, warned in time | median of the warning before the end | withdrawn too early | honest programs with an alarm | alarms of these |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for i, name := range ways() {
		for _, held := range []bool{false, true} {
			slow, inTime, gone, honest, wrong, alarms := 0, 0, 0, 0, 0, 0
			var leads []int
			for _, r := range rs {
				v := r.way(i)
				switch {
				case r.heldOut != held:
				case r.Kind == trace.Honest:
					honest++
					alarms += v.alarms
					if v.alarms > 0 {
						wrong++
					}
				case r.slow():
					slow++
					gone += v.gone
					if v.lead >= asked {
						inTime++
					}
					if v.lead >= 0 {
						leads = append(leads, v.lead)
					}
				}
			}
			half := "tuned on"
			if held {
				half = "held out"
			}
			median := "–"
			if len(leads) > 0 {
				slices.Sort(leads)
				median = span(leads[len(leads)/2])
			}
			fmt.Fprintf(&b, "| %s | %s | %d of %d | %s | %d | %d of %d | %d |\n", name, half, inTime, slow, median, gone, wrong, honest, alarms)
		}
	}
	return b.String()
}

func (r *result) half() string {
	if r.heldOut {
		return "held out"
	}
	return "tuned on"
}

func (r *result) from1() string {
	if strings.HasPrefix(r.Recorded, "made") {
		return r.Recorded
	}
	what := r.Recorded
	if i := strings.Index(what, ", Linux "); i >= 0 {
		if _, after, ok := strings.Cut(what[i+2:], ", "); ok {
			what = after
		}
	}
	for _, end := range []string{" OpenJDK Runtime", " (cli)", " sha=", " - https", " built for", " (build", " for debian", " linux/"} {
		what, _, _ = strings.Cut(what, end)
	}
	return strings.ReplaceAll(what, "This is ", "")
}

// shown are the rules with columns of their own: those at 15 s.
const shown = 4

func leakRows(rs []*result) string {
	var b strings.Builder
	b.WriteString("| leak | half | limit | it takes | descry warns before the end | and says | withdrawn | [1h], for 5m | [1h] | [10m], for 5m | [10m] |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rs {
		if r.Kind != trace.Leak {
			continue
		}
		takes, limit, said := "not reached while it was recorded", "", "–"
		if r.end >= 0 {
			takes = span(r.end - r.from)
			limit = fmt.Sprintf("%s %s", r.truth.Quantity, units(r.truth.Max, r.truth.Unit, r.truth.Quantity))
		}
		if r.said != nil {
			in := "outside"
			if left := float64(r.end - r.said.from); r.said.low <= left && left <= r.said.high {
				in = "within"
			}
			said = fmt.Sprintf("%s to %s at %.0f%%: %s", span(int(r.said.low)), span(int(r.said.high)), r.said.usage*100, in)
		}
		fmt.Fprintf(&b, "| **%s**: %s (%s) | %s | %s | %s | %s | %s | %d |", r.Name, r.What, r.from1(), r.half(), limit, takes, r.lead(0), said, r.descry.gone)
		for i := range shown {
			fmt.Fprintf(&b, " %s |", r.lead(i+1))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// lead is how long before the end a way warned; what it said at the wrong time is added.
func (r *result) lead(i int) string {
	v := r.way(i)
	s := "no"
	if v.lead >= 0 {
		s = span(v.lead)
	}
	if r.end < 0 {
		s = "–"
	}
	if i > 0 && v.gone > 0 {
		s += fmt.Sprintf(", withdrawn %d×", v.gone)
	}
	if v.alarms > 0 && r.end >= 0 {
		s += fmt.Sprintf(", and %d wrong", v.alarms)
	}
	return s
}

func honestRows(rs []*result) string {
	var b strings.Builder
	b.WriteString("| program | half | series | descry | [1h], for 5m | [1h] | [10m], for 5m | [10m] |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, kind := range []string{trace.Honest, trace.Stops} {
		for _, r := range rs {
			if r.Kind != kind {
				continue
			}
			fmt.Fprintf(&b, "| **%s**: %s (%s) | %s | %d |", r.Name, r.What, r.from1(), r.half(), r.played)
			for i := range shown + 1 {
				fmt.Fprintf(&b, " %d |", r.way(i).alarms)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// coverage says how often the end was between the bounds.
func coverage(rs []*result) string {
	var b strings.Builder
	b.WriteString("| half | warnings with the end between the bounds | minutes with a forecast, the end between its bounds | of these without made-leak-accelerating |\n| --- | --- | --- | --- |\n")
	for _, held := range []bool{false, true} {
		warnings, in, minutes, covered, m2, c2 := 0, 0, 0, 0, 0, 0
		for _, r := range rs {
			if r.heldOut != held || r.end < 0 {
				continue
			}
			if r.said != nil {
				warnings++
				if left := float64(r.end - r.said.from); r.said.low <= left && left <= r.said.high {
					in++
				}
			}
			minutes += r.forecast
			covered += r.covered
			if r.Name != "made-leak-accelerating" {
				m2 += r.forecast
				c2 += r.covered
			}
		}
		half := "tuned on"
		if held {
			half = "held out"
		}
		fmt.Fprintf(&b, "| %s | %d of %d | %d of %d (%s) | %s |\n", half, in, warnings, covered, minutes, percent(covered, minutes), percent(c2, m2))
	}
	return b.String()
}

func percent(n, of int) string {
	if of == 0 {
		return "–"
	}
	return fmt.Sprintf("%d%%", (100*n+of/2)/of)
}

// span is "45 s", "12 min", "3.4 h".
func span(seconds int) string {
	switch {
	case seconds < 120:
		return fmt.Sprintf("%d s", seconds)
	case seconds == 3600:
		return "1h"
	case seconds == 600:
		return "10m"
	case seconds < 6000:
		return fmt.Sprintf("%.1f min", float64(seconds)/60)
	}
	return fmt.Sprintf("%.1f h", float64(seconds)/3600)
}

func units(n, unit int64, quantity string) string {
	if quantity == trace.Highest {
		return "1024"
	}
	if unit > 1 {
		return fmt.Sprintf("%d MiB", n*unit>>20)
	}
	return fmt.Sprint(n)
}
