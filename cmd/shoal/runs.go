package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/internal/runs"
)

const runsHelp = `List the runs in the journal, the last one first. Each shoal run, script, push and
pull is kept, with what the hosts wrote, in a folder that is yours alone: shoal/runs
in $XDG_STATE_HOME or ~/.local/state. The last 200 are kept, 256 MiB at most, and of
one run 64 MiB of output.

A RUN is last, last-1 for the one before it and so on, or the letters that the list
has for it. shoal show shows it again, shoal rerun repeats it, shoal diff compares
two. In host expressions @run:last.failed and its like are hosts of a run.

Passwords and passphrases are not kept, nor the values of --env; the command and
what hosts write are. --no-journal keeps nothing of a run.`

const runsExample = `  shoal runs
  shoal runs -n 0 --json | jq '.[] | select(.exit != 0) | .run'`

// runsFlags are the flags of shoal runs.
type runsFlags struct {
	limit numberFlag
	json  bool
}

func (f *runsFlags) add(fs *pflag.FlagSet) {
	f.limit = numberFlag{n: 20, max: 1_000_000}
	fs.VarP(&f.limit, "limit", "n", "the last `N` runs; 0 means all")
	fs.BoolVar(&f.json, "json", false, "an array of objects for programs")
}

func (a *app) runsCommand() *cobra.Command {
	var f runsFlags
	c := &cobra.Command{
		Use:                   "runs [FLAGS]",
		Short:                 "List earlier runs",
		Long:                  runsHelp,
		Example:               runsExample,
		Args:                  noWords,
		DisableFlagsInUseLine: true,
		RunE:                  func(c *cobra.Command, _ []string) error { return a.runs(c.Context(), &f) },
	}
	addGroups(c, []flagGroup{newGroup("Flags", f.add)})
	return c
}

// runs is shoal runs.
func (a *app) runs(ctx context.Context, f *runsFlags) error {
	all, err := new(runs.Journal).List(ctx, f.limit.n)
	switch {
	case err != nil:
		return err
	case f.json:
		return a.runObjects(all)
	case len(all) == 0:
		a.say("the journal has no runs yet")
		return nil
	}
	return a.runTable(all)
}

