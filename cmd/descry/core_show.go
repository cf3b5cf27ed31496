package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/coredump"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/report"
)

// coreStore opens the store for reading; it is an error that says what to do where there is none.
func (s *settings) coreStore() (*coredump.Store, error) {
	if s.cores == "" {
		return nil, errors.New("no place for cores is known, since neither HOME nor XDG_STATE_HOME is set: --core-dir DIR or DESCRY_CORES=DIR names one")
	}
	if _, err := os.Stat(s.cores); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("open the cores that are kept: %w", err)
	}
	return coredump.NewStore(s.cores, coredump.Bounds{}, coredump.Policy{})
}

func coreListCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the cores that are kept, alike crashes counted", Args: cobra.NoArgs,
		Long: `List the cores that are kept, the newest first: when, the id, the program and its signal, what is kept and how large
it is, and which crashes are alike: those whose innermost own functions are the same have the same
group, whatever build they are of.`,
		RunE: func(*cobra.Command, []string) error {
			if s.format != "text" && s.format != "json" {
				return fmt.Errorf("core list: unknown form %q: -o takes text or json", s.format)
			}
			store, err := s.coreStore()
			if err != nil {
				return err
			}
			var entries []*coredump.Entry
			if store != nil {
				if entries, err = store.List(); err != nil {
					fmt.Fprintf(s.stderr, "descry: %s\n", report.Safe(err.Error()))
				}
			}
			rows := s.coreRows(store, entries)
			if s.format == "json" {
				return s.writeJSON("the list of cores", rows)
			}
			if len(rows) == 0 {
				fmt.Fprintf(s.stderr, "descry: no cores are kept in %s yet; descry run --cores -- COMMAND keeps one when COMMAND crashes\n", report.Safe(s.cores))
				return nil
			}
			w, color, width := s.terminal(os.Stdout, s.stdout)
			return report.CoreList(w, rows, report.Options{Width: width, Color: color}, time.Local)
		},
	}
	cmd.Flags().StringVarP(&s.format, "output", "o", "text", "form of the list: text or json")
	return cmd
}

// coreRows are the entries with the groups of alike crashes, as far as the cores tell them.
func (s *settings) coreRows(store *coredump.Store, entries []*coredump.Entry) []report.CoreRow {
	rows := []report.CoreRow{}
	groups := map[string]*report.CoreGroup{}
	for _, e := range entries {
		row := report.CoreRow{ID: e.ID, At: e.At, PID: e.PID, Comm: e.Comm, Command: e.Command, Signal: e.Signal, Kept: string(e.Kept), Bytes: e.Bytes, CoreBytes: e.CoreBytes, Why: e.Why}
		if e.Fingerprint != "" {
			row.Fingerprint, row.AlikeBy = e.Fingerprint, e.AlikeBy
		} else if c, err := s.summaryOf(store, e, coredump.SummaryOptions{Threads: 1, Brief: true}, nil); err == nil {
			row.Fingerprint, row.AlikeBy = c.Fingerprint, c.AlikeBy
		}
		if row.Fingerprint != "" {
			g := groups[row.Fingerprint]
			if g == nil {
				g = &report.CoreGroup{First: e.At, Last: e.At}
				groups[row.Fingerprint] = g
			}
			g.Count++
			if e.At.Before(g.First) {
				g.First = e.At
			}
			if e.At.After(g.Last) {
				g.Last = e.At
			}
		}
		rows = append(rows, row)
	}
	for i := range rows {
		if g := groups[rows[i].Fingerprint]; g != nil {
			rows[i].Alike = *g
		}
	}
	return rows
}

// summaryOf reads a kept core.
func (s *settings) summaryOf(store *coredump.Store, e *coredump.Entry, o coredump.SummaryOptions, debug []string) (*evidence.Core, error) {
	res := coredump.NewResolver(debug)
	defer res.Close()
	o.Resolver = res
	return store.Summary(e, o)
}

