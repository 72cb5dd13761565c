package main

import (
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/internal/runs"
)

// journalFlags say whether a run is kept.
type journalFlags struct{ off bool }

func (f *journalFlags) add(fs *pflag.FlagSet) {
	fs.BoolVar(&f.off, "no-journal", false, "do not keep this run for shoal show and shoal rerun")
}

// keep has a run kept in the journal, as it is shown, unless it is one of the demo.
func (a *app) keep(j *job, f *journalFlags) {
	if f.off || a.reach != nil {
		return
	}
	screen := j.console.screen // which is the renderers' when they are called
	j.renderer = render.Tee{&runs.Recorder{
		Journal: &runs.Journal{},
		Warn: func(err error) {
			screen.Say("warning: " + err.Error())
			screen.Hint("--no-journal keeps no record of a run")
		},
	}, j.renderer}
}

// origin is what the record of a run says about its command line, so that it can
// be done again.
type origin struct {
	args    []string
	dir     string
	stdin   bool
	repeats string
	hosts   string // of a repeated run: what stands in args for its hosts
}

// tell adds it to the start of a run.
func (o *origin) tell(s *render.Start) {
	s.Args, s.Stdin, s.Repeats = o.args, o.stdin, o.repeats
	if len(o.args) > 0 {
		s.Dir = o.dir
	}
}

// takeOrigin notes how the command was called.
func (a *app) takeOrigin(c *cobra.Command) {
	if a.reach != nil || len(a.args) == 0 {
		return
	}
	a.origin.args = a.commandLine(c)
	if dir, err := os.Getwd(); err == nil && utf8.ValidString(dir) {
		a.origin.dir = dir
	}
}

// commandLine is the command line as it is kept: flags in one form, values of
// variables left out, since they may be secrets. It is nil where it is not UTF-8,
// which a record could not tell exactly.
func (a *app) commandLine(c *cobra.Command) []string {
	words := []string{c.Name()}
	if a.origin.hosts != "" {
		words = append(words, "--hosts="+a.origin.hosts)
	}
	fs := pflag.NewFlagSet(c.Name(), pflag.ContinueOnError)
	fs.AddFlagSet(c.Flags())
	fs.SetInterspersed(c.Name() != "run" && c.Name() != "script") // as the command itself has it
	err := fs.ParseAll(a.args[1:], func(flag *pflag.Flag, value string) error {
		switch {
		case flag.Name == "host" && a.origin.hosts != "":
			return nil
		case flag.Name == "env":
			value, _, _ = strings.Cut(value, "=")
		}
		words = append(words, "--"+flag.Name+"="+value)
		return nil
	})
	words = append(append(words, "--"), fs.Args()...)
	for _, w := range words {
		if err != nil || !utf8.ValidString(w) {
			return nil
		}
	}
	return words
}
