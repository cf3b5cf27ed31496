package main

import (
	"fmt"
	"unicode/utf8"
)

// oddSteps are the least bytes of each column of the table of what is missed by how many bytes are no text.
var oddSteps = [6]int{0, 1, 2, 3, 5, 9}

// odd is how many bytes of p are no text: controls that no text has, and what is no part of a character of UTF-8.
func odd(p []byte) (n int) {
	for i := 0; i < len(p); {
		r, size := utf8.DecodeRune(p[i:])
		switch {
		case r == utf8.RuneError && size == 1, r < 0x07, r > 0x0f && r < 0x20 && r != 0x1b, r == 0x7f:
			n++
		}
		i += size
	}
	return n
}

func oddStep(p []byte) int {
	k, n := 0, odd(p)
	for k+1 < len(oddSteps) && n >= oddSteps[k+1] {
		k++
	}
	return k
}

// oddTable says of the pieces of 64 bytes and more how many are missed by how many of their bytes are no text at all.
func (e *eval) oddTable(names []string, rows []*result) {
	fmt.Fprintf(e.out, "\n### Missed of 64 bytes and more, by bytes that are no text\n\n| piece of |")
	for k := 1; k < len(oddSteps); k++ {
		switch from := oddSteps[k]; {
		case k+1 == len(oddSteps):
			fmt.Fprintf(e.out, " %d and more |", from)
		case oddSteps[k+1] == from+1:
			fmt.Fprintf(e.out, " %d |", from)
		default:
			fmt.Fprintf(e.out, " %d to %d |", from, oddSteps[k+1]-1)
		}
	}
	fmt.Fprint(e.out, "\n| --- |")
	for range oddSteps[1:] {
		fmt.Fprint(e.out, " ---: |")
	}
	fmt.Fprintln(e.out)
	var all result
	row := func(name, bold string, r *result) {
		fmt.Fprintf(e.out, "| %s%s%s |", bold, name, bold)
		for k := 1; k < len(oddSteps); k++ {
			if r.oddTried[k] == 0 {
				fmt.Fprint(e.out, " |")
				continue
			}
			fmt.Fprintf(e.out, " %.1f%% (%d of %d) |", 100*float64(r.oddMissed[k])/float64(r.oddTried[k]), r.oddMissed[k], r.oddTried[k])
		}
		fmt.Fprintln(e.out)
	}
	for i, r := range rows {
		for k := range oddSteps {
			all.oddTried[k] += r.oddTried[k]
			all.oddMissed[k] += r.oddMissed[k]
		}
		if hasMissed(r) {
			row(names[i], "", r)
		}
	}
	row("all", "**", &all)
}

func hasMissed(r *result) bool {
	for _, n := range r.oddMissed {
		if n > 0 {
			return true
		}
	}
	return false
}
