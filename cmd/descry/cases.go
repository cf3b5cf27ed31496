package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/descry-dev/descry/internal/casebook"
	"github.com/descry-dev/descry/internal/diagnose"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/report"
)

func casesCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "cases", Short: "List the cases that were kept", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if s.format != "text" && s.format != "json" {
				return fmt.Errorf("cases: unknown form %q: -o takes text or json", s.format)
			}
			entries, problems, err := s.book().List()
			if err != nil {
				return err
			}
			if s.format == "json" {
				b, err := json.Marshal(entries, jsontext.WithIndent("  "))
				if err != nil {
					return fmt.Errorf("write the list of cases: %w", err)
				}
				_, err = fmt.Fprintf(s.stdout, "%s\n", b)
				return err
			}
			for _, p := range problems {
				fmt.Fprintf(s.stderr, "descry: %s is no case: %v\n", report.Safe(p.Name), p.Err)
			}
			if len(entries) == 0 {
				fmt.Fprintf(s.stderr, "descry: no cases are kept in %s yet; descry run -- COMMAND makes one when COMMAND dies\n", s.cases)
				return nil
			}
			w, color, width := s.terminal(os.Stdout, s.stdout)
			return report.List(w, shown(entries), report.Options{Width: width, Color: color}, time.Local)
		},
	}
	cmd.Flags().StringVarP(&s.format, "output", "o", "text", "form of the list: text or json")
	return cmd
}

// shown is what the list needs of the entries.
func shown(entries []casebook.Entry) []*evidence.Case {
	cases := make([]*evidence.Case, len(entries))
	for i, e := range entries {
		c := &evidence.Case{ID: e.ID, Kind: e.Kind, OpenedAt: e.OpenedAt, Subject: evidence.Subject{Command: e.Command}}
		if e.Kind != evidence.CaseWarning {
			c.Death = &evidence.Death{ExitCode: e.ExitCode, Signal: e.Signal}
		}
		if e.Cause != "" {
			c.Findings = []evidence.Finding{{Cause: e.Cause, Confidence: e.Confidence, Title: e.Title, Summary: e.Summary}}
		}
		cases[i] = c
	}
	return cases
}

func whyCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "why [ID]", Short: "Show a case that was kept, the newest without an ID", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := s.checkFormat(); err != nil {
				return err
			}
			id := ""
			if len(args) == 1 {
				id = args[0]
			}
			c, err := s.book().Get(id)
			if err != nil {
				return err
			}
			return s.show(c)
		},
	}
	cmd.Flags().StringVarP(&s.format, "output", "o", "text", "form of the report: text, markdown or json")
	return cmd
}

func judgeCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "judge CASE.json", Short: "Judge a stored case again, by today's rules", Args: cobra.ExactArgs(1),
		Long: `Judge a stored case again, by the rules of this version, and show it. "-" reads standard input.
The file is not changed; -o json gives the case with its new findings.`,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := s.checkFormat(); err != nil {
				return err
			}
			c, err := s.readCase(args[0])
			if err != nil {
				return err
			}
			diagnose.Judge(c)
			return s.show(c)
		},
	}
	cmd.Flags().StringVarP(&s.format, "output", "o", "text", "form of the report: text, markdown or json")
	return cmd
}

func (s *settings) book() *casebook.Book { return casebook.New(s.cases, casebook.Bounds{}) }

func (s *settings) readCase(name string) (*evidence.Case, error) {
	var in io.Reader = s.stdin
	if name != "-" {
		f, err := os.Open(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("read case %s: there is no such file (descry cases lists what is kept)", name)
		case err != nil:
			return nil, fmt.Errorf("read case: %w", err)
		}
		defer f.Close()
		in = f
	}
	c, err := evidence.ReadCase(in)
	if err != nil {
		return nil, fmt.Errorf("read case %s: %w", name, err)
	}
	return c, nil
}
