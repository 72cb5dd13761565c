package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

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
	fold                     foldFlag
	foldStderr, both, byHost bool
	diff, same               bool
	expect                   expectFlag
	noLabels, raw            bool
	timestamps, largest      bool
	timings                  bool
	only                     choiceFlag
	outDir, errDir, report   string
	redact                   redactFlag

	view func(*render.Screen) render.Renderer // of another program; nil for Shoal's own
}

// redactFlag is a regular expression of what must not be shown.
type redactFlag struct{ find *regexp.Regexp }

func (f *redactFlag) Type() string { return "REGEX" }

func (f *redactFlag) String() string {
	if f.find == nil {
		return ""
	}
	return f.find.String()
}

func (f *redactFlag) Set(s string) error {
	find, err := regexp.Compile(s)
	if err != nil {
		return err
	}
	if find.MatchString("") {
		return errors.New("it matches where there is no text")
	}
	f.find = find
	return nil
}

// foldFlag asks for folding; its value, which may be left out, says what counts
// as equal.
type foldFlag struct{ choiceFlag }

func (f *foldFlag) add(fs *pflag.FlagSet) {
	f.words = []string{"exact", "loose"}
	fs.VarP(f, "fold", "b", "at the end, equal output once, under the hosts that gave it; loose masks their own names, addresses, times and process ids, and shows what differs")
	fs.Lookup("fold").NoOptDefVal = "exact"
}

func (f *foldFlag) on() bool    { return f.word != "" }
func (f *foldFlag) loose() bool { return f.word == "loose" }

// expectFlag is a text, or a regular expression between slashes.
type expectFlag struct {
	text  string
	match func(string) bool
}

func (f *expectFlag) String() string { return f.text }
func (f *expectFlag) Type() string   { return "TEXT|/REGEX/" }

func (f *expectFlag) Set(s string) error {
	f.text = s
	if len(s) < 2 || s[0] != '/' || s[len(s)-1] != '/' {
		f.match = func(output string) bool { return strings.TrimSpace(output) == strings.TrimSpace(s) }
		return nil
	}
	re, err := regexp.Compile(s[1 : len(s)-1])
	if err != nil {
		return err
	}
	f.match = func(output string) bool { return re.MatchString(strings.TrimSpace(output)) }
	return nil
}

func (f *outputFlags) add(fs *pflag.FlagSet) {
	f.init("json", "csv", "junit")
	f.only.words = []string{"ok", "failed"}
	f.fold.add(fs)
	fs.BoolVarP(&f.foldStderr, "fold-stderr", "B", false, "the same with stderr in it")
	fs.BoolVarP(&f.both, "live-fold", "L", false, "lines as they come, and folded at the end")
	fs.BoolVar(&f.byHost, "by-host", false, "at the end, a block for each host")
	fs.BoolVar(&f.diff, "diff", false, "at the end, the output of most hosts, and how that of the others differs")
	fs.BoolVar(&f.same, "same", false, "exit with 7 where output or exit status differ between hosts")
	fs.Var(&f.expect, "expect", "exit with 7 where a host writes anything else, blanks around it aside")
	fs.BoolVarP(&f.noLabels, "no-labels", "N", false, "lines without the host before them")
	fs.BoolVar(&f.timestamps, "timestamps", false, "the time before each line")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no output of the hosts, only failures and the summary")
	fs.VarP(&f.format, "output", "O", "lines for people, an object a line as it comes, or a document at the end")
	fs.StringVar(&f.outDir, "outdir", "", "write the stdout of each host to a file in `DIR`, named by the host")
	fs.StringVar(&f.errDir, "errdir", "", "write the stderr of each host to a file in `DIR`, named by the host")
	fs.StringVar(&f.report, "report", "", "write a page for a browser to `FILE`, with all output and times")
	fs.Var(&f.only, "only", "when a host ends, show its output, if it succeeded or if it did not")
	fs.BoolVar(&f.timings, "timings", false, "at the end, how long each stage took on each host, the slowest first")
	fs.Var(&f.redact, "redact", "mask what matches in everything that is shown or stored")
	fs.BoolVar(&f.raw, "raw", false, "pass on control characters in the hosts' output, which can fool a terminal")
	fs.Var(&f.color, "color", "colours; auto means on a terminal, unless NO_COLOR is set")
	fs.BoolVarP(&f.largest, "max-rc", "S", false, "exit with the largest exit status of the hosts, 255 where one was not reached or timed out")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "say on stderr how connecting goes, with times")
}

func (f *outputFlags) folds() bool {
	return f.fold.on() || f.foldStderr || f.both || f.byHost || f.diff
}

