package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/descry-dev/descry/internal/coredump"
)

// coreUninstallCommand puts core_pattern back.
func coreUninstallCommand(s *settings) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "uninstall", Short: "Put kernel.core_pattern back as it was before descry, whoever still receives cores", Args: cobra.NoArgs,
		Long: `Put kernel.core_pattern and kernel.core_pipe_limit back as they were before descry.

descry does so itself when the last run with --cores has ended, and when it is killed. This is for what
is left where both descry and its supervisor were killed with -9.`,
		RunE: func(*cobra.Command, []string) error {
			words, err := coredump.Uninstall(dir)
			if words != "" {
				fmt.Fprintf(s.stderr, "descry: %s\n", words)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "state", coredump.DefaultDir, "`DIR` where the former core_pattern stands")
	return cmd
}

// coreReceiveCommand stands in the help only: the kernel starts it by another name, see coredump.Reexec.
func coreReceiveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "receive", Short: "What the kernel starts for a core where it has no socket for them", Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			return fmt.Errorf("core receive is for the kernel to start, with a core as its input")
		},
	}
}

// defaultCores is where cores are kept unless --core-dir says otherwise. Only root receives any.
func defaultCores() string {
	if dir := os.Getenv("DESCRY_CORES"); dir != "" {
		return dir
	}
	return "/var/lib/descry/cores"
}

// checkCores says what is wrong with a run that was asked for cores.
func checkCores(depth string) error {
	switch coredump.Depth(depth) {
	case "":
		return nil
	case coredump.None, coredump.Stacks, coredump.Full:
	default:
		return fmt.Errorf("run --cores=%s: it takes stacks, full or none", depth)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("run --cores needs root, which alone may set kernel.core_pattern: run it with sudo, or without --cores")
	}
	return nil
}
