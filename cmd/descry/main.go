// Command descry is a flight recorder for programs: it says why one died, with the evidence.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/descry-dev/descry/internal/agent"
	"github.com/descry-dev/descry/internal/casebook"
	"github.com/descry-dev/descry/internal/coredump"
	"github.com/descry-dev/descry/internal/report"
	"github.com/descry-dev/descry/internal/run"
	"github.com/descry-dev/descry/internal/version"
)

// exitFailed is what descry run exits with when descry itself failed, as env and nohup do.
const exitFailed = 125

func main() {
	run.Reexec() // descry's own launcher and relay do not return from it; nothing may come before
	coredump.Reexec()
	os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// status is an error that only carries an exit code: what there was to say has been said.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// Main runs the command line and returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := command(stdin, stdout, stderr)
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	var code status
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(stderr, "descry: %s\n", report.Safe(err.Error()))
	switch cmd.Name() {
	case "run":
		return exitFailed
	case "logcheck":
		return checkFailed
	}
	return 1
}

// settings are the environment's and the flags' that several commands share.
type settings struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	cases          string // directory of the casebook
	cores          string // directory of the cores
	format         string
	torn           bool // torn lines count as found
}

func command(stdin io.Reader, stdout, stderr io.Writer) *cobra.Command {
	s := &settings{stdin: stdin, stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:   "descry",
		Short: "Say why a program died, with the evidence",
		Long: `descry is a flight recorder for programs. Put it in front of one:

    sudo descry run -- ./server --port 8080

It records what the kernel sees of the program and its children, warns before file descriptors run
out, and when the program dies it says why.`,
		SilenceErrors: true, SilenceUsage: true, Version: version.String(),
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no command %q: descry run -- COMMAND runs a program, descry --help lists what there is", args[0])
			}
			return cmd.Help()
		},
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetVersionTemplate("descry {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w (%s --help lists the flags)", err, cmd.CommandPath())
	})
	root.PersistentFlags().StringVar(&s.cases, "cases", defaultCases(), "`DIR` where cases are kept (or DESCRY_CASES)")
	root.PersistentFlags().StringVar(&s.cores, "core-dir", defaultCores(), "`DIR` where cores are kept (or DESCRY_CORES)")
	root.AddCommand(runCommand(s), agentCommand(s), whyCommand(s), casesCommand(s), topCommand(s), judgeCommand(s), logcheckCommand(s), doctorCommand(s), coreCommand(s), &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := fmt.Fprintln(stdout, "descry", version.String()); err != nil {
				return fmt.Errorf("write the version: %w", err)
			}
			return nil
		},
	})
	return root
}

// exactly and atMost are cobra's, with a message that says what belongs there.
func exactly(n int, message string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return errors.New(message)
		}
		return nil
	}
}

func atMost(n int, message string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return errors.New(message)
		}
		return nil
	}
}

// defaultCases is where cases stand unless --cases says otherwise; "" when the environment names no
// place, which only matters to who needs one.
func defaultCases() string {
	if dir := os.Getenv("DESCRY_CASES"); dir != "" {
		return dir
	}
	dir, err := casebook.DefaultDir(os.Getenv, os.Geteuid())
	if err != nil {
		return ""
	}
	return dir
}

func runCommand(s *settings) *cobra.Command {
	cfg := agent.RunConfig{}
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a program, and explain its death",
		Long: `Run a program as it would run without descry, record it, and when it dies say why.

The report goes to stderr, after the program's own output. A program that ends with 0 and showed
nothing is not talked about. The exit code is the program's own; 128+n when signal n ended it, 126
when it could not be executed, 127 when it was not found, 125 when descry itself failed.

Root (or CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_SYS_RESOURCE) gives the kernel's view. Without
it descry samples /proc, and says what it cannot see.`,
		Example: `  sudo descry run -- ./server --port 8080
  sudo descry run --report case.json -- nginx -g 'daemon off;'
  descry run --tty -- python3`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("run needs a command: descry run -- COMMAND [ARGUMENT...]")
			}
			if err := s.checkFormat(); err != nil {
				return err
			}
			if err := checkCores(cfg.Cores); err != nil {
				return err
			}
			cfg.Command, cfg.Cases, cfg.Format, cfg.CoreDir = args, s.cases, s.format, s.cores
			cfg.Stderr, cfg.Color, cfg.Width = s.terminal(os.Stderr, s.stderr)
			if code := agent.Run(cfg); code != 0 {
				return status(code)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringVar(&cfg.Report, "report", "", "also write the case as JSON to `FILE` (- is standard output), of a program that ended well too")
	f.StringVarP(&s.format, "output", "o", "text", "form of the report on stderr: text, markdown or json")
	f.BoolVarP(&cfg.Quiet, "quiet", "q", false, "no warnings while the program runs")
	f.StringVar(&cfg.Keep, "keep", "", "keep the recording in `DIR`, for descry judge DIR: readable after a crash of descry or the machine too")
	f.BoolVarP(&cfg.TTY, "tty", "t", false, "give the program a terminal")
	f.StringVar(&cfg.Cores, "cores", "", "receive the cores of the program's processes, and keep stacks, full or none of them (root; changes kernel.core_pattern meanwhile)")
	f.Lookup("cores").NoOptDefVal = string(coredump.Stacks)
	f.BoolVar(&cfg.NoProbes, "no-probes", false, "do not use eBPF; sample /proc only")
	return cmd
}
