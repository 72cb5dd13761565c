package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		RunE: func(c *cobra.Command, words []string) error {
			about, rest, err := c.Root().Find(words)
			if err != nil || len(rest) > 0 {
				return unknownCommand(c.Root(), words[0])
			}
			return about.Help()
		},
	}
}

// showHelp writes what a command does and how it is called; its flags in the
// given groups, or all together.
func showHelp(c *cobra.Command, groups ...flagGroup) {
	w := c.OutOrStdout()
	text := c.Long
	if text == "" {
		text = c.Short
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n  %s\n", strings.TrimSpace(text), usageLine(c))
	if c.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", c.Example)
	}
	showCommands(w, c)
	if len(groups) == 0 && c.HasAvailableLocalFlags() {
		groups = []flagGroup{{"Flags", c.LocalFlags()}}
	}
	width := 80
	if cols, _, ok := terminalSize(w); ok {
		width = min(cols, 120)
	}
	for _, g := range groups {
		if g.title == connectionGroup && c.Name() != "run" {
			showNames(w, "Connection flags, as shoal help run explains them:", g.flags, width)
			continue
		}
		fmt.Fprintf(w, "\n%s:\n", g.title)
		showFlags(w, g.flags, width)
	}
}

// connectionGroup are the flags that all commands share; one of them explains.
const connectionGroup = "Connection"

// showNames writes how flags are called, in lines of width columns.
func showNames(w io.Writer, title string, fs *pflag.FlagSet, width int) {
	fmt.Fprintf(w, "\n%s\n", title)
	line := " "
	fs.VisitAll(func(f *pflag.Flag) {
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand
		}
		if value, _ := pflag.UnquoteUsage(f); value != "" {
			name += " " + value
		}
		if len(line)+1+len(name) > width {
			fmt.Fprintln(w, line)
			line = " "
		}
		line += " " + name
	})
	fmt.Fprintln(w, line)
}

// flagColumn is where the explanations of flags begin.
const flagColumn = 26

// showFlags writes a table of flags that fits in width columns.
func showFlags(w io.Writer, fs *pflag.FlagSet, width int) {
	indent := strings.Repeat(" ", flagColumn)
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		left, text := flagParts(f)
		line := fmt.Sprintf("%-*s", flagColumn, left)
		if len(left) > flagColumn-2 {
			fmt.Fprintln(w, left)
			line = indent
		}
		for i, word := range strings.Fields(text) {
			switch {
			case len(line)+1+len(word) > width && len(line) > flagColumn:
				fmt.Fprintln(w, line)
				line = indent + word
			case i == 0:
				line += word
			default:
				line += " " + word
			}
		}
		fmt.Fprintln(w, line)
	})
}

// flagParts returns how a flag is written and what it does.
func flagParts(f *pflag.Flag) (left, text string) {
	left = "      --" + f.Name
	if f.Shorthand != "" {
		left = "  -" + f.Shorthand + ", --" + f.Name
	}
	value, text := pflag.UnquoteUsage(f)
	switch {
	case f.Value.Type() == "count":
	case value != "" && f.NoOptDefVal != "":
		left += "[=" + value + "]"
	case value != "":
		left += " " + value
	}
	if d := f.DefValue; d != "" && d != "false" && d != "[]" {
		text += " (default " + d + ")"
	}
	return left, text
}

func usageLine(c *cobra.Command) string {
	if c.HasAvailableSubCommands() {
		return c.CommandPath() + " COMMAND"
	}
	return c.UseLine()
}

func showCommands(w io.Writer, c *cobra.Command) {
	if !c.HasAvailableSubCommands() {
		return
	}
	fmt.Fprintf(w, "\nCommands:\n")
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			fmt.Fprintf(w, "  %-11s %s\n", sub.Name(), sub.Short)
		}
	}
}
