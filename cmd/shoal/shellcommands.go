package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/hostlist"
	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/inventory"
)

// ownCommand is a line that begins with a colon.
type ownCommand struct {
	name, arg, about string
	do               func(s *session, ctx context.Context, arg string) error
}

func ownCommands() []ownCommand {
	return []ownCommand{
		{"all", "", "go on with all hosts of the session", (*session).takeAll},
		{"dir", "[DIR]", "run commands in DIR, or in the home folder", (*session).dir},
		{"failed", "", "go on with the hosts that failed in the last command", (*session).takeFailed},
		{"fanout", "N", "work on N hosts at once", (*session).fanout},
		{"fold", "on|off|loose", "show equal output once, lines as they come, or masked", (*session).fold},
		{"help", "", "show this", (*session).help},
		{"hosts", "", "show the hosts, and how each of them ended last", (*session).showHosts},
		{"only", "EXPR", "go on with those of the hosts alone", (*session).only},
		{"quit", "", "leave", func(*session, context.Context, string) error { return errQuit }},
		{"sudo", "[-K] [USER|off]", "run commands by sudo; -K asks for its password", (*session).sudo},
		{"timeout", "DUR|off", "end commands that take longer", (*session).timeout},
	}
}

// own does a line that begins with a colon.
func (s *session) own(ctx context.Context, text string) error {
	word, arg, _ := strings.Cut(text, " ")
	arg = strings.TrimSpace(arg)
	var known []string
	for _, c := range ownCommands() {
		if c.name != word {
			known = append(known, c.name)
			continue
		}
		if c.arg == "" && arg != "" {
			return &usageError{what: fmt.Sprintf(":%s takes nothing, got %q", word, arg), hint: ":help says what can be typed"}
		}
		return c.do(s, ctx, arg)
	}
	what := fmt.Sprintf("unknown command %q", ":"+word)
	if near := didYouMean(word, known); near != "" {
		what += strings.Replace(near, `"`, `":`, 1)
	}
	return &usageError{what: what, hint: ":help says what can be typed; a command that begins with a colon needs a blank behind it"}
}

func (s *session) help(context.Context, string) error {
	var text strings.Builder
	text.WriteString("Every line is a command that runs on all hosts, but for these:\n")
	for _, c := range ownCommands() {
		fmt.Fprintf(&text, "  %-24s %s\n", strings.TrimSpace(":"+c.name+" "+c.arg), c.about)
	}
	for _, c := range [][2]string{
		{"+EXPR", "add hosts, as in +web[1-3],db1"}, {"-EXPR", "take hosts out of the session, as in -web*"},
		{"@GROUP", "add the hosts of a group"}, {"!COMMAND", "run it here"},
		{"^C", "clear the line, or end the command that runs"}, {"^D", "leave, as :quit and exit do"},
		{"Tab", "complete a command or a file, as the first host has them"},
	} {
		fmt.Fprintf(&text, "  %-24s %s\n", c[0], c[1])
	}
	s.write(text.String())
	return nil
}

// write writes lines of Shoal's own.
func (s *session) write(text string) {
	s.console.show(func() { fmt.Fprint(s.app.stderr, text) })
}

// showHosts shows the hosts by how they ended.
func (s *session) showHosts(context.Context, string) error {
	var order []string
	by := make(map[string][]string)
	for _, h := range s.hosts {
		text := "never reached"
		if state, ok := s.ended[h.Name]; ok {
			text = state.text
			if !state.ok {
				text = "failed: " + text
			}
		}
		if by[text] == nil {
			order = append(order, text)
		}
		by[text] = append(by[text], h.Name)
	}
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(len(by[b]), len(by[a])) })
	var text strings.Builder
	text.WriteString(hostsText(hostNames(s.hosts)))
	if out := len(s.all) - len(s.hosts); out > 0 {
		fmt.Fprintf(&text, ", and %d more with :all", out)
	}
	text.WriteString("\n")
	for _, state := range order {
		fmt.Fprintf(&text, "  %s (%d): %s\n", render.Sanitize(state), len(by[state]), render.Sanitize(fold(by[state])))
	}
	s.write(text.String())
	return nil
}

// take goes on with some of the session's hosts.
func (s *session) take(hosts []shoal.Host) {
	s.hosts, s.ask.hosts = hosts, len(hosts)
	text := hostsText(hostNames(hosts))
	if len(hosts) < len(s.all) {
		text = fmt.Sprintf("%d of %s (%s)", len(hosts), count(len(s.all)), someHosts(hostNames(hosts)))
	}
	if s.person {
		s.console.say(text)
	}
}

func (s *session) takeAll(context.Context, string) error {
	s.take(s.all)
	return nil
}

