package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/descry-dev/descry/internal/agent"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/report"
)

func topCommand(s *settings) *cobra.Command {
	var state string
	var rounds int
	var every time.Duration
	cmd := &cobra.Command{
		Use: "top", Short: "Show what the agent of this machine watches now, nearest to a limit first", Args: cobra.NoArgs,
		Long: `Show the containers and units that descry agent watches now: those that are warned of first, then by how near they are to their descriptor limit.
FULL IN is when a limit is reached, and which: descriptors (fds, or those that select() takes), tasks, memory, mappings
(maps). With "!" a warning holds, which descry cases has.

On a terminal the table is drawn anew until ^C; elsewhere, and with -n, it is printed so often.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.format != "text" && s.format != "json" {
				return fmt.Errorf("top: unknown form %q: -o takes text or json", s.format)
			}
			if every < 100*time.Millisecond {
				return errors.New("top --every: it takes a time of 100ms or more")
			}
			live := s.stdout == io.Writer(os.Stdout) && term.IsTerminal(int(os.Stdout.Fd())) && s.format == "text"
			if !cmd.Flags().Changed("rounds") && live {
				rounds = 0
			}
			ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			for i := 0; rounds <= 0 || i < rounds; i++ {
				if i > 0 {
					select {
					case <-ctx.Done():
						return nil
					case <-time.After(every):
					}
				}
				st, err := agent.AskNode(state)
				if err != nil {
					if errors.Is(err, agent.ErrNoAgent) {
						return fmt.Errorf("%w; descry agent is what watches (--state DIR or DESCRY_STATE=DIR names another one's)", err)
					}
					return err
				}
				if s.format == "json" {
					if err := s.writeJSON("the table", st); err != nil {
						return err
					}
					continue
				}
				w, color, width := s.terminal(os.Stdout, s.stdout)
				rows := 0
				if !live {
					width = 0 // whoever reads it cuts it
				}
				if live && rounds <= 0 {
					fmt.Fprint(w, "\x1b[H\x1b[2J")
					if _, height, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
						rows = max(height-4, 1)
					}
				}
				if err := drawTop(w, st, color, width, rows); err != nil {
					return fmt.Errorf("write the table: %w", err)
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&s.format, "output", "o", "text", "form of the table: text or json")
	f.StringVar(&state, "state", env("STATE", defaultState), "`DIR` of the agent's state")
	f.IntVarP(&rounds, "rounds", "n", 1, "how often it is printed; 0: until ^C")
	f.DurationVar(&every, "every", 2*time.Second, "`TIME` between two")
	return cmd
}

// drawTop writes the table; rows bounds it, 0: all.
func drawTop(w io.Writer, st *agent.NodeStatus, color bool, width, rows int) error {
	const form = "%6s %6s %13s %13s %9s  %s"
	processes := 0
	for i := range st.Subjects {
		processes += st.Subjects[i].Processes
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d subjects, %d processes, %d looked at closer; swept in %s\n\n", report.Safe(st.Node), len(st.Subjects), processes, st.Closer,
		time.Duration(st.SweepNanos).Round(10*time.Microsecond))
	longest := len("SUBJECT")
	for i := range st.Subjects {
		longest = max(longest, min(40, len([]rune(report.Safe(st.Subjects[i].Title())))))
	}
	head := fmt.Sprintf("%-*s "+form, longest, "SUBJECT", "PID", "PROCS", "FDS", "FULL IN", "MEMORY", "LOOK")
	if color {
		head = "\x1b[1m" + head + "\x1b[0m"
	}
	b.WriteString(head + "\n")
	for i := range st.Subjects {
		if rows > 0 && i >= rows {
			fmt.Fprintf(&b, "… %d more\n", len(st.Subjects)-i)
			break
		}
		s := &st.Subjects[i]
		fds, full, look := fmt.Sprint(s.Open), "-", ""
		if s.SoftLimit > 0 {
			fds += fmt.Sprintf("/%d", s.SoftLimit)
		}
		if s.Seconds > 0 {
			full = shortSpan(s.Seconds)
		}
		if of := shortLimits[s.Limit]; of != "" {
			full = strings.TrimPrefix(full+" "+of, "- ")
		}
		if s.Warned {
			full += "!"
		}
		if s.Step > 0 {
			look = "closer: " + report.Safe(s.Why)
		}
		name := []rune(report.Safe(s.Title()))
		if len(name) > 40 {
			name = append([]rune{'…'}, name[len(name)-39:]...)
		}
		line := []rune(fmt.Sprintf("%-*s "+form, longest, string(name), fmt.Sprint(s.PID), fmt.Sprint(s.Processes), fds, full, shortBytes(s.RSSBytes), look))
		if len(line) > width && width > 0 {
			line = line[:width]
		}
		b.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shortLimits are the limits of forecasts in a column.
var shortLimits = map[string]string{
	evidence.LimitNoFile: "fds", evidence.LimitFDSetSize: "select", evidence.LimitPids: "tasks",
	evidence.LimitMemory: "memory", evidence.LimitMappings: "maps", evidence.LimitFileMax: "files",
}

func shortSpan(seconds float64) string {
	switch {
	case seconds < 100:
		return fmt.Sprintf("%.0fs", seconds)
	case seconds < 6000:
		return fmt.Sprintf("%.0fm", seconds/60)
	case seconds < 48*3600:
		return fmt.Sprintf("%.0fh", seconds/3600)
	}
	return fmt.Sprintf("%.0fd", min(seconds/86400, 9999))
}

func shortBytes(n int64) string {
	switch {
	case n < 1<<20:
		return fmt.Sprintf("%dK", n>>10)
	case n < 10<<30:
		return fmt.Sprintf("%dM", n>>20)
	}
	return fmt.Sprintf("%dG", n>>30)
}
