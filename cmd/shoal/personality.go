package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal/internal/render"
)

// personality is another program's command line, which Shoal understands where
// it is called by that program's name: its options are put into Shoal's own
// words, and what comes of them is shown as that program shows it.
type personality struct {
	options  func(*translation) []option
	usage    string
	badUsage int // exit code of wrong usage

	// finish completes the translation with the words behind the options.
	finish func(t *translation, words []string) error
}

// personalities are those that Shoal has, by name.
func personalities() map[string]*personality {
	return map[string]*personality{
		"pdsh":  pdshPersonality(),
		"clush": clushPersonality(),
		"pssh":  psshPersonality(), "parallel-ssh": psshPersonality(),
		"pscp": pscpPersonality(), "parallel-scp": pscpPersonality(),
		"pslurp": pslurpPersonality(), "parallel-slurp": pslurpPersonality(),
		"nodeset": nodesetPersonality(),
		"dshbak":  dshbakPersonality(),
	}
}

// option is one of another program's options.
type option struct {
	short, long string
	value       bool // it takes one
	do          func(value string) error
}

// translation is a command line on its way into Shoal's words.
type translation struct {
	app     *app
	name    string // of the program
	command string // of Shoal
	flags   []string
	words   []string
	extra   []string // words for ssh, given one by one

	intersperse func() // lets options stand behind other words

	commands   []string // of nodeset
	operations []operation
	given      map[string]string // the last value of each option, by its short or else long name

	guise  guise
	direct func(context.Context) error // what to do where no command of Shoal does it
}

// guise is how another program shows what Shoal does, and how it exits. The
// zero value is Shoal's own.
type guise struct {
	name string // by which it speaks; "shoal" where empty

	// view shows the output of a run and how the hosts ended.
	view func(s *render.Screen, names []string) render.Renderer

	// code is the exit code of a run; usage, none and broken are the codes of
	// wrong usage, no hosts and everything else that kept it from working.
	code                func(*verdict) int
	usage, none, broken int

	emptyOK bool // an empty set of hosts is no mistake of shoal hosts
}

// flag adds one of Shoal's flags.
func (t *translation) flag(name, value string) { t.flags = append(t.flags, "--"+name+"="+value) }

// exclude leaves out hosts, by the flag whose letter all commands have.
func (t *translation) exclude(expr string) { t.flags = append(t.flags, "-x"+expr) }

// note says on standard error what does not happen.
func (t *translation) note(text string) { fmt.Fprintf(t.app.stderr, "%s: note: %s\n", t.name, text) }

// has reports whether an option was given.
func (t *translation) has(name string) bool { _, ok := t.given[name]; return ok }

// to is an option whose value is that of one of Shoal's flags.
func (t *translation) to(short, long, flag string) option {
	return option{short, long, true, func(v string) error { t.flag(flag, v); return nil }}
}

// set is an option without a value, as one of Shoal's flags.
func (t *translation) set(short, long, flag string) option {
	return option{short, long, false, func(string) error { t.flag(flag, "true"); return nil }}
}

// keep is an option that finish looks at.
func (t *translation) keep(short, long string, value bool) option {
	return option{short, long, value, func(string) error { return nil }}
}

// ignored is an option that means nothing to Shoal; the note says why, where it
// is not empty.
func (t *translation) ignored(short, long string, value bool, note string) option {
	return option{short, long, value, func(string) error {
		if note != "" {
			t.note(optionName(short, long) + ": " + note)
		}
		return nil
	}}
}

// refused is an option that Shoal does not have.
func (t *translation) refused(short, long string, value bool, instead string) option {
	return option{short, long, value, func(string) error {
		return &usageError{what: optionName(short, long) + " of " + t.name + " is not supported", hint: instead}
	}}
}

