package main

import (
	"fmt"
	"os"
	"time"
)

// counts are shown by the log and by nothing else.
type counts struct{ checkouts, lines int }

// logger writes lines to stderr. The head of a line ("2026-11-22 07:24:16 INFO  …") is made once a
// second and kept, since that was once half of the cost of a line.
type logger struct {
	head   [48]byte
	counts *counts
	made   int64 // second of the head
}

func (l *logger) printf(format string, args ...any) {
	if now := time.Now(); now.Unix() != l.made {
		l.made = now.Unix()
		copy(l.head[:], fmt.Sprintf("%-47s ", now.Format(time.DateTime)+" INFO  shop/cart checkout:"))
	}
	l.counts.lines++
	line := fmt.Appendf(l.head[:len(l.head):len(l.head)], format+"\n", args...)
	os.Stderr.Write(line)
}
