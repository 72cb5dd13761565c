package main

import (
	"bufio"
	"cmp"
	"context"
	"embed"
	"iter"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/inventory"
	"github.com/shoal-ssh/shoal/sshconfig"
)

// completionScripts make the shells ask "shoal __complete WORDS", which cobra
// answers by the functions here.
//
//go:embed completion
var completionScripts embed.FS

const completionHelp = `Write what has a shell complete commands, flags and their values: hosts of
ssh_config and known_hosts, groups, files, and runs of the journal.`

const completionExample = `  source <(shoal completion bash)          this bash; or in ~/.bashrc
  source <(shoal completion zsh)           this zsh; or in ~/.zshrc
  shoal completion fish >~/.config/fish/completions/shoal.fish
  shoal completion powershell | Out-String | Invoke-Expression`

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:                   "completion SHELL",
		Short:                 "Write a shell's completion",
		Long:                  completionHelp,
		Example:               completionExample,
		DisableFlagsInUseLine: true,
		ValidArgs:             shells,
		RunE: func(c *cobra.Command, words []string) error {
			if len(words) != 1 || !slices.Contains(shells, words[0]) {
				return &usageError{what: "completion wants one of " + strings.Join(shells, ", "), hint: "as in: source <(shoal completion bash)"}
			}
			if words[0] == "powershell" {
				return c.Root().GenPowerShellCompletionWithDesc(a.stdout)
			}
			script, err := completionScripts.ReadFile("completion/shoal." + words[0])
			if err == nil {
				_, err = a.stdout.Write(script)
			}
			return err
		},
	}
}

// isCompletion reports whether a shell asks for completions, and of which words.
func isCompletion(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// addCompletions says how the values of all flags are completed, and the words of
// commands that take hosts.
func (a *app) addCompletions(root *cobra.Command) {
	for _, c := range root.Commands() {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if complete := completeFlag(c, f); complete != nil {
				c.RegisterFlagCompletionFunc(f.Name, complete) // it fails for a flag that is not there
			}
		})
		switch c.Name() {
		case "ping", "keys", "hosts":
			c.ValidArgsFunction = completeExpr
		case "push", "pull", "sync":
			c.ValidArgsFunction = completeRemote
		case "fold", "runs", "version", "demo":
			c.ValidArgsFunction = cobra.NoFileCompletions
		case "rerun":
			c.ValidArgsFunction = a.completeRerun
		}
	}
}

// completeFlag is how the value of a flag is completed; nil is by files.
func completeFlag(c *cobra.Command, f *pflag.Flag) cobra.CompletionFunc {
	if choice, ok := f.Value.(interface{ choices() []string }); ok {
		return completeWords(choice.choices())
	}
	switch f.Name {
	case "hosts", "exclude", "exclude-hosts":
		if f.Shorthand != "" { // others are about files
			return completeExpr
		}
	case "host":
		return completeHost
	case "jump":
		return completeJump
	case "group":
		return completeGroup
	case "identity", "ssh-config", "hosts-file", "inventory", "known-hosts", "report":
		return nil
	case "outdir", "errdir":
		return directories
	case "dir":
		if c.Name() == "pull" {
			return directories
		}
	}
	return cobra.NoFileCompletions
}