// seconds is a time limit, for which 0 is none; zero is then given to flag, or
// nothing where it is empty.
func (t *translation) seconds(short, long, flag, zero string) option {
	return option{short, long, true, func(v string) error {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil || n < 0 {
			return &usageError{what: fmt.Sprintf("%s: %q is not a number of seconds", optionName(short, long), v)}
		}
		if n == 0 {
			if zero != "" {
				t.flag(flag, zero)
			}
			return nil
		}
		t.flag(flag, v)
		return nil
	}}
}

func optionName(short, long string) string {
	if short != "" {
		return "-" + short
	}
	return "--" + long
}

// optionValue has an option happen when it is met.
type optionValue struct {
	option
	given map[string]string
}

func (v *optionValue) String() string { return "" }
func (v *optionValue) Type() string   { return "value" }
func (v *optionValue) Set(s string) error {
	v.given[cmp.Or(v.short, v.long)] = s
	return v.do(s)
}

// parse takes the options of args and returns the other words.
func (p *personality) parse(t *translation, args []string) ([]string, error) {
	fs := pflag.NewFlagSet(t.name, pflag.ContinueOnError)
	fs.SetInterspersed(false)
	t.intersperse = func() { fs.SetInterspersed(true) }
	fs.Usage = func() {}
	fs.SetOutput(io.Discard)
	for _, o := range p.options(t) {
		f := fs.VarPF(&optionValue{o, t.given}, cmp.Or(o.long, "-"+o.short), o.short, "")
		if !o.value {
			f.NoOptDefVal = "true"
		}
	}
	err := fs.Parse(args)
	switch {
	case err == nil:
		return fs.Args(), nil
	case errors.Is(err, pflag.ErrHelp):
		return nil, &helpWanted{}
	case errors.Is(err, errShown):
		return nil, errShown
	}
	if e, ok := errors.AsType[*helpWanted](err); ok {
		return nil, e
	}
	if e, ok := errors.AsType[*usageError](err); ok {
		return nil, e
	}
	e, _ := errors.AsType[*usageError](flagError(fs, "", err))
	e.hint = p.usage
	return nil, e
}

// helpWanted asks for the usage.
type helpWanted struct{}

func (*helpWanted) Error() string { return "help is wanted" }

// runAs is the program called by a name: another program's, or Shoal's own.
func runAs(ctx context.Context, program string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	name := strings.TrimSuffix(filepath.Base(program), ".exe")
	p := personalities()[name]
	if p == nil {
		return run(ctx, args, stdin, stdout, stderr)
	}
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	return a.imitate(ctx, name, p, args)
}

// imitate does what the other program would do.
func (a *app) imitate(ctx context.Context, name string, p *personality, args []string) int {
	t := &translation{app: a, name: name, given: make(map[string]string)}
	t.guise = guise{name: name, usage: p.badUsage, none: p.badUsage, broken: 1}
	a.guise = t.guise
	words, err := p.parse(t, args)
	if err == nil {
		err = p.finish(t, words)
	}
	if errors.Is(err, errShown) {
		return exitOK
	}
	if _, ok := errors.AsType[*helpWanted](err); ok {
		fmt.Fprintf(a.stdout, "%s\nThis is Shoal, which understands what %s understands: see docs/personalities.md.\n", p.usage, name)
		return exitOK
	}
	if err != nil {
		return a.finish(err)
	}
	a.guise = t.guise
	if t.direct != nil {
		return a.finish(t.direct(ctx))
	}
	argv := append([]string{t.command}, t.flags...)
	return a.main(ctx, append(append(argv, "--"), t.words...))
}

// errShown ends the program well, where an option asked to show something.
var errShown = errors.New("shown")

// version is an option that shows which version this is.
func (t *translation) version(short, long string) option {
	return option{short, long, false, func(string) error {
		fmt.Fprintf(t.app.stdout, "%s (%s)\n", t.name, versionText())
		return errShown
	}}
}

// help is an option that shows the usage.
func (t *translation) help(short, long string) option {
	return option{short, long, false, func(string) error { return &helpWanted{} }}
}

