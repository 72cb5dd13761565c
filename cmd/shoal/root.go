package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootHelp = `Shoal runs a command on many hosts at once over SSH and says how each one ended.`

const rootExample = `  shoal run -w 'web[1-20]' -b uname -r       equal output once, with its hosts
  shoal -w web1,web2 -l root 'df -h | head'  run may be left out`

// rootCommand returns the tree of commands.
func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "shoal",
		Short:         "Parallel SSH",
		Long:          rootHelp,
		Example:       rootExample,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          a.root,
	}
	root.PersistentPreRun = func(c *cobra.Command, _ []string) { a.takeOrigin(c) }
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.Flags().Bool("version", false, "say which version this is")
	root.Flags().SetInterspersed(false) // flags behind an unknown word are not ours
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		name := ""
		if c != root {
			name = c.Name()
		}
		return flagError(c.Flags(), name, err)
	})
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { showHelp(c) })
	root.SetHelpCommand(helpCommand())
	root.AddCommand(
		a.runCommand(), a.scriptCommand(), a.shellCommand(), a.pushCommand(), a.pullCommand(), a.syncCommand(),
		a.pingCommand(), a.keysCommand(), a.hostsCommand(), a.foldCommand(),
		a.runsCommand(), a.showCommand(), a.rerunCommand(), a.diffCommand(),
		a.demoCommand(), a.versionCommand(), a.completionCommand(), a.manCommand(),
	)
	root.AddCommand(helpTopics()...)
	root.CompletionOptions.DisableDefaultCmd = true
	return root
}

// root is what happens where no command is named.
func (a *app) root(c *cobra.Command, words []string) error {
	if v, err := c.Flags().GetBool("version"); err == nil && v {
		_, err := fmt.Fprintln(a.stdout, versionText())
		return err
	}
	if len(words) == 0 {
		c.SetOut(a.stderr)
		if err := c.Help(); err != nil {
			return err
		}
		return &codeError{exitUsage}
	}
	return unknownCommand(c, words[0])
}

// unknownCommand is the complaint about a word that is no command below c.
func unknownCommand(c *cobra.Command, word string) error {
	var known []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			known = append(known, sub.Name())
		}
	}
	return &usageError{
		what: fmt.Sprintf("unknown command %q%s", word, didYouMean(word, known)),
		hint: "shoal help lists the commands; to run something on hosts: shoal run -w HOSTS COMMAND",
	}
}

// withRun puts the run that may be left out into its place: before flags that
// no other command has.
func withRun(args []string) []string {
	if isCompletion(args) && len(args) > 2 {
		return append(args[:1:1], withRun(args[1:])...)
	}
	if len(args) == 0 || !strings.HasPrefix(args[0], "-") {
		return args
	}
	switch args[0] {
	case "-h", "--help", "--version":
		return args
	}
	return append([]string{"run"}, args...)
}

// noWords refuses arguments.
func noWords(c *cobra.Command, words []string) error {
	if len(words) == 0 {
		return nil
	}
	return &usageError{
		what: fmt.Sprintf("%s takes no arguments, got %q", c.CommandPath(), words[0]),
		hint: "shoal help " + c.Name() + " says how it goes",
	}
}