// runTable writes a line for each run.
func (a *app) runTable(all []runs.Run) error {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RUN\tBEGAN\tHOSTS\tOUTCOME\tCOMMAND")
	for i := range all {
		r := &all[i]
		hosts := ""
		if r.Start.Hosts > 0 {
			hosts = fmt.Sprintf("%d %s", r.Start.Hosts, shorten(render.Sanitize(r.Start.Set), 24))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.Short(), r.Time().Local().Format("2006-01-02 15:04:05"),
			hosts, outcome(r), render.Sanitize(r.Start.Command))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	cols, _, isTTY := terminalSize(a.stdout)
	for line := range strings.Lines(text.String()) {
		if isTTY {
			line = shorten(strings.TrimSuffix(line, "\n"), cols) + "\n"
		}
		if _, err := io.WriteString(a.stdout, line); err != nil {
			return err
		}
	}
	return nil
}

// shorten cuts text to n columns, about.
func shorten(text string, n int) string {
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return text
}

// outcome is how a run went, in a few words.
func outcome(r *runs.Run) string {
	if r.State == runs.Unreadable {
		return "unreadable"
	}
	var parts []string
	for _, c := range []struct {
		n    int
		what string
	}{
		{r.End.OK, "ok"}, {r.End.Failed, "failed"}, {r.End.Unreachable, "not reached"}, {r.End.Timeout, "timed out"},
		{r.End.Cancelled, "cancelled"}, {r.End.NotRun, "not run"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	text := strings.Join(parts, ", ")
	if r.State == runs.Ended {
		return text
	}
	if text == "" {
		return string(r.State)
	}
	return string(r.State) + ": " + text
}

// runObject is a run for programs.
type runObject struct {
	Run         string     `json:"run"`
	State       runs.State `json:"state"`
	Time        time.Time  `json:"time"`
	Command     string     `json:"command"`
	Args        []string   `json:"args,omitempty"`
	Dir         string     `json:"dir,omitempty"`
	Repeats     string     `json:"repeats,omitempty"`
	Set         string     `json:"set"`
	Hosts       int        `json:"hosts"`
	OK          int        `json:"ok"`
	Failed      int        `json:"failed"`
	Unreachable int        `json:"unreachable"`
	Timeout     int        `json:"timeout"`
	Cancelled   int        `json:"cancelled"`
	NotRun      int        `json:"not_run"`
	Exit        *int       `json:"exit"` // null where the run did not end
	Seconds     float64    `json:"seconds"`
	Bytes       int64      `json:"bytes"`
	Error       string     `json:"error,omitempty"`
}

func (a *app) runObjects(all []runs.Run) error {
	objects := make([]runObject, 0, len(all))
	for i := range all {
		r := &all[i]
		o := runObject{
			Run: r.ID, State: r.State, Time: r.Time().UTC(), Command: r.Start.Command, Args: r.Start.Args, Dir: r.Start.Dir,
			Repeats: r.Start.Repeats, Set: r.Start.Set, Hosts: r.Start.Hosts,
			OK: r.End.OK, Failed: r.End.Failed, Unreachable: r.End.Unreachable, Timeout: r.End.Timeout,
			Cancelled: r.End.Cancelled, NotRun: r.End.NotRun, Seconds: r.End.Took.Seconds(), Bytes: r.Bytes,
		}
		if r.State == runs.Ended {
			o.Exit = &r.End.Exit
		}
		if r.Err != nil {
			o.Error = r.Err.Error()
		}
		objects = append(objects, o)
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(objects)
}

// findRun finds the run that a word stands for.
func findRun(word string) (*runs.Run, error) {
	r, err := new(runs.Journal).Find(word)
	if e, ok := errors.AsType[*runs.NotFoundError](err); ok {
		switch {
		case e.None:
			return nil, &usageError{what: e.Error(), hint: "shoal run keeps each run, unless --no-journal is given"}
		case len(e.Like) > 0:
			return nil, &usageError{what: e.Error(), hint: "give more letters, as in " + e.Like[0]}
		}
		return nil, &usageError{what: e.Error(), hint: "shoal runs -n 0 lists them; a run is last, last-1 or letters from its identifier"}
	}
	if err == nil && r.State == runs.Unreadable {
		err = fmt.Errorf("run %s cannot be read: %w", r.ID, r.Err)
	}
	return r, err
}

// completeRuns completes the names of up to n runs.
func completeRuns(n int) cobra.CompletionFunc {
	return func(c *cobra.Command, words []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(words) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, err := new(runs.Journal).List(c.Context(), 20)
		if err != nil || len(all) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := []cobra.Completion{cobra.CompletionWithDesc("last", "the last run")}
		for i := range all {
			about := render.Sanitize(fmt.Sprintf("%s, %s: %s", all[i].Time().Local().Format("01-02 15:04"), outcome(&all[i]), all[i].Start.Command))
			names = append(names, cobra.CompletionWithDesc(all[i].Short(), about))
		}
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// title says which run it is.
func title(r *runs.Run) string {
	return fmt.Sprintf("run %s of %s", r.Short(), r.Time().Local().Format("2006-01-02 15:04:05"))
}

const showRunHelp = `Show a run again, in any form that shoal run has. RUN is last, which need not be
given, last-1 for the one before it and so on, or its letters in shoal runs.

The exit code is 0 where the run could be shown, however it went.`

const showExample = `  shoal show                          the last run, as it looked
  shoal show last-1 -b                folded
  shoal show 7QX2ZK -O jsonl | jq     for programs`

func (a *app) showCommand() *cobra.Command {
	var f outputFlags
	c := &cobra.Command{
		Use:                   "show [RUN] [FLAGS]",
		Short:                 "Show an earlier run in any form",
		Long:                  showRunHelp,
		Example:               showExample,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     completeRuns(1),
		RunE:                  func(_ *cobra.Command, words []string) error { return a.show(&f, words) },
	}
	addGroups(c, []flagGroup{newGroup("Output", func(fs *pflag.FlagSet) {
		all := pflag.NewFlagSet("", pflag.ContinueOnError)
		all.SortFlags = false
		f.add(all)
		all.VisitAll(func(flag *pflag.Flag) {
			if !slices.Contains([]string{"max-rc", "verbose"}, flag.Name) { // which are about running
				fs.AddFlag(flag)
			}
		})
	})})
	return c
}

// oneRun is the run that words name; the last one where there are none.
func oneRun(c string, words []string) (*runs.Run, error) {
	switch len(words) {
	case 0:
		return findRun("last")
	case 1:
		return findRun(words[0])
	}
	return nil, &usageError{what: fmt.Sprintf("%s takes one run, got %q too", c, words[1]), hint: "shoal help " + c + " says how it goes"}
}

// show is shoal show.
func (a *app) show(f *outputFlags, words []string) error {
	if err := f.check(); err != nil {
		return err
	}
	r, err := oneRun("show", words)
	if err != nil {
		return err
	}
	s := f.screen(a.stdout, a.stderr)
	s.Raw = f.raw
	text := title(r)
	if r.Start.Hosts > 0 {
		text += fmt.Sprintf(" on %s: %s", shorten(r.Start.Set, 60), r.Start.Command)
	}
	s.Say(text)
	shown, err := f.renderer(s)
	if err != nil {
		return err
	}
	show := render.Renderer(shown)
	if f.redact.find != nil {
		show = &render.Redact{To: show, Find: f.redact.find}
	}
	err = r.Replay(show)
	if errors.Is(err, render.ErrNoEnd) {
		ended := fmt.Sprintf("when %d of %s had ended", r.End.Hosts, count(r.Start.Hosts))
		s.Say(map[bool]string{true: "the run goes on: this is how it was ", false: "the run was interrupted "}[r.State == runs.Running] + ended)
		err = nil
	}
	switch {
	case err == nil && s.Err() != nil:
		return &codeError{exitPipe}
	case err == nil && shown.violated():
		return &codeError{exitViolated}
	}
	return err
}

// workingDir is where Shoal was called, or nothing.
func workingDir() string {
	dir, _ := os.Getwd()
	return dir
}
