package main

import "github.com/spf13/cobra"

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{Use: "demo", Short: "Run commands on a fleet of 100 hosts inside this program", Args: noWords}
}