// sshOptions puts the words of ssh's own command line into Shoal's flags; from
// is the option that they came with.
func (t *translation) sshOptions(from string, words []string) error {
	flags := map[byte]string{'o': "option", 'i': "identity", 'l': "user", 'p': "port", 'F': "ssh-config", 'J': "jump"}
	alone := map[byte]string{'4': "ipv4=true", '6': "ipv6=true", 'A': "forward-agent=true", 't': "tty=true", 'T': "tty=false", 'a': "option=ForwardAgent=no"}
	const silent = "qxkCn" // what they ask for is the case anyway, or says nothing about results
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		if len(word) < 2 || word[0] != '-' {
			return &usageError{what: fmt.Sprintf("%s: %q is no option of ssh", from, word), hint: "-o, -i, -l, -p, -F, -J, -4, -6, -A and -t of ssh are understood here"}
		}
		for i := 1; i < len(word); i++ {
			c := word[i]
			if flag := alone[c]; flag != "" {
				t.flags = append(t.flags, "--"+flag)
				continue
			}
			if strings.IndexByte(silent, c) >= 0 {
				continue
			}
			name := flags[c]
			if name == "" {
				return &usageError{what: fmt.Sprintf("%s: -%c of ssh is not supported", from, c),
					hint: "say it in ssh_config(5), or with -o KEY=VALUE; -o, -i, -l, -p, -F, -J, -4, -6, -A and -t of ssh are understood here"}
			}
			value := word[i+1:]
			if value == "" {
				if len(words) == 0 {
					return &usageError{what: fmt.Sprintf("%s: -%c of ssh needs a value", from, c), hint: "as in: -o ConnectTimeout=5"}
				}
				value, words = words[0], words[1:]
			}
			t.flag(name, sshValue(c, value))
			break
		}
	}
	return nil
}

// sshValue is the value of an option of ssh in Shoal's form: "KEY VALUE" is
// KEY=VALUE.
func sshValue(option byte, value string) string {
	if option == 'o' && !strings.Contains(value, "=") {
		if key, rest, ok := strings.Cut(strings.TrimSpace(value), " "); ok {
			return key + "=" + strings.TrimSpace(rest)
		}
	}
	return value
}

// splitWords takes a line apart at blanks, with quotes and backslashes as in a
// shell.
func splitWords(line string) ([]string, error) {
	var all []string
	var word strings.Builder
	in, begun := byte(0), false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && in != '\'' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			begun = true
		case in != 0 && c == in:
			in = 0
		case in != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			in, begun = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if begun {
				all = append(all, word.String())
				word.Reset()
				begun = false
			}
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if in != 0 {
		return nil, fmt.Errorf("%q lacks a closing %c", line, in)
	}
	if begun {
		all = append(all, word.String())
	}
	return all, nil
}

// sshLine is sshOptions of a line.
func (t *translation) sshLine(from, line string) error {
	words, err := splitWords(line)
	if err != nil {
		return &usageError{what: from + ": " + err.Error(), hint: "quote as for a shell"}
	}
	return t.sshOptions(from, words)
}

// splitHosts takes a list of hosts apart at the commas outside of brackets.
func splitHosts(list string) []string {
	var all []string
	depth, start := 0, 0
	for i, c := range list {
		switch c {
		case '[', '(':
			depth++
		case ']', ')':
			depth--
		case ',':
			if depth == 0 {
				all = append(all, list[start:i])
				start = i + 1
			}
		}
	}
	return append(all, list[start:])
}

// exit is the exit code that the other program has instead of Shoal's.
func (g *guise) exit(theirs, ours int) int {
	if g.name == "" {
		return ours
	}
	return theirs
}

// viewOf is the other program's view of these hosts; nil for Shoal's own.
func (g *guise) viewOf(names []string) func(*render.Screen) render.Renderer {
	if g.view == nil {
		return nil
	}
	return func(s *render.Screen) render.Renderer { return g.view(s, names) }
}
