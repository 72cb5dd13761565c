package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/internal/runs"
)

const rerunHelp = `Repeat a run of the journal, with its command and its flags, on those of its hosts
that the first flags name, or on several such sets together. RUN comes first: last,
which need not be given, last-1 for the one before it, or its letters in shoal runs.

Other flags are those of the run's own command. One that is given here takes the
place of what the run had for it. -x, --list and what else leaves out hosts apply to
the hosts of the set.

What the run had that is not kept must be given again: the values of --env, and
standard input, or -n to go without. A run without input has none again.

Exit codes are those of shoal run; 6 where the set has no hosts.`

const rerunExample = `  shoal rerun --failed                     the last run, where it failed
  shoal rerun --failed --rest              everywhere but where it succeeded
  shoal rerun last-1 --timeout -u 5m       with more time
  shoal rerun 7QX2ZK --all -b              that one again, folded`

// setFlags say which hosts of a run.
type setFlags struct {
	is map[string]*bool // by the names of sets
	rc []int
}

func (f *setFlags) add(fs *pflag.FlagSet) {
	f.is = make(map[string]*bool)
	for _, set := range []struct{ name, usage string }{
		{runs.SetFailed, "hosts that did not succeed, for whatever reason"},
		{runs.SetRest, "hosts that were never begun, were cancelled, or had not ended when the run was interrupted"},
		{runs.SetOK, "hosts that succeeded"},
		{runs.SetTimeout, "of the failed, those that timed out"},
		{runs.SetUnreachable, "of the failed, those that were not reached or lost"},
		{runs.SetAll, "all its hosts"},
	} {
		f.is[set.name] = fs.Bool(set.name, false, set.usage)
	}
	fs.IntSliceVar(&f.rc, "rc", nil, "hosts that ended with exit status `N`")
}

// names are the sets, in the words of package runs.
func (f *setFlags) names() []string {
	var names []string
	for _, name := range runs.SetNames() {
		if *f.is[name] {
			names = append(names, name)
		}
	}
	for _, code := range f.rc {
		names = append(names, fmt.Sprint(runs.SetRC, code))
	}
	return names
}

func (a *app) rerunCommand() *cobra.Command {
	var sets setFlags
	c := &cobra.Command{
		Use:                   "rerun [RUN] --failed|--rest|--all|… [FLAGS]",
		Short:                 "Repeat an earlier run on the hosts where it failed, or others",
		Long:                  rerunHelp,
		Example:               rerunExample,
		DisableFlagsInUseLine: true,
		DisableFlagParsing:    true, // the flags depend on the run
		ValidArgsFunction:     completeRuns(1),
		RunE: func(c *cobra.Command, words []string) error {
			if slices.Contains(words, "--help") || slices.Contains(words, "-h") {
				return c.Help()
			}
			return a.rerun(c.Context(), words)
		},
	}
	addGroups(c, []flagGroup{newGroup("Hosts of the run", sets.add)})
	return c
}

// again is a run that is to be repeated.
type again struct {
	run     *runs.Run
	command *cobra.Command
	kept    []keptFlag
	words   []string // of the command, behind its flags
	given   []keptFlag
	sets    []string
}

// keptFlag is a flag and its value.
type keptFlag struct{ name, value string }

func (f keptFlag) String() string { return "--" + f.name + "=" + f.value }

// rerun is shoal rerun.
func (a *app) rerun(ctx context.Context, words []string) error {
	word := "last"
	if len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		word, words = words[0], words[1:]
	}
	r, err := findRun(word)
	if err != nil {
		return err
	}
	g, err := a.again(r)
	if err == nil {
		err = g.parse(words)
	}
	if err == nil {
		err = g.check(a)
	}
	if err != nil {
		return err
	}
	hosts, err := r.Hosts(g.sets...)
	if err != nil {
		return err
	}
	if len(hosts) == 0 {
		return &noHostsError{what: fmt.Sprintf("%s: no hosts in %s", title(r), strings.Join(g.sets, ", ")), hint: "shoal show " + r.Short() + " -q says how it went"}
	}
	if !g.onlyLooks() {
		a.say(g.title(len(hosts)))
	}
	b := *a
	if !r.Start.Stdin {
		b.stdin = nil
	}
	b.origin = origin{repeats: r.ID, hosts: g.hosts()}
	return b.execute(ctx, g.line(hosts))
}