func (s *session) takeFailed(context.Context, string) error {
	var hosts []shoal.Host
	for _, h := range s.all {
		if s.failed[h.Name] {
			hosts = append(hosts, h)
		}
	}
	if len(hosts) == 0 {
		return &noHostsError{what: ":failed: no host failed in the last command", hint: ":hosts shows how each of them ended"}
	}
	s.take(hosts)
	return nil
}

// add takes hosts into the session.
func (s *session) add(ctx context.Context, expr string) error {
	ctx, done := s.begin(ctx)
	defer done()
	f := s.flags
	t := targetFlags{exprs: []string{strings.TrimSpace(expr)}, inventories: f.target.inventories, example: "+web[1-3]"}
	if t.exprs[0] == "" || t.stdin() {
		return &usageError{what: "+ adds hosts, and none are named", hint: "as in: +web[1-3],db1"}
	}
	if err := f.connect.checkAgent(&t); err != nil {
		return err
	}
	names, err := t.names(ctx, nil, f.connect.file)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return stripFlag(err)
	}
	hosts, err := parseHosts(names)
	if err == nil {
		err = f.connect.aim(hosts, t.settings)
	}
	if err != nil {
		return err
	}
	s.all, s.hosts = joined(s.all, hosts), joined(s.hosts, hosts)
	tuneGCFor(min(f.pace.fanout.n, len(s.all)))
	s.take(s.hosts)
	return nil
}

// stripFlag takes the flag out of a complaint about an expression.
func stripFlag(err error) error {
	if e, ok := errors.AsType[*usageError](err); ok {
		return &usageError{what: strings.TrimPrefix(e.what, "-w: "), where: e.where, hint: e.hint}
	}
	return err
}

// joined is the hosts of both, each once.
func joined(a, b []shoal.Host) []shoal.Host {
	all := slices.Clone(a)
	has := newSet()
	for _, h := range a {
		has.add(h.Name)
	}
	for _, h := range b {
		if !has.has[h.Name] {
			has.add(h.Name)
			all = append(all, h)
		}
	}
	return all
}

// remove takes hosts out of the session.
func (s *session) remove(ctx context.Context, expr string) error {
	in, err := s.among(ctx, expr)
	if err != nil {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(s.hosts), in)
	if len(rest) == 0 {
		return &noHostsError{what: "no hosts would be left", hint: "nothing was changed; :quit leaves"}
	}
	s.all = slices.DeleteFunc(slices.Clone(s.all), in)
	s.take(rest)
	return nil
}

// only goes on with some of the hosts.
func (s *session) only(ctx context.Context, expr string) error {
	in, err := s.among(ctx, expr)
	if err != nil {
		return err
	}
	s.take(slices.DeleteFunc(slices.Clone(s.all), func(h shoal.Host) bool { return !in(h) }))
	return nil
}

// among returns a function that tells which hosts of the session an expression
// stands for, of which there are some. A name without user and port stands for the
// host with any of them; wildcards are for the hosts of the session.
func (s *session) among(ctx context.Context, expr string) (in func(shoal.Host) bool, err error) {
	ctx, done := s.begin(ctx)
	defer done()
	known := s.flags.target.known(ctx, s.flags.connect.file)
	p := hostlist.Parser{Groups: &sessionHosts{known, hostNames(s.all)}, Open: inventory.OpenHosts}
	e, err := p.Resolve(ctx, strings.TrimSpace(expr))
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, stripFlag(targetError("-w", err))
	}
	named := newSet()
	for name := range e.All() {
		named.add(name)
	}
	in = func(h shoal.Host) bool {
		bare := h.Name
		if parsed, err := shoal.ParseHost(h.Name); err == nil {
			bare = parsed.Addr
		}
		return named.has[h.Name] || named.has[bare]
	}
	if !slices.ContainsFunc(s.all, in) {
		return nil, &noHostsError{what: fmt.Sprintf("no host of the session is in %q", strings.TrimSpace(expr)), hint: ":hosts shows them, and + adds others"}
	}
	return in, nil
}

// sessionHosts are the groups that are known, with the hosts of a session for all
// there are.
type sessionHosts struct {
	hostlist.Groups
	names []string
}

func (g *sessionHosts) All(ctx context.Context, source string) ([]string, error) {
	if source != "" {
		return g.Groups.All(ctx, source)
	}
	return g.names, nil
}

