package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/descry-dev/descry/internal/agent"
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
			book, err := s.book()
			if err != nil {
				return err
			}
			entries, problems, err := book.List()
			if err != nil {
				return fmt.Errorf("%w (--cases DIR or DESCRY_CASES=DIR names another place)", err)
			}
			for _, p := range problems {
				fmt.Fprintf(s.stderr, "descry: %s cannot be read as a case: %s\n", report.Safe(filepath.Join(book.Dir(), p.Name)), report.Safe(p.Err.Error()))
			}
			for _, e := range entries {
				if e.Refused != "" {
					fmt.Fprintf(s.stderr, "descry: the server did not take %s: %s\n", e.ID, report.Safe(e.Refused))
				}
			}
			if s.format == "json" {
				return s.writeJSON("the list of cases", entries)
			}
			if len(entries) == 0 {
				fmt.Fprintf(s.stderr, "descry: no cases are kept in %s yet; descry run -- COMMAND makes one when COMMAND dies, and descry agent when a container does\n", s.cases)
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
		c := &evidence.Case{ID: e.ID, Kind: e.Kind, OpenedAt: e.OpenedAt, Subject: evidence.Subject{
			Command: e.Command, Namespace: e.Namespace, Pod: e.Pod, Container: e.Container, ContainerID: e.ContainerID, Unit: e.Unit,
		}}
		c.WithdrawnAt = e.WithdrawnAt
		if e.Kind != evidence.CaseWarning {
			c.Death = &evidence.Death{ExitCode: e.ExitCode, Signal: e.Signal, Comm: e.Comm, NotStarted: e.NotStarted}
		}
		if e.Cause != "" {
			c.Findings = []evidence.Finding{{Cause: e.Cause, Confidence: e.Confidence, Title: e.Title, Summary: e.Summary}}
		}
		if e.Fingerprint != "" {
			c.Core = &evidence.Core{Fingerprint: e.Fingerprint}
		}
		cases[i] = c
	}
	return cases
}

func whyCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "why [ID|NAME]", Short: "Show a case that was kept, the newest without an ID",
		Long: `Show a case that was kept: the newest, the one whose ID begins so, or the newest of who is called
NAME: a pod (cart-7d9f, shop/cart-7d9f), a container (app, cart-7d9f/app), a unit (nginx.service) or a
command. descry cases lists them.`,
		Args: atMost(1, "why takes one ID or NAME, or none for the newest case"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := s.checkFormat(); err != nil {
				return err
			}
			id := ""
			if len(args) == 1 {
				id = args[0]
			}
			book, err := s.book()
			if err != nil {
				return err
			}
			m, err := book.Find(id)
			if err != nil {
				return err
			}
			if n := len(m.Other); n > 0 {
				more := ""
				if n > 3 {
					more = fmt.Sprintf(" and %d more", n-3)
				}
				fmt.Fprintf(s.stderr, "descry: the newest case of what may be called %s; others are of %s%s\n",
					report.Safe(id), report.Safe(strings.Join(m.Other[:min(n, 3)], ", ")), more)
			}
			return s.show(m.Case)
		},
	}
	cmd.Flags().StringVarP(&s.format, "output", "o", "text", "form of the report: text, markdown or json")
	return cmd
}

func judgeCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "judge CASE.json|DIR", Short: "Judge a stored case or a recording, by today's rules",
		Args: exactly(1, "judge takes one argument: a case file, - for standard input, or the directory of a recording (descry run --keep DIR)"),
		Long: `Judge a stored case again, by the rules of this version, and show it. "-" reads standard input.
Nothing is changed; -o json gives the case with its new findings.

A directory is taken for a recording, as descry run --keep DIR leaves it: also of a descry that was
killed, of a machine that lost its power, or of a program that still runs. All whole records are
read; what is torn or damaged is left out, and said on stderr. A recording has no output of the
program, and one that was broken off has no counts, so that nothing can be ruled out. The
recording before this one stands in DIR/previous.`,
		Example: `  descry judge case.json
  descry run --report - -- ./server | descry judge -
  descry judge DIR -o json`,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := s.checkFormat(); err != nil {
				return err
			}
			if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
				return s.judgeRecording(args[0])
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

func (s *settings) judgeRecording(dir string) error {
	c, remarks, err := agent.CaseOfRecording(dir)
	for _, r := range remarks {
		fmt.Fprintf(s.stderr, "descry: %s\n", report.Safe(r))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s holds no recording; descry run --keep DIR makes one", dir)
	case err != nil:
		return err
	}
	return s.show(c)
}

func (s *settings) book() (*casebook.Book, error) {
	if s.cases == "" {
		return nil, errors.New("no place for cases is known, since neither HOME nor XDG_STATE_HOME is set: --cases DIR or DESCRY_CASES=DIR names one")
	}
	return casebook.New(s.cases, casebook.Bounds{}), nil
}

func (s *settings) readCase(name string) (*evidence.Case, error) {
	var in io.Reader = s.stdin
	if name != "-" {
		f, err := os.Open(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("read case %s: there is no such file (descry why ID shows a case that was kept, descry cases lists them)", name)
		case err != nil:
			return nil, fmt.Errorf("read case: %w", err)
		}
		defer f.Close()
		in = f
	}
	if name == "-" {
		name = "from standard input"
	}
	c, err := evidence.ReadCase(in)
	if err != nil {
		return nil, fmt.Errorf("read case %s: %w", name, err)
	}
	return c, nil
}
