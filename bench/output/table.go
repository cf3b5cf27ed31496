package main

import (
	"fmt"
	"slices"
	"strings"
)

func (e *eval) missTable(names []string, rows []*result) {
	w := e.out
	fmt.Fprint(w, "\n### Missed, by length in bytes\n\n| piece of | files |")
	for _, n := range lengths {
		fmt.Fprintf(w, " %d |", n)
	}
	fmt.Fprint(w, " 64 and more | not counted: text |\n| --- | ---: |", strings.Repeat(" ---: |", len(lengths)+2), "\n")
	var tried, missed [6]int
	beyond, text := 0, 0
	for i, r := range rows {
		fmt.Fprintf(w, "| %s | %d |", names[i], r.sources)
		mine := 0
		for l := range lengths {
			tried[l], missed[l] = tried[l]+r.tried[l], missed[l]+r.missed[l]
			beyond += r.beyond[l]
			mine += r.text[l]
			fmt.Fprintf(w, " %s |", percent(r.missed[l], r.tried[l]))
		}
		text += mine
		fmt.Fprintf(w, " %s | %d |\n", r.share(), mine)
	}
	fmt.Fprint(w, "| **all** | |")
	t, m := 0, 0
	for l, n := range lengths {
		fmt.Fprintf(w, " %s |", percent(missed[l], tried[l]))
		if n >= 64 {
			t, m = t+tried[l], m+missed[l]
		}
	}
	fmt.Fprintf(w, " **%.3f%% (%d of %d)** | %d |\n", 100*float64(m)/float64(max(t, 1)), m, t, text)
	fmt.Fprintf(w, "\nSpans that begin more than 8 bytes before the piece, or end more than 16 behind it, or lie elsewhere in the log: %d.\n", beyond)
}

func percent(n, of int) string {
	if of == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(of))
}

// labelTable is what the pieces of 64 bytes and more were taken for.
func (e *eval) labelTable(names []string, rows []*result) {
	w := e.out
	var labels []string
	for _, r := range rows {
		for l := range r.labels {
			if !slices.Contains(labels, l) {
				labels = append(labels, l)
			}
		}
	}
	slices.Sort(labels)
	labels = slices.DeleteFunc(labels, func(l string) bool { return slices.Contains(general, l) })
	fmt.Fprint(w, "\n### What pieces of 64 bytes and more look like\n\nRows: what they are. Columns: verdict, in percent of the row. Bold: a wrong name.\n\n| piece of | text |")
	for _, l := range append(slices.Clone(general), labels...) {
		fmt.Fprintf(w, " %s |", l)
	}
	fmt.Fprint(w, " wrong name |\n| --- |", strings.Repeat(" ---: |", len(labels)+len(general)+2), "\n")
	wrongAll, sumAll := 0, 0
	for i, r := range rows {
		sum, wrong, missed := 0, 0, 0
		for l, n := range lengths {
			if n >= 64 {
				sum, missed = sum+r.tried[l], missed+r.missed[l]
			}
		}
		fmt.Fprintf(w, "| %s | %s |", names[i], share(missed, sum))
		for _, l := range append(slices.Clone(general), labels...) {
			s := share(r.labels[l], sum)
			if r.wrong[l] > 0 {
				wrong += r.wrong[l]
				s = "**" + s + "**"
			}
			fmt.Fprintf(w, " %s |", s)
		}
		fmt.Fprintf(w, " %s |\n", share(wrong, sum))
		wrongAll, sumAll = wrongAll+wrong, sumAll+sum
	}
	fmt.Fprintf(w, "\nA wrong name: %d of %d (%.2f%%).\n", wrongAll, sumAll, 100*float64(wrongAll)/float64(max(1, sumAll)))
}

func share(n, of int) string {
	switch {
	case n == 0:
		return ""
	case 100*n < of/10:
		return "<0.1"
	}
	return fmt.Sprintf("%.1f", 100*float64(n)/float64(of))
}