// dir changes the folder, from the one before as cd does. What begins without a
// slash begins in the home folder, where commands run by themselves.
func (s *session) dir(_ context.Context, arg string) error {
	w, ok := lastWord(arg)
	if !ok || w.at > 0 {
		return &usageError{what: fmt.Sprintf(":dir: want one folder, got %q", arg), hint: "quote what your shell would want quoted, as in: :dir '/srv/my files'"}
	}
	dir := &s.flags.command.dir
	switch {
	case arg == "", arg == "~":
		*dir = ""
	case w.home, path.IsAbs(w.value):
		*dir = path.Clean(w.value)
	default:
		*dir = path.Join(*dir, w.value)
	}
	switch {
	case *dir == "", *dir == ".":
		*dir = ""
		s.tell("commands run in the home folder")
	case path.IsAbs(*dir):
		s.tell("commands run in %s", *dir)
	default:
		s.tell("commands run in ~/%s", *dir)
	}
	return nil
}

// tell confirms a setting to a person.
func (s *session) tell(format string, args ...any) {
	if s.person {
		s.console.say(fmt.Sprintf(format, args...))
	}
}

func (s *session) fanout(_ context.Context, arg string) error {
	if err := s.flags.pace.fanout.Set(arg); err != nil {
		return &usageError{what: fmt.Sprintf(":fanout: %v, got %q", err, arg), hint: "as in: :fanout 100"}
	}
	s.client.Limit = s.flags.pace.fanout.n
	tuneGCFor(min(s.client.Limit, len(s.all)))
	s.tell("%s at once", count(s.client.Limit))
	return nil
}

func (s *session) timeout(_ context.Context, arg string) error {
	if arg == "off" {
		s.flags.command.timeLimit = durationFlag{}
		s.tell("commands take as long as they take")
		return nil
	}
	if err := s.flags.command.timeLimit.Set(arg); err != nil {
		return &usageError{what: fmt.Sprintf(":timeout: %v, or off; got %q", err, arg), hint: "as in: :timeout 30s"}
	}
	s.tell("commands end after %s", plainDuration(s.flags.command.timeLimit.d))
	return nil
}

func (s *session) fold(_ context.Context, arg string) error {
	o := &s.flags.output
	switch arg {
	case "on":
		if !o.folds() {
			o.fold.word = "exact"
		}
		if o.fold.loose() {
			o.fold.word = "exact"
		}
	case "loose":
		o.fold.word, o.byHost = "loose", false
	case "off":
		o.fold.word, o.foldStderr, o.both, o.byHost, o.diff = "", false, false, false, false
	default:
		words := []string{"on", "off", "loose"}
		return &usageError{what: fmt.Sprintf(":fold: want one of %s%s, got %q", strings.Join(words, ", "), didYouMean(arg, words), arg), hint: "as in: :fold on"}
	}
	if o.folds() {
		o.quiet, o.noLabels = false, false
	}
	s.tell("output is shown %s", map[string]string{
		"on": "at the end, equal output once", "off": "as it comes", "loose": "at the end, equal output once, what differs by nature masked",
	}[arg])
	return nil
}

func (s *session) sudo(ctx context.Context, arg string) error {
	ctx, done := s.begin(ctx)
	defer done()
	rest, asks := strings.CutPrefix(arg, "-K")
	user := strings.TrimSpace(rest)
	if strings.ContainsAny(user, " \t") || strings.HasPrefix(user, "-") || asks && user == "off" {
		return &usageError{what: fmt.Sprintf(":sudo: want a user or off, got %q", arg), hint: "as in: :sudo, :sudo -K postgres, :sudo off"}
	}
	if asks {
		password, err := s.ask.sudoPassword(ctx)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return nil // ^C
			}
			return &usageError{what: ":sudo -K: " + err.Error(), hint: "nothing was changed"}
		}
		s.sudoPwd = password
	}
	if user == "off" {
		s.flags.command.sudo = ""
		s.tell("commands run as the user who is logged in")
		return nil
	}
	s.flags.command.sudo = cmp.Or(user, "root")
	s.tell("commands run as %s, by sudo", s.flags.command.sudo)
	return nil
}

// local runs a command here, by the user's shell.
func (s *session) local(ctx context.Context, line string) error {
	if strings.TrimSpace(line) == "" {
		return &usageError{what: "! runs a command here, and none is given", hint: "as in: !ls"}
	}
	args := []string{cmp.Or(os.Getenv("SHELL"), "/bin/sh"), "-c", line}
	if runtime.GOOS == "windows" {
		args = []string{cmp.Or(os.Getenv("ComSpec"), "cmd.exe"), "/C", line}
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = s.app.stdout, s.app.stderr
	if s.person { // a script's input has its next lines
		cmd.Stdin = s.app.stdin
	}
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		s.worst = worse(s.worst, exitFailed)
		s.app.say("here: " + err.Error())
		return nil
	}
	if err != nil {
		return &usageError{what: "here: " + err.Error(), hint: "$SHELL is the shell that runs it"}
	}
	return nil
}