// again reads the command line of a run.
func (a *app) again(r *runs.Run) (*again, error) {
	g := &again{run: r}
	args := r.Start.Args
	if len(args) == 0 {
		return nil, &usageError{what: title(r) + ": its command line was not kept", hint: "repeat it by hand, on " + fmt.Sprintf("'@run:%s.failed'", r.Short())}
	}
	for _, c := range a.rootCommand().Commands() {
		if c.Name() == args[0] && slices.Contains([]string{"run", "script", "push", "pull", "sync"}, c.Name()) {
			g.command = c
		}
	}
	if g.command == nil {
		return nil, &usageError{what: fmt.Sprintf("%s: shoal %s cannot be repeated", title(r), args[0]), hint: "another version of Shoal may have made it"}
	}
	end := slices.Index(args, "--")
	if end < 0 {
		return nil, fmt.Errorf("run %s: its command line has no end of flags", r.ID)
	}
	g.words = slices.Clone(args[end+1:])
	for _, word := range args[1:end] {
		name, value, ok := strings.Cut(strings.TrimPrefix(word, "--"), "=")
		if !ok || g.command.Flags().Lookup(name) == nil {
			return nil, &usageError{what: fmt.Sprintf("%s: shoal %s has no flag --%s", title(r), args[0], name), hint: "another version of Shoal may have made it"}
		}
		g.kept = append(g.kept, keptFlag{name, value})
	}
	return g, nil
}

// timeLimit is what --timeout of a command is called here, where that is a set.
const timeLimit = "time-limit"

// parse reads the flags that are given now.
func (g *again) parse(words []string) error {
	var sets setFlags
	fs := pflag.NewFlagSet("rerun", pflag.ContinueOnError)
	sets.add(fs)
	own := make(map[*pflag.Flag]bool)
	fs.VisitAll(func(flag *pflag.Flag) { own[flag] = true })
	targets := targetNames()
	g.command.Flags().VisitAll(func(flag *pflag.Flag) {
		f := *flag
		if f.Name == runs.SetTimeout {
			f.Name = timeLimit
		}
		if fs.Lookup(f.Name) == nil && (!slices.Contains(targets, f.Name) || !namesHosts(f.Name)) {
			fs.AddFlag(&f)
		}
	})
	err := fs.ParseAll(words, func(flag *pflag.Flag, value string) error {
		if own[flag] {
			return fs.Set(flag.Name, value)
		}
		name := flag.Name
		if name == timeLimit {
			name = runs.SetTimeout
		}
		g.given = append(g.given, keptFlag{name, value})
		return nil
	})
	if err != nil {
		if len(words) > 0 && slices.ContainsFunc(words, func(w string) bool { return w == "-w" || w == "-H" || w == "-g" || w == "-a" }) {
			return &usageError{what: "rerun has its hosts from the run", hint: "-x leaves some of them out; shoal run takes others"}
		}
		return flagError(fs, "rerun", err)
	}
	if fs.NArg() > 0 {
		return &usageError{what: fmt.Sprintf("rerun does not know what %q is for", fs.Arg(0)), hint: "the run comes first and flags behind it, as in: shoal rerun last-1 --failed"}
	}
	if g.sets = sets.names(); len(g.sets) == 0 {
		return &usageError{what: title(g.run) + ", " + outcome(g.run) + ": on which of its hosts is it to be repeated?",
			hint: "give --failed, --rest, --ok, --timeout, --unreachable, --rc N, --all, or several of them"}
	}
	return nil
}

// settings is the flag that says which hosts and what their settings are.
const settings = "inventory"

// targetNames are the flags that say which hosts.
func targetNames() []string {
	var t targetFlags
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	t.add(fs)
	var names []string
	fs.VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	return names
}

// namesHosts reports whether a flag of those names hosts, and does not leave out
// some of them.
func namesHosts(flag string) bool {
	return !slices.Contains([]string{"exclude", "list", "pick", "limit", "shuffle", "explain", settings}, flag)
}

