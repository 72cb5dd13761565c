package main

import (
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal/internal/render"
)

// viewFlags say how any command shows what it does.
type viewFlags struct {
	quiet, verbose bool
	format, color  choiceFlag
}

func (f *viewFlags) init(formats ...string) {
	f.format = choiceFlag{word: "text", words: append([]string{"text", "jsonl"}, formats...)}
	f.color = choiceFlag{word: "auto", words: []string{"auto", "always", "never"}}
}

// add adds them for commands that have no others.
func (f *viewFlags) add(fs *pflag.FlagSet) {
	f.init()
	fs.VarP(&f.format, "output", "O", "lines for people, or an object a line for programs")
	f.addRest(fs)
}

func (f *viewFlags) addRest(fs *pflag.FlagSet) {
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "only what went wrong, and the summary")
	fs.Var(&f.color, "color", "colours; auto means on a terminal, unless NO_COLOR is set")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "say on stderr how connecting goes, with times")
}

// outputFlags say how the run is shown.
type outputFlags struct {
	viewFlags
	fold, foldStderr, both, byHost bool
	noLabels, raw                  bool
	timestamps, largest            bool
}

func (f *outputFlags) add(fs *pflag.FlagSet) {
	f.init()
	fs.BoolVarP(&f.fold, "fold", "b", false, "at the end, equal output once, under the hosts that gave it")
	fs.BoolVarP(&f.foldStderr, "fold-stderr", "B", false, "the same with stderr in it")
	fs.BoolVarP(&f.both, "live-fold", "L", false, "lines as they come, and folded at the end")
	fs.BoolVar(&f.byHost, "by-host", false, "at the end, a block for each host")
	fs.BoolVarP(&f.noLabels, "no-labels", "N", false, "lines without the host before them")
	fs.BoolVar(&f.timestamps, "timestamps", false, "the time before each line")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no output of the hosts, only failures and the summary")
	fs.VarP(&f.format, "output", "O", "lines for people, or an object a line for programs")
	fs.BoolVar(&f.raw, "raw", false, "pass on control characters in the hosts' output, which can fool a terminal")
	fs.Var(&f.color, "color", "colours; auto means on a terminal, unless NO_COLOR is set")
	fs.BoolVarP(&f.largest, "max-rc", "S", false, "exit with the largest exit status of the hosts, 255 where one was not reached or timed out")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "say on stderr how connecting goes, with times")
}

func (f *outputFlags) folds() bool { return f.fold || f.foldStderr || f.both || f.byHost }

// check refuses what does not go together.
func (f *outputFlags) check() error {
	switch {
	case f.format.word == "jsonl" && (f.folds() || f.noLabels || f.quiet || f.raw || f.timestamps):
		return &usageError{what: "-O jsonl has everything in it and cannot be folded, cut or changed", hint: "leave out -b, -B, -L, -N, -q, --by-host, --raw and --timestamps"}
	case f.quiet && (f.folds() || f.noLabels):
		return &usageError{what: "-q shows no output that -b, -B, -L, -N or --by-host could show in another way", hint: "leave one of them out"}
	case f.noLabels && f.folds():
		return &usageError{what: "-N has no labels and folding is made of them", hint: "leave one of them out"}
	case f.both && (f.foldStderr || f.byHost):
		return &usageError{what: "-L folds stdout, and neither -B nor --by-host", hint: "leave one of them out"}
	}
	return nil
}

// screen returns the screen for the two outputs.
func (f *viewFlags) screen(stdout, stderr io.Writer) *render.Screen {
	s := &render.Screen{
		Stdout: stdout, StdoutTTY: isTerminal(stdout),
		Stderr: stderr, StderrTTY: isTerminal(stderr),
	}
	s.StdoutColor, s.StderrColor = f.colors(s.StdoutTTY), f.colors(s.StderrTTY)
	if cols, _, ok := terminalSize(stderr); ok {
		s.Width = cols
	}
	return s
}

func (f *viewFlags) colors(tty bool) bool {
	switch f.color.word {
	case "always":
		return true
	case "never":
		return false
	}
	// NO_COLOR counts where it is not empty: https://no-color.org.
	return tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// renderer returns what shows a run on the screen, but for its status line.
func (f *outputFlags) renderer(s *render.Screen) render.Renderer {
	report := &render.Report{Screen: s}
	live := &render.Live{Screen: s, NoLabels: f.noLabels, Timestamps: f.timestamps}
	switch {
	case f.format.word == "jsonl":
		return render.Tee{&render.JSONL{W: s.Out()}, report}
	case f.quiet:
		return report
	case f.both:
		return render.Tee{live, &render.Fold{Screen: s, QuietErr: true}, report}
	case f.folds():
		return render.Tee{&render.Fold{Screen: s, Stderr: f.foldStderr, ByHost: f.byHost, Timestamps: f.timestamps}, report}
	}
	return render.Tee{live, report}
}
