package main

import (
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/descry-dev/descry/internal/output"
	"github.com/descry-dev/descry/internal/report"
)

// tornShown is how many torn lines of a file are shown in text form.
const tornShown = 10

// foundTorn is one object of logcheck -o json --torn.
type foundTorn struct {
	File      string          `json:"file"`
	Offset    int64           `json:"offset"` // of the line
	Length    int64           `json:"length"` // of the line
	Line      int64           `json:"line"`
	LooksLike string          `json:"looksLike"` // "torn line"
	How       output.TornKind `json:"how"`
	At        int64           `json:"at"`      // bytes of the line before the break
	Preview   string          `json:"preview"` // text around the break, which is marked "┆"
	Stream    string          `json:"stream,omitzero"`
}

// tornLines tells the torn lines of one file.
type tornLines struct {
	s      *settings
	shown  string
	format string
	clear  func()
	failed error // what an error that is no fault of the file wraps
	n      int64
}

func (t *tornLines) tell(f output.FoundTorn) error {
	t.n++
	var err error
	switch {
	case t.format == "json" && t.s.torn:
		var b []byte
		b, err = json.Marshal(foundTorn{t.shown, f.Offset, f.Length, f.Line, "torn line", f.Kind, f.At, f.Preview, f.Stream})
		if err == nil {
			t.clear()
			_, err = fmt.Fprintf(t.s.stdout, "%s\n", b)
		}
	case t.format == "text" && t.n <= tornShown:
		t.clear()
		stream := ""
		if f.Stream != "" {
			stream = " (" + f.Stream + ")"
		}
		_, err = fmt.Fprintf(t.s.stdout, "%s:%d: torn line, %s%s: %s\n", report.Safe(t.shown), f.Line, f.Kind, stream, f.Preview)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", t.failed, err)
	}
	return nil
}

// end says how many there were, where not all were shown.
func (t *tornLines) end(all int64) error {
	if t.format != "text" || all <= tornShown {
		return nil
	}
	if _, err := fmt.Fprintf(t.s.stdout, "%s: %d torn lines in all\n", report.Safe(t.shown), all); err != nil {
		return fmt.Errorf("%w: %w", t.failed, err)
	}
	return nil
}
