package main

import "github.com/spf13/cobra"

// coreCommand is what is done with core dumps.
func coreCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{Use: "core", Short: "Core dumps: list, read and unpack those that were received"}
	cmd.AddCommand(coreListCommand(s), coreShowCommand(s), coreExportCommand(s), coreUninstallCommand(s), coreReceiveCommand())
	return cmd
}