func coreShowCommand(s *settings) *cobra.Command {
	var all, unmasked bool
	var root string
	var debug []string
	cmd := &cobra.Command{
		Use: "show ID|FILE", Short: "Say what died in a core, what its fault means, and where all threads were",
		Long: `Show a core: what died, what the fault means, the backtrace with files and lines, the registers, the other threads
and goroutines, alike ones together, and the binaries with their build ids.

It takes the ID of a core that is kept (or the begin of one, or a pid; descry core list lists them), or
the path of any ELF core file of a 64-bit amd64 or arm64 process. No debugger is needed. Names come from the
binaries where they lie on this machine, and from debug files by build id.

What looks like a secret is shown as asterisks; --unmasked shows it.`,
		Example: `  descry core show 01JD
  descry core show ./core
  descry core show --root /var/lib/machines/shop --debug-dir ./debug ./core`,
		Args: exactly(1, "core show takes one argument: the ID of a core that is kept (descry core list), or the path of a core file"),
		RunE: func(_ *cobra.Command, args []string) error {
			if s.format != "text" && s.format != "json" {
				return fmt.Errorf("core show: unknown form %q: -o takes text or json", s.format)
			}
			o := coredump.SummaryOptions{Root: root, Unmasked: unmasked, Registers: true, AllModules: all}
			if all {
				o.Frames, o.Groups, o.Threads = 1024, 1024, 1<<15
			}
			dirs := append(debug, "/usr/lib/debug")
			c, err := s.readCore(args[0], o, dirs)
			if err != nil {
				return err
			}
			if s.format == "json" {
				return s.writeJSON("the core's summary", c)
			}
			w, color, width := s.terminal(os.Stdout, s.stdout)
			if err := report.Core(w, c, report.CoreOptions{Options: report.Options{Width: width, Color: color}, All: all}); err != nil {
				return fmt.Errorf("write the core's summary: %w", err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&s.format, "output", "o", "text", "form of the summary: text or json")
	f.BoolVarP(&all, "all", "a", false, "every frame, group and binary")
	f.BoolVar(&unmasked, "unmasked", false, "show what looks like secrets, too")
	f.StringVar(&root, "root", "", "`DIR` where the process's files are, such as a container's root file system")
	f.StringArrayVar(&debug, "debug-dir", nil, "`DIR` with debug files by build id (.build-id/ab/cdef….debug); may be given more than once")
	return cmd
}

// readCore reads a kept core, or a file.
func (s *settings) readCore(name string, o coredump.SummaryOptions, debug []string) (*evidence.Core, error) {
	if isFile(name) {
		// Opening a FIFO would wait for who writes to it.
		f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, fmt.Errorf("read core: %w", err)
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return nil, fmt.Errorf("read core: %w", err)
		}
		if !st.Mode().IsRegular() {
			return nil, fmt.Errorf("read core %s: it is not a regular file", name)
		}
		c, err := coredump.Open(f, st.Size())
		if err != nil {
			return nil, fmt.Errorf("read core %s: %w", name, err)
		}
		res := coredump.NewResolver(debug)
		defer res.Close()
		o.Resolver = res
		sum := coredump.Summarise(c, o)
		sum.Bytes = st.Size()
		return sum, nil
	}
	store, e, err := s.coreEntry(name)
	if err != nil {
		return nil, err
	}
	return s.summaryOf(store, e, o, debug)
}

// isFile tells a path from an id: what has a slash or a dot, or is there and no id.
func isFile(name string) bool {
	if strings.ContainsAny(name, "/.") {
		return true
	}
	st, err := os.Stat(name)
	return err == nil && !st.IsDir()
}

func (s *settings) coreEntry(name string) (*coredump.Store, *coredump.Entry, error) {
	store, err := s.coreStore()
	if err != nil {
		return nil, nil, err
	}
	if store == nil {
		return nil, nil, fmt.Errorf("no cores are kept in %s; descry run --cores -- COMMAND keeps one when COMMAND crashes", s.cores)
	}
	e, err := store.Get(name)
	switch {
	case errors.Is(err, coredump.ErrNoCore):
		return nil, nil, fmt.Errorf("there is no core %q in %s and no file of that name; descry core list lists what there is", name, s.cores)
	case err != nil:
		return nil, nil, err
	}
	return store, e, nil
}

func coreExportCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "export ID FILE", Short: "Write a kept core as a plain ELF core, for gdb or delve",
		Long: `Write a kept core unpacked to FILE, which must not exist, readable for its owner alone; "-" is standard output.
gdb, lldb and delve open it. A core of which only stacks are kept is a small one: it has the registers, the stacks and what they
lean on, and no heap.`,
		Example: `  descry core export 01JD core
  gdb ./server core`,
		Args: exactly(2, "core export takes two arguments: the ID of a core (descry core list) and the file to write, or - for standard output"),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			store, e, err := s.coreEntry(args[0])
			if err != nil {
				return err
			}
			r, size, closer, err := store.OpenCore(e)
			if errors.Is(err, coredump.ErrNoCore) {
				return fmt.Errorf("export core %s: no memory of it was kept (%s); descry core show %s has what is known", e.ID, cmp.Or(e.Why, "as asked for"), e.ID)
			}
			if err != nil {
				return err
			}
			defer closer.Close()
			out, what := s.stdout, "standard output"
			if args[1] != "-" {
				what = args[1]
				f, err := os.OpenFile(args[1], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
				if errors.Is(err, fs.ErrExist) {
					return fmt.Errorf("export core %s: %s is there already, and is not overwritten", e.ID, args[1])
				}
				if err != nil {
					return fmt.Errorf("export core %s: %w", e.ID, err)
				}
				defer func() {
					if cerr := f.Close(); err == nil && cerr != nil {
						err = fmt.Errorf("export core %s: %w", e.ID, cerr)
					}
					if err != nil {
						os.Remove(args[1]) //nolint:errcheck // a half core is worse than none
					}
				}()
				out = f
			}
			if _, err = io.Copy(out, io.NewSectionReader(r, 0, size)); err != nil {
				return fmt.Errorf("export core %s to %s: %w", e.ID, what, err)
			}
			return nil
		},
	}
}
