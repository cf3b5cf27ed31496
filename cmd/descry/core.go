package main

import "github.com/spf13/cobra"

// coreCommand is what is done with core dumps.
func coreCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{Use: "core", Short: "Core dumps that were received"}
	cmd.AddCommand(coreUninstallCommand(s), coreReceiveCommand())
	return cmd
}