// check refuses what does not go together.
func (f *outputFlags) check() error {
	switch {
	case f.format.word != "text" && (f.folds() || f.noLabels || f.quiet || f.raw || f.timestamps):
		return &usageError{
			what: "-O " + f.format.word + " has everything in it and cannot be folded, cut or changed",
			hint: "leave out -b, -B, -L, -N, -q, --by-host, --diff, --raw and --timestamps",
		}
	case f.format.word == "jsonl" && f.only.word != "":
		return &usageError{what: "-O jsonl has the end of every host in it, and --only leaves some out", hint: "-O json goes with --only"}
	case f.quiet && f.only.word != "":
		return &usageError{what: "-q shows no output that --only could choose from", hint: "leave one of them out"}
	case f.outDir != "" && f.errDir != "" && filepath.Clean(f.outDir) == filepath.Clean(f.errDir):
		return &usageError{what: "--outdir and --errdir are the same folder, and their files would have the same names", hint: "name two"}
	case f.quiet && (f.folds() || f.noLabels):
		return &usageError{what: "-q shows no output that -b, -B, -L, -N, --by-host or --diff could show in another way", hint: "leave one of them out"}
	case f.noLabels && f.folds():
		return &usageError{what: "-N has no labels and folding is made of them", hint: "leave one of them out"}
	case f.both && (f.foldStderr || f.byHost):
		return &usageError{what: "-L folds stdout, and neither -B nor --by-host", hint: "leave one of them out"}
	case f.byHost && (f.diff || f.fold.on()):
		return &usageError{what: "--by-host folds nothing, and -b and --diff do", hint: "leave one of them out"}
	case f.largest && (f.same || f.expect.match != nil):
		return &usageError{what: "-S exits with a code of the hosts, and --same and --expect with 7", hint: "leave one of them out"}
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

// shown is what shows a run on the screen, but for its status line, and keeps
// what is to be kept.
type shown struct {
	render.Tee
	checks []render.Check
}

// violated reports whether --same or --expect was.
func (s *shown) violated() bool { return slices.ContainsFunc(s.checks, render.Check.Violated) }

// renderer readies what shows a run. Files are begun, and so that may fail.
func (f *outputFlags) renderer(s *render.Screen) (*shown, error) {
	var all shown
	if f.same {
		all.checks = append(all.checks, &render.Same{Screen: s, Stderr: f.foldStderr, Loose: f.fold.loose()})
	}
	if f.expect.match != nil {
		all.checks = append(all.checks, &render.Expect{Screen: s, Match: f.expect.match})
	}
	all.Tee = f.lines(s, all.checks)
	if f.view != nil {
		all.Tee = render.Tee{f.view(s)}
	}
	if f.only.word != "" {
		all.Tee = render.Tee{&render.Only{To: all.Tee, OK: f.only.word == "ok"}}
	}
	if f.outDir != "" || f.errDir != "" {
		files := &render.Files{Dir: f.outDir, ErrDir: f.errDir}
		if err := files.Prepare(); err != nil {
			return nil, err
		}
		all.Tee = append(all.Tee, files)
	}
	if f.report != "" {
		page := &render.HTML{File: f.report}
		if err := page.Prepare(); err != nil {
			return nil, fmt.Errorf("--report: %w", err)
		}
		all.Tee = append(all.Tee, page)
	}
	for _, c := range all.checks {
		all.Tee = append(all.Tee, c)
	}
	if f.timings {
		all.Tee = append(all.Tee, &render.Timings{Screen: s})
	}
	if f.view == nil {
		all.Tee = append(all.Tee, &render.Report{Screen: s})
	}
	return &all, nil
}

// redact masks what must not be shown; nil is nothing. It goes around everything
// that shows or stores a run.
func (j *job) redact(find *regexp.Regexp) {
	if find == nil {
		return
	}
	r := &render.Redact{To: j.renderer, Find: find}
	j.renderer, j.console.mask = r, r.Text
}

// lines returns what shows the output of the hosts.
func (f *outputFlags) lines(s *render.Screen, checks []render.Check) render.Tee {
	live := &render.Live{Screen: s, NoLabels: f.noLabels, Timestamps: f.timestamps}
	folded := &render.Fold{
		Screen: s, Stderr: f.foldStderr, ByHost: f.byHost, Timestamps: f.timestamps, QuietErr: f.both,
		Loose: f.fold.loose(), Diff: f.diff,
	}
	switch f.format.word {
	case "jsonl":
		return render.Tee{&render.JSONL{W: s.Out()}}
	case "json":
		return render.Tee{&render.JSON{W: s.Out()}}
	case "csv":
		return render.Tee{&render.CSV{W: s.Out()}}
	case "junit":
		return render.Tee{&render.JUnit{W: s.Out(), Checks: checks}}
	}
	switch {
	case f.quiet:
		return nil
	case f.both:
		return render.Tee{live, folded}
	case f.folds():
		return render.Tee{folded}
	}
	return render.Tee{live}
}
