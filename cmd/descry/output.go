package main

import (
	"fmt"
	"io"
	"os"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/term"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/report"
)

// terminal gives the writer, whether it takes colour, and its width in cells. Colour goes to
// terminals only, and not where NO_COLOR is set or TERM is dumb.
func (s *settings) terminal(f *os.File, w io.Writer) (out io.Writer, color bool, width int) {
	const widest, without = 120, 100
	if w != io.Writer(f) || !term.IsTerminal(int(f.Fd())) {
		return w, false, without
	}
	color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width >= 20 {
		return w, color, min(width, widest)
	}
	return w, color, without
}

// writeJSON writes v to stdout, indented; what names it in an error.
func (s *settings) writeJSON(what string, v any) error {
	b, err := json.Marshal(v, jsontext.WithIndent("  "))
	if err == nil {
		_, err = fmt.Fprintf(s.stdout, "%s\n", b)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", what, err)
	}
	return nil
}

func (s *settings) checkFormat() error {
	switch s.format {
	case "text", "markdown", "json":
		return nil
	}
	return fmt.Errorf("unknown form %q: -o takes text, markdown or json", s.format)
}

// show writes a case to stdout in the form that was asked for.
func (s *settings) show(c *evidence.Case) error {
	var err error
	switch s.format {
	case "json":
		err = evidence.WriteCase(s.stdout, c)
	case "markdown":
		err = report.Markdown(s.stdout, c)
	default:
		w, color, width := s.terminal(os.Stdout, s.stdout)
		err = report.Terminal(w, c, report.Options{Width: width, Color: color})
	}
	if err != nil {
		return fmt.Errorf("write the report of case %s: %w", c.ID, err)
	}
	return nil
}