// completeWords completes one of a few words, in their order.
func completeWords(words []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var all []cobra.Completion
		for _, word := range words {
			if strings.HasPrefix(word, typed) {
				all = append(all, word)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeRerun completes a run, and flags of the command that is repeated; those of
// shoal rerun itself are cobra's to complete.
func (a *app) completeRerun(c *cobra.Command, words []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	run := "last"
	if len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		run = words[0]
	}
	switch {
	case !strings.HasPrefix(typed, "-") && len(words) == 0:
		return completeRuns(1)(c, words, typed)
	case !strings.HasPrefix(typed, "-"):
		return nil, cobra.ShellCompDirectiveDefault
	}
	r, err := findRun(run)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	g, err := a.again(r)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var all []cobra.Completion
	targets := targetNames()
	g.command.Flags().VisitAll(func(f *pflag.Flag) {
		name := "--" + f.Name
		if strings.HasPrefix(name, typed) && !f.Hidden && c.Flags().Lookup(f.Name) == nil && !(slices.Contains(targets, f.Name) && namesHosts(f.Name)) {
			_, about := pflag.UnquoteUsage(f)
			all = append(all, cobra.CompletionWithDesc(name, about))
		}
	})
	return all, cobra.ShellCompDirectiveNoFileComp
}

func directories(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeExpr completes the last operand of a host expression.
func completeExpr(c *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	start, ok := lastOperand(word)
	if !ok {
		return nil, directive
	}
	before, operand := word[:start], word[start:]
	switch {
	case strings.HasPrefix(operand, "^"):
		return matching(before+"^", operand[1:], files(operand[1:])), directive
	case strings.HasPrefix(operand, "@"):
		return matching(before, operand, groupNames(c, operand)), directive
	}
	if at := strings.LastIndexByte(operand, '@'); at >= 0 { // behind a user
		return matching(before+operand[:at+1], operand[at+1:], reachableNames(c)), directive
	}
	all := matching(before, operand, reachableNames(c))
	if operand == "" {
		all = append(all, matching(before, operand, groupNames(c, "@"))...)
	}
	return all, directive
}

// lastOperand returns where the last operand of an expression begins; ok is false
// where it is within brackets.
func lastOperand(word string) (start int, ok bool) {
	depth := 0
	for i, c := range word {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case depth > 0:
		case c == '^' && i == start: // a file
		case strings.ContainsRune(",!&^( ", c):
			start = i + 1
		}
	}
	return start, depth == 0
}

// completeHost completes one host.
func completeHost(c *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	user := word[:strings.LastIndexByte(word, '@')+1]
	return matching(user, word[len(user):], reachableNames(c)), cobra.ShellCompDirectiveNoFileComp
}

// completeJump completes the last one of hosts with commas between them.
func completeJump(c *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	before := word[:strings.LastIndexAny(word, ",@")+1]
	return matching(before, word[len(before):], reachableNames(c)), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeGroup completes the last one of groups with commas between them.
func completeGroup(c *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	before := word[:strings.LastIndexByte(word, ',')+1]
	group := strings.TrimPrefix(word[len(before):], "@")
	names := func(yield func(string) bool) {
		for name := range groupNames(c, "@"+group) {
			if !yield(strings.TrimPrefix(name, "@")) {
				return
			}
		}
	}
	return matching(before, group, names), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeRemote completes HOSTS: in front of a path, where no local file is meant.
func completeRemote(c *cobra.Command, words []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	pulls := c.Name() == "pull"
	for _, name := range []string{"hosts", "host", "group", "hosts-file", "all-hosts"} {
		if f := c.Flags().Lookup(name); f != nil && f.Changed {
			if pulls {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault
		}
	}
	if !pulls {
		for range files(word) {
			return nil, cobra.ShellCompDirectiveDefault
		}
	}
	if !pulls && len(words) == 0 || strings.ContainsAny(word, ":/") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	all, directive := completeExpr(c, nil, word)
	for i := range all {
		all[i] += ":"
	}
	return all, directive
}

// matching returns the names that begin with what was typed, behind what stands
// before it, each once and sorted.
func matching(before, typed string, names iter.Seq[string]) []cobra.Completion {
	var all []cobra.Completion
	for name := range names {
		if strings.HasPrefix(name, typed) && render.Sanitize(name) == name && !strings.ContainsAny(name, "\t\n ") {
			all = append(all, before+name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// files yields the files, and folders with a slash, that what was typed may become.
func files(typed string) iter.Seq[string] {
	return func(yield func(string) bool) {
		dir, base := filepath.Split(typed)
		path, err := expandHome(dir)
		if err != nil {
			return
		}
		entries, err := os.ReadDir(filepath.Join(".", path))
		if filepath.IsAbs(path) {
			entries, err = os.ReadDir(path)
		}
		if err != nil {
			return
		}
		for _, e := range entries {
			name := e.Name()
			if strings.HasPrefix(name, ".") && !strings.HasPrefix(base, ".") || !strings.HasPrefix(name, base) {
				continue
			}
			if e.IsDir() {
				name += "/"
			}
			if !yield(dir + name) {
				return
			}
		}
	}
}

// lookUpTime bounds looking groups up for a person who waits.
const lookUpTime = 5 * time.Second

// groupNames yields the groups, with @ before them, and the sources, or the groups of
// the source that typed names. What cannot be read has none.
func groupNames(c *cobra.Command, typed string) iter.Seq[string] {
	return func(yield func(string) bool) {
		ctx, cancel := context.WithTimeout(cmp.Or(c.Context(), context.Background()), lookUpTime)
		defer cancel()
		inv, err := knownInventory(ctx, c)
		if err != nil {
			return
		}
		prefix := "@"
		source, _, ofSource := strings.Cut(typed[1:], ":")
		if ofSource {
			prefix += source + ":"
		} else {
			source = ""
			for _, name := range append(inv.Sources(), sourceRun) {
				if !yield("@" + name + ":") {
					return
				}
			}
		}
		known := knownGroups{open: func() (*inventory.Inventory, error) { return inv, nil }}
		names, err := known.Names(ctx, source)
		if err != nil {
			return
		}
		for _, name := range names {
			if !yield(prefix + name) {
				return
			}
		}
	}
}

// knownInventory is that of the flags, or what the user has set up.
func knownInventory(ctx context.Context, c *cobra.Command) (*inventory.Inventory, error) {
	var t targetFlags
	if f := c.Flags().Lookup("inventory"); f != nil {
		t.inventories, _ = c.Flags().GetStringArray("inventory")
	}
	return t.open(ctx, sshConfigFile(c))
}

func sshConfigFile(c *cobra.Command) string {
	if f := c.Flags().Lookup("ssh-config"); f != nil {
		return f.Value.String()
	}
	return ""
}

// reachableNames yields the names of ssh_config's Host lines and those that can be read
// in the known_hosts files.
func reachableNames(c *cobra.Command) iter.Seq[string] {
	return func(yield func(string) bool) {
		config, err := sshconfig.Load(sshconfig.Options{File: sshConfigFile(c)})
		if err != nil {
			return
		}
		for _, name := range config.Aliases() {
			if !yield(name) {
				return
			}
		}
		for _, path := range knownHostsFiles(config) {
			for name := range namesKnown(path) {
				if !yield(name) {
					return
				}
			}
		}
	}
}

// knownHostsFiles are those that ssh_config has for hosts without a block.
func knownHostsFiles(config *sshconfig.Config) []string {
	s, err := config.Resolve(sshconfig.Target{Host: "localhost"})
	if err != nil {
		return nil
	}
	var all []string
	for keyword, name := range map[string]string{
		"UserKnownHostsFile":   "~/.ssh/known_hosts",
		"GlobalKnownHostsFile": "/etc/ssh/ssh_known_hosts",
	} {
		paths, err := s.Files(keyword)
		if path, homeErr := expandHome(name); len(paths) == 0 && err == nil && homeErr == nil {
			paths = []string{path}
		}
		all = append(all, paths...)
	}
	return all
}

// namesKnown yields the first name of each line of a known_hosts file, in the form in
// which it is typed; neither hashed names nor patterns.
func namesKnown(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return
		}
		f, err := os.Open(path)
		if err != nil {
			return
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 3 || strings.ContainsAny(fields[0][:1], "#@") {
				continue
			}
			name, _, _ := strings.Cut(fields[0], ",")
			if name == "" || strings.ContainsAny(name, "|*?!") {
				continue
			}
			if host, port, err := net.SplitHostPort(name); err == nil {
				name = host + ":" + port
				if strings.Contains(host, ":") {
					name = "[" + host + "]:" + port
				}
			}
			if !yield(name) {
				return
			}
		}
	}
}
