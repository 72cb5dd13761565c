package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:                   "help [COMMAND|TOPIC]",
		Short:                 "Explain a command",
		Example:               "  shoal help run\n  shoal help exit-codes",
		DisableFlagsInUseLine: true,
		ValidArgsFunction: func(c *cobra.Command, words []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(words) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completeWords(helpNames(c.Root()))(c, words, typed)
		},
		RunE: func(c *cobra.Command, words []string) error {
			about, rest, err := c.Root().Find(words)
			if err != nil || len(rest) > 0 {
				return &usageError{
					what: fmt.Sprintf("unknown command or topic %q%s", words[0], didYouMean(words[0], helpNames(c.Root()))),
					hint: "shoal help lists them",
				}
			}
			return about.Help()
		},
	}
}

// helpNames are the names of commands and topics.
func helpNames(root *cobra.Command) []string {
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand() && !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return names
}

// showHelp writes what a command does and how it is called.
func showHelp(c *cobra.Command) {
	w := c.OutOrStdout()
	width, table := 80, 80
	if cols, _, ok := terminalSize(w); ok {
		width, table = min(cols, 80), min(cols, 120)
	}
	if c == c.Root() {
		showRoot(w, c)
		return
	}
	text := wrapText(cmp.Or(c.Long, c.Short), width)
	if c.IsAdditionalHelpTopicCommand() {
		fmt.Fprintln(w, text)
		return
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n  %s\n", text, c.UseLine())
	if c.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", c.Example)
	}
	for _, g := range groupsOf(c) {
		if g.title == connectionGroup && c.Name() != "run" {
			showNames(w, "Connection flags, as shoal help run explains them:", g.flags, table)
			continue
		}
		fmt.Fprintf(w, "\n%s:\n", g.title)
		showFlags(w, g.flags, table)
	}
}

// commandGroup is commands that help shows together.
type commandGroup struct {
	title    string
	commands []*cobra.Command
}

// commandGroups are the commands in the order in which users meet them. Those that are
// not about hosts, and new ones, have no title and come last.
func commandGroups(root *cobra.Command) []commandGroup {
	groups := []commandGroup{}
	seen := make(map[string]bool)
	for _, g := range []struct{ title, names string }{
		{"Run", "run script shell ping"},
		{"Copy", "push pull sync"},
		{"Hosts", "hosts keys"},
		{"Output", "fold"},
		{"Journal", "runs show rerun diff"},
		{"Try it", "demo"},
	} {
		group := commandGroup{title: g.title}
		for name := range strings.FieldsSeq(g.names) {
			if c, _, err := root.Find([]string{name}); err == nil && c != root && c.IsAvailableCommand() {
				group.commands = append(group.commands, c)
				seen[name] = true
			}
		}
		groups = append(groups, group)
	}
	var rest commandGroup
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && !seen[c.Name()] {
			rest.commands = append(rest.commands, c)
		}
	}
	return append(groups, rest)
}

// showRoot writes what there is, on one screen.
func showRoot(w io.Writer, root *cobra.Command) {
	fmt.Fprintf(w, "%s\n\n%s\n\n", root.Long, root.Example)
	var also []string
	for _, g := range commandGroups(root) {
		title := g.title
		for _, c := range g.commands {
			if g.title == "" {
				also = append(also, c.Name())
				continue
			}
			fmt.Fprintf(w, "%-8s %-7s %s\n", title, c.Name(), c.Short)
			title = ""
		}
	}
	fmt.Fprintf(w, `
shoal help COMMAND explains one, shoal help host-expressions the names of hosts,
shoal help exit-codes what a run exits with. Also: %s.
`, strings.Join(also, ", "))
}

// wrapText breaks the lines of paragraphs anew, so that they have at most width
// columns. Lines that begin with a blank stay as they are.
func wrapText(text string, width int) string {
	var out []string
	open := false // the last line goes on
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimRight(line, "\n")
		if line == "" || line[0] == ' ' {
			out = append(out, line)
			open = false
			continue
		}
		for word := range strings.FieldsSeq(line) {
			last := len(out) - 1
			if open && utf8.RuneCountInString(out[last])+1+utf8.RuneCountInString(word) <= width {
				out[last] += " " + word
				continue
			}
			out = append(out, word)
			open = true
		}
	}
	return strings.Join(out, "\n")
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
			case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width && len(line) > flagColumn:
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
