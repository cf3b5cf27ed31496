package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// CoreRow is a kept core in a list.
type CoreRow struct {
	ID          string          `json:"id"`
	At          time.Time       `json:"at"`
	PID         int32           `json:"pid"`
	Comm        string          `json:"comm,omitzero"`
	Command     []string        `json:"command,omitempty"`
	Signal      evidence.Signal `json:"signal,omitzero"`
	Kept        string          `json:"kept"`
	Bytes       int64           `json:"bytes"`
	CoreBytes   int64           `json:"coreBytes,omitzero"`
	Why         string          `json:"why,omitzero"`
	Fingerprint string          `json:"fingerprint,omitzero"`
	AlikeBy     []string        `json:"alikeBy,omitempty"`
	Alike       CoreGroup       `json:"alike,omitzero"`
}

// CoreGroup are alike crashes.
type CoreGroup struct {
	Count int       `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// CoreList writes a line for each core, in the local time of zone (nil: UTC).
func CoreList(w io.Writer, rows []CoreRow, o Options, zone *time.Location) error {
	if zone == nil {
		zone = time.UTC
	}
	p := &page{bufio.NewWriter(w), o.width(), o.Color}
	const form = "01-02 15:04"
	program, signal := len("PROGRAM"), len("SIGNAL")
	for i := range rows {
		program = min(max(program, cells(clean(rows[i].Comm))), 16)
		signal = max(signal, len(rows[i].Signal.String()))
	}
	p.line(pad("WHEN", len(form))+"  "+pad("ID", 26)+"  "+pad("PROGRAM", program)+"  "+pad("SIGNAL", signal)+"  "+pad("KEPT", 6)+"  "+pad("SIZE", 8)+"  ALIKE", bold, -1)
	for i := range rows {
		r := &rows[i]
		sig := ""
		if r.Signal != 0 {
			sig = r.Signal.String()
		}
		when := r.At.In(zone).Format(form)
		s := when + "  " + pad(cut(clean(r.ID), 26), 26) + "  " + pad(cut(clean(r.Comm), program), program) + "  " + pad(sig, signal) + "  " +
			pad(clean(r.Kept), 6) + "  " + pad(bytesOf(r.Bytes), 8) + "  "
		if r.Fingerprint != "" {
			s += clean(r.Fingerprint)
			if r.Alike.Count > 1 {
				s += fmt.Sprintf(" ×%d", r.Alike.Count)
			}
			if len(r.AlikeBy) > 2 {
				s += " " + clean(strings.Join(r.AlikeBy[2:], " < "))
			}
		}
		p.line(s, dim, len(when))
	}
	return p.w.Flush()
}
