package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal/internal/render"
)

const foldHelp = `Read lines of the form "host: text", as pdsh, clush and shoal run write them, and
show equal output once, under the hosts that gave it. What shoal run -O jsonl
wrote is read too, with how the hosts ended.

Lines without a host are said on stderr. The exit code is 0, and 7 where --same
finds that hosts differ.`

const foldExample = `  pdsh -w 'node[1-4]' uname -r | shoal fold
  shoal fold --diff <saved.txt
  shoal fold --fold=loose <run.jsonl`

// foldFlags are the flags of shoal fold.
type foldFlags struct {
	view       viewFlags
	fold       foldFlag
	foldStderr bool
	byHost     bool
	diff, same bool
}

func (f *foldFlags) add(fs *pflag.FlagSet) {
	f.view.init()
	fs.VarP(&f.fold, "fold", "b", "what counts as equal; loose masks the hosts' own names, addresses, times and process ids, and shows what differs")
	f.fold.words = []string{"exact", "loose"}
	fs.Lookup("fold").NoOptDefVal = "exact"
	fs.BoolVarP(&f.foldStderr, "fold-stderr", "B", false, "of jsonl, fold stderr too, which is shown apart without")
	fs.BoolVar(&f.byHost, "by-host", false, "a block for each host")
	fs.BoolVar(&f.diff, "diff", false, "the output of most hosts, and how that of the others differs")
	fs.BoolVar(&f.same, "same", false, "exit with 7 where output or exit status differ between hosts")
	fs.BoolP("coalesce", "c", false, "as dshbak -c, which is what happens anyway")
	fs.Lookup("coalesce").Hidden = true
	fs.Var(&f.view.color, "color", "colours; auto means on a terminal, unless NO_COLOR is set")
}

func (a *app) foldCommand() *cobra.Command {
	var f foldFlags
	c := &cobra.Command{
		Use:                   "fold [FLAGS] <FILE",
		Short:                 "Fold lines of the form host: text",
		Long:                  foldHelp,
		Example:               foldExample,
		DisableFlagsInUseLine: true,
		Args:                  noWords,
		RunE:                  func(*cobra.Command, []string) error { return a.fold(&f) },
	}
	addGroups(c, []flagGroup{newGroup("Flags", f.add)})
	return c
}

// fold is shoal fold.
func (a *app) fold(f *foldFlags) error {
	switch {
	case f.byHost && (f.diff || f.fold.on()):
		return &usageError{what: "--by-host folds nothing, and -b and --diff do", hint: "leave one of them out"}
	case a.stdin == nil || isTerminal(a.stdin):
		return &usageError{what: "nothing to fold is piped in", hint: "as in: pdsh -w 'node[1-4]' uname -r | shoal fold"}
	}
	s := f.view.screen(a.stdout, a.stderr)
	show := render.Tee{&render.Fold{Screen: s, Stderr: f.foldStderr, Loose: f.fold.loose(), Diff: f.diff, ByHost: f.byHost}}
	same := &render.Same{Screen: s, Stderr: f.foldStderr, Loose: f.fold.loose()}
	if f.same {
		show = append(show, same)
	}
	if err := readRun(a.stdin, s, show); err != nil {
		return err
	}
	switch {
	case s.Err() != nil:
		return &codeError{exitPipe}
	case f.same && same.Violated():
		return &codeError{exitViolated}
	}
	return nil
}

// readRun tells the run that is read to show: a record, or lines with labels.
func readRun(r io.Reader, s *render.Screen, show render.Tee) error {
	in := bufio.NewReader(r)
	start, err := in.Peek(len(`{"v":`))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if bytes.Equal(start, []byte(`{"v":`)) {
		return render.Replay(in, append(show, &render.Report{Screen: s}))
	}
	return render.Labelled(in, show, func(number int, line string) {
		s.Say(fmt.Sprintf("line %d has no host: %s", number, line))
	})
}