// check refuses to repeat what was not kept and is not given again.
func (g *again) check(a *app) error {
	for _, f := range g.kept {
		if f.name != "env" {
			continue
		}
		if !slices.ContainsFunc(g.given, func(now keptFlag) bool {
			return now.name == "env" && strings.HasPrefix(now.value, f.value+"=")
		}) {
			return &usageError{what: fmt.Sprintf("%s had a value for the variable %s, and such values are not kept", title(g.run), f.value),
				hint: "give it again, as in: --env " + f.value + "=VALUE"}
		}
	}
	none := slices.ContainsFunc(g.given, func(f keptFlag) bool { return f.name == "no-stdin" && f.value == "true" })
	input := new(commandFlags).input(a.stdin)
	switch {
	case g.run.Start.Stdin && !none && input == nil && g.command.Name() == "run":
		return &usageError{what: title(g.run) + " was given standard input, which is not kept", hint: "give it again, or -n to go without"}
	case g.run.Start.Stdin && input == nil && g.command.Name() != "run":
		return &usageError{what: title(g.run) + " took standard input, which is not kept", hint: "give it again"}
	}
	if g.elsewhere() && g.takesFiles() {
		return &usageError{what: fmt.Sprintf("%s took files by names that start from %s", title(g.run), g.run.Start.Dir), hint: "go there first: cd " + g.run.Start.Dir}
	}
	return nil
}

// elsewhere reports whether the run was started in another folder than this one.
func (g *again) elsewhere() bool {
	return g.run.Start.Dir != "" && workingDir() != g.run.Start.Dir
}

// takesFiles reports whether the command's words have files whose names depend on
// the folder.
func (g *again) takesFiles() bool {
	switch g.command.Name() {
	case "run":
		return false
	case "script":
		return len(g.words) > 0 && !filepath.IsAbs(g.words[0])
	}
	return true
}

// onlyLooks reports whether nothing is to be repeated.
func (g *again) onlyLooks() bool {
	return slices.ContainsFunc(g.given, func(f keptFlag) bool {
		return (f.name == "list" || f.name == "dry-run" || f.name == "explain") && f.value == "true"
	})
}

// title says what is repeated where.
func (g *again) title(hosts int) string {
	text := fmt.Sprintf("repeating %s on %d of %s: %s", title(g.run), hosts, count(g.run.Start.Hosts), g.run.Start.Command)
	if g.elsewhere() && g.namesFiles() {
		text += fmt.Sprintf(" (it ran in %s; files are looked for in %s)", g.run.Start.Dir, workingDir())
	}
	return text
}

// namesFiles reports whether a flag has a file's name that depends on the folder.
func (g *again) namesFiles() bool {
	return slices.ContainsFunc(g.kept, func(f keptFlag) bool {
		return slices.Contains([]string{"identity", "ssh-config", settings, "outdir", "errdir", "report"}, f.name) &&
			!strings.HasPrefix(f.value, "/") && !strings.HasPrefix(f.value, "~")
	})
}

// hosts is an expression for the hosts, for the record.
func (g *again) hosts() string {
	var all []string
	for _, set := range g.sets {
		all = append(all, "@run:"+g.run.ID+"."+set)
	}
	return strings.Join(all, ",")
}

// line is the command line that repeats the run on hosts.
func (g *again) line(hosts []string) []string {
	line := []string{g.command.Name()}
	targets := targetNames()
	named := false
	for _, f := range g.kept {
		switch {
		case slices.Contains(targets, f.name) && f.name != settings:
			named = named || namesHosts(f.name)
		case f.name == "env", slices.ContainsFunc(g.given, func(now keptFlag) bool { return now.name == f.name }):
		default:
			line = append(line, f.String())
		}
	}
	for _, f := range g.given {
		line = append(line, f.String())
	}
	for _, host := range hosts {
		line = append(line, "--host="+host)
	}
	words := g.words
	if !named && len(words) > 0 { // they are in front of a path
		i := len(words) - 1
		if g.command.Name() == "pull" {
			i = 0
		}
		if _, path, ok := splitRemote(words[i]); ok {
			words[i] = path
		}
	}
	return append(append(line, "--"), words...)
}

// statusText is how a host ended, in a few words that are the same for hosts that
// ended alike.
func statusText(x *render.Exit) string {
	switch {
	case x == nil:
		return "did not end"
	case x.Status == render.Failed && x.RC != nil:
		return fmt.Sprintf("exit %d", *x.RC)
	case x.Status == render.Signal:
		return "signal " + x.Signal
	case x.Err != nil && x.Err.Kind != "" && x.Err.Kind != string(x.Status):
		return fmt.Sprintf("%s (%s)", strings.ReplaceAll(string(x.Status), "_", " "), x.Err.Kind)
	}
	return strings.ReplaceAll(string(x.Status), "_", " ")
}
