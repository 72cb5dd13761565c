package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/hostlist"
	"github.com/shoal-ssh/shoal/internal/runs"
	"github.com/shoal-ssh/shoal/inventory"
	"github.com/shoal-ssh/shoal/sshconfig"
)

// targetFlags say which hosts.
type targetFlags struct {
	exprs, literal, files, exclude []string
	groups                         []string
	inventories                    []string
	all, yes, shuffle              bool
	list, explain                  bool
	pick                           numberFlag
	limit                          shareFlag
	example                        string // of the command, with -w
	excludeFlag                    string // the long name of -x; empty means exclude

	settings map[string]inventory.Host // of the hosts, by name
	warnings []error                   // of the inventory
}

func (t *targetFlags) add(fs *pflag.FlagSet) {
	t.pick = numberFlag{min: 1, max: 1 << 30}
	fs.StringArrayVarP(&t.exprs, "hosts", "w", nil, "hosts: `EXPR` as in web[01-20],root@db1:2222 or @web!@down; ^FILE reads a hosts file, - stdin")
	fs.StringArrayVarP(&t.literal, "host", "H", nil, "one `HOST`, taken as it stands")
	fs.StringArrayVarP(&t.groups, "group", "g", nil, "the hosts of a `GROUP`, or of SOURCE:GROUP")
	fs.BoolVarP(&t.all, "all-hosts", "a", false, "all hosts of the default source of groups, or of --inventory; asks first")
	fs.StringArrayVar(&t.files, "hosts-file", nil, "hosts from a `FILE` of pssh or pdsh: an expression a line, # begins a comment")
	fs.StringArrayVar(&t.inventories, "inventory", nil, "groups and hosts of an Ansible inventory, a script that prints one, or ClusterShell's groups, in `PATH`")
	fs.StringArrayVarP(&t.exclude, cmp.Or(t.excludeFlag, "exclude"), "x", nil, "leave out the hosts of `EXPR`")
	fs.BoolVar(&t.shuffle, "shuffle", false, "take the hosts in random order")
	fs.Var(&t.pick, "pick", "only `N` of the hosts, at random")
	fs.Var(&t.limit, "limit", "only the first `N|N%` of the hosts")
	fs.BoolVar(&t.list, "list", false, "show the hosts, one a line, and run nothing")
	fs.BoolVar(&t.explain, "explain", false, "show what each part of the expressions stands for, and run nothing")
}

// addYes adds the answer to the question that -a asks.
func (t *targetFlags) addYes(fs *pflag.FlagSet) {
	fs.BoolVar(&t.yes, "yes", false, "with -a, ask nothing")
}

// shareFlag is a number of hosts or a part of them.
type shareFlag struct {
	n       int
	percent float64
}

func (f *shareFlag) String() string {
	switch {
	case f.percent > 0:
		return strconv.FormatFloat(f.percent, 'f', -1, 64) + "%"
	case f.n > 0:
		return strconv.Itoa(f.n)
	}
	return ""
}

func (f *shareFlag) Type() string { return "N|N%" }

func (f *shareFlag) Set(s string) error {
	*f = shareFlag{}
	if number, ok := strings.CutSuffix(s, "%"); ok {
		p, err := strconv.ParseFloat(number, 64)
		if err != nil || !(p > 0 && p <= 100) {
			return errors.New("want a part such as 10%, above 0 and at most 100")
		}
		f.percent = p
		return nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return errors.New("want a number of hosts from 1, or a part of them such as 10%")
	}
	f.n = n
	return nil
}

// of returns how many of so many hosts are meant; a part is rounded up.
func (f *shareFlag) of(hosts int) int {
	switch {
	case f.percent > 0:
		return int(math.Ceil(float64(hosts) * f.percent / 100))
	case f.n > 0:
		return min(f.n, hosts)
	}
	return hosts
}

// named reports whether flags name the hosts.
func (t *targetFlags) named() bool {
	return t.all || len(t.exprs)+len(t.literal)+len(t.files)+len(t.groups) > 0
}

// sets reports whether hosts are named otherwise than one by one, by other flags than
// -w, and by which.
func (t *targetFlags) sets() (flag string, ok bool) {
	switch {
	case len(t.files) > 0:
		return "--hosts-file", true
	case len(t.groups) > 0:
		return "-g", true
	}
	return "-a", t.all
}

// stdin reports whether the names of hosts come from standard input.
func (t *targetFlags) stdin() bool {
	return slices.Contains(t.exprs, "-") || slices.Contains(t.files, "-")
}

// targets returns the hosts that flags and words name, with the settings that flags
// and inventories have for them; nil where they were only to be listed.
func (a *app) targets(ctx context.Context, t *targetFlags, f *connectFlags, words []string) ([]shoal.Host, error) {
	t.exprs = append(t.exprs, words...)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &signals{cancel: cancel} // what is looked up may take its time
	defer s.watch()()
	if t.explain && t.named() {
		return nil, t.explainTo(ctx, a.stdout, f.file)
	}
	names, err := t.names(ctx, a.stdin, f.file)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, err
	}
	if t.list {
		return nil, a.list(names)
	}
	hosts, err := parseHosts(names)
	if err != nil {
		return nil, err
	}
	f.passedOver = t.warnings
	if err := f.aim(hosts, t.settings); err != nil {
		return nil, err
	}
	return hosts, nil
}

// confirm asks about -a before anything is done.
func (t *targetFlags) confirm(ctx context.Context, j *job) error {
	if !t.all || t.yes {
		return nil
	}
	if err := j.ask.check(); err != nil {
		return &usageError{what: "-a: " + err.Error(), hint: "give --yes to take all hosts without a question"}
	}
	names := make([]string, len(j.hosts))
	for i, h := range j.hosts {
		names[i] = h.Name
	}
	who := []rune(fold(names))
	if len(who) > 60 {
		who = append(who[:60], '…')
	}
	sure, err := j.ask.confirm(ctx, fmt.Sprintf("All hosts: %s, %s. Go on", count(len(names)), string(who)))
	if err != nil {
		return err
	}
	if !sure {
		j.console.say("nothing was done: " + errDeclined.Error())
		return &codeError{exitPolicy}
	}
	return nil
}

// names returns the hosts, each once, in the order in which they were named, and notes
// what an inventory has for them.
func (t *targetFlags) names(ctx context.Context, stdin io.Reader, sshConfig string) ([]string, error) {
	if !t.named() {
		hint := "name them with -w, as in: " + t.example
		if len(t.inventories) > 0 {
			hint = "name them with -w or -g, or take all of the inventory with -a"
		}
		return nil, &usageError{what: "no hosts given", hint: hint}
	}
	known := t.known(ctx, sshConfig)
	p := hostlist.Parser{Groups: known, Open: inventory.OpenHosts}
	s := newSet()
	for _, expr := range t.exprs {
		if err := s.addAll("-w", named(ctx, p, expr, stdin)); err != nil {
			return nil, err
		}
	}
	for _, host := range t.literal {
		s.add(host)
	}
	for _, group := range t.groups {
		if err := s.addAll("-g", inGroups(ctx, p, group)); err != nil {
			return nil, err
		}
	}
	if t.all {
		if err := s.addAll("-a", named(ctx, p, "@*", nil)); err != nil {
			return nil, err
		}
	}
	for _, file := range t.files {
		if err := s.addAll("--hosts-file", inFile(file, stdin)); err != nil {
			return nil, err
		}
	}
	found := len(s.names)
	for _, expr := range t.exclude {
		if err := s.removeAll("-x", named(ctx, p, expr, stdin)); err != nil {
			return nil, err
		}
	}
	if len(s.names) == 0 && found > 0 {
		return nil, &noHostsError{what: "no hosts are left after -x", hint: "see what -w stands for with --list"}
	}
	if len(s.names) == 0 {
		return nil, &noHostsError{what: "no hosts", hint: "the list of hosts is empty"}
	}
	names := t.choose(s.names)
	return names, t.lookUp(known, names)
}

// known are the groups, which are opened when they are wanted.
func (t *targetFlags) known(ctx context.Context, sshConfig string) *knownGroups {
	return &knownGroups{open: sync.OnceValues(func() (*inventory.Inventory, error) { return t.open(ctx, sshConfig) })}
}

// explainTo writes the steps by which the hosts are found.
func (t *targetFlags) explainTo(ctx context.Context, w io.Writer, sshConfig string) error {
	if t.stdin() {
		return &usageError{what: "--explain: names from standard input are no expression", hint: "--list shows what they come to"}
	}
	words := slices.Concat(t.exprs, t.literal)
	for _, group := range t.groups {
		words = append(words, "@"+strings.TrimPrefix(group, "@"))
	}
	if t.all {
		words = append(words, "@*")
	}
	for _, file := range t.files {
		words = append(words, "^"+file)
	}
	expr := unionOf(words)
	for _, x := range t.exclude {
		expr = "(" + expr + ")!(" + x + ")"
	}
	p := hostlist.Parser{Groups: t.known(ctx, sshConfig), Open: inventory.OpenHosts}
	steps, err := p.Explain(ctx, expr)
	if err != nil {
		return targetError("--explain", err)
	}
	out := bufio.NewWriter(w)
	writeSteps(out, steps)
	return out.Flush()
}

// unionOf is the expression of all of these together.
func unionOf(words []string) string {
	if len(words) > 1 {
		words = slices.Clone(words)
		for i, word := range words {
			if strings.ContainsAny(word, "!&^ ") && !strings.HasPrefix(word, "^") {
				words[i] = "(" + word + ")"
			}
		}
	}
	return strings.Join(words, ",")
}

// choose takes the hosts that --shuffle, --pick and --limit leave.
func (t *targetFlags) choose(names []string) []string {
	if t.pick.n > 0 {
		names = hostlist.Pick(names, t.pick.n, nil)
	}
	if t.shuffle {
		rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	}
	return names[:t.limit.of(len(names))]
}

// open reads what --inventory names, or else what the user has set up.
func (t *targetFlags) open(ctx context.Context, sshConfig string) (*inventory.Inventory, error) {
	aliases := func() (*sshconfig.Config, error) { return sshconfig.Load(sshconfig.Options{File: sshConfig}) }
	if len(t.inventories) == 0 {
		return inventory.User(aliases)
	}
	inv, err := inventory.Open(ctx, t.inventories...)
	if err != nil {
		return nil, &inventoryError{err}
	}
	inv.AddSSH(aliases)
	return inv, nil
}

// lookUp notes the settings that an inventory has for hosts.
func (t *targetFlags) lookUp(known *knownGroups, names []string) error {
	if len(t.inventories) == 0 {
		return nil
	}
	inv, err := known.open()
	if err != nil {
		return targetError("--inventory", err)
	}
	t.settings, t.warnings = make(map[string]inventory.Host), inv.Warnings()
	for _, name := range names {
		h, err := shoal.ParseHost(name)
		if err != nil {
			continue // told later
		}
		found, ok, err := inv.Host(h.Addr)
		if err != nil {
			return &usageError{what: "--inventory: " + err.Error(), hint: "leave the host out with -x " + h.Addr + ", or change the inventory"}
		}
		if ok {
			t.settings[name] = found
		}
	}
	return nil
}

// inventoryError is an inventory that cannot be read.
type inventoryError struct{ err error }

func (e *inventoryError) Error() string { return e.err.Error() }
func (e *inventoryError) Unwrap() error { return e.err }

// sourceRun is the source of groups that are hosts of earlier runs.
const sourceRun = "run"

// knownGroups are the groups of an inventory, which is opened when they are wanted,
// and of the journal.
type knownGroups struct {
	source string // that stands for the default one; may be empty
	open   func() (*inventory.Inventory, error)
}

func (k *knownGroups) Group(ctx context.Context, source, name string) ([]string, error) {
	groups, err := k.of(&source)
	if err != nil {
		return nil, err
	}
	return groups.Group(ctx, source, name)
}

func (k *knownGroups) All(ctx context.Context, source string) ([]string, error) {
	groups, err := k.of(&source)
	if err != nil {
		return nil, err
	}
	return groups.All(ctx, source)
}

func (k *knownGroups) Names(ctx context.Context, source string) ([]string, error) {
	groups, err := k.of(&source)
	if err != nil {
		return nil, err
	}
	return groups.Names(ctx, source)
}

// of returns who knows a source, and sets the default one.
func (k *knownGroups) of(source *string) (hostlist.Groups, error) {
	if *source = cmp.Or(*source, k.source); *source == sourceRun {
		return new(runs.Journal), nil
	}
	return k.open()
}

// inGroups yields the hosts of an argument of -g: the names of groups, with commas
// between them.
func inGroups(ctx context.Context, p hostlist.Parser, arg string) iter.Seq2[string, error] {
	var expr strings.Builder
	depth := 0
	for i, word := range strings.Split(strings.TrimPrefix(arg, "@"), ",") {
		switch {
		case i > 0 && depth == 0:
			expr.WriteString(",@")
		case i > 0:
			expr.WriteByte(',')
		default:
			expr.WriteByte('@')
		}
		depth += strings.Count(word, "[") - strings.Count(word, "]")
		if depth == 0 || i == 0 {
			word = strings.TrimPrefix(strings.TrimSpace(word), "@")
		}
		expr.WriteString(word)
	}
	return named(ctx, p, expr.String(), nil)
}

// named yields the hosts of an argument of -w or -x.
func named(ctx context.Context, p hostlist.Parser, arg string, stdin io.Reader) iter.Seq2[string, error] {
	if arg == "-" {
		return inFile(arg, stdin)
	}
	return func(yield func(string, error) bool) {
		e, err := p.Resolve(ctx, arg)
		if err != nil {
			yield("", err)
			return
		}
		for name := range e.All() {
			if !yield(name, nil) {
				return
			}
		}
	}
}

// inFile yields the hosts of a hosts file; - is standard input.
func inFile(name string, stdin io.Reader) iter.Seq2[string, error] {
	if name != "-" {
		return inventory.HostsFile(name)
	}
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	return inventory.ReadHostsFile("standard input", stdin)
}

// hostSet is names in the order in which they came, each once.
type hostSet struct {
	names []string
	has   map[string]bool
}

func newSet() *hostSet { return &hostSet{has: make(map[string]bool)} }

func (s *hostSet) add(name string) {
	if !s.has[name] {
		s.has[name] = true
		s.names = append(s.names, name)
	}
}

func (s *hostSet) addAll(flag string, names iter.Seq2[string, error]) error {
	for name, err := range names {
		if err != nil {
			return targetError(flag, err)
		}
		s.add(name)
	}
	return nil
}

// removeAll takes names out. One without a user and a port stands for the host
// with any of them: leaving out too much is safer than too little.
func (s *hostSet) removeAll(flag string, names iter.Seq2[string, error]) error {
	gone := make(map[string]bool)
	for name, err := range names {
		if err != nil {
			return targetError(flag, err)
		}
		gone[name] = true
	}
	s.names = slices.DeleteFunc(s.names, func(name string) bool {
		bare := name
		if h, err := shoal.ParseHost(name); err == nil {
			bare = h.Addr
		}
		return gone[name] || gone[bare]
	})
	return nil
}

// targetError puts a mistake in the naming of hosts into words.
func targetError(flag string, err error) error {
	if e, ok := errors.AsType[*inventoryError](err); ok {
		return &usageError{what: "--inventory: " + e.Error(), hint: "it names an Ansible inventory, a script that prints one, ClusterShell's groups or a hosts file"}
	}
	where, hint, caret := flag, "shoal help host-expressions says how hosts are named", ""
	if e, ok := err.(*inventory.FileError); ok {
		where, hint, err = e.File, "a line is an expression, and behind a blank the user", e.Err
		if e.Line > 0 {
			where = fmt.Sprintf("%s:%d", e.File, e.Line)
		}
	}
	what := where + ": " + err.Error()
	if e, ok := errors.AsType[*hostlist.SyntaxError](err); ok {
		caret = "  " + strings.ReplaceAll(e.Caret(), "\n", "\n  ")
		what = where + ": " + e.Msg
		if e.Err == nil {
			return &usageError{what: what, where: caret, hint: e.Hint}
		}
	}
	if e, ok := errors.AsType[*inventory.UnknownGroupError](err); ok {
		return &usageError{what: e.Error() + didYouMean(e.Name, e.Known), where: caret, hint: knownNames("the groups are ", e.Known)}
	}
	if e, ok := errors.AsType[*inventory.UnknownSourceError](err); ok {
		return unknownSource(e, caret)
	}
	return &usageError{what: what, where: caret, hint: hint}
}

// unknownSource says where groups come from.
func unknownSource(e *inventory.UnknownSourceError, caret string) error {
	if e.Name == "" {
		return &usageError{what: e.Error(), where: caret,
			hint: "they are read from --inventory, ClusterShell's groups.conf, ~/.config/shoal/groups.d/*.yaml and ~/.dsh/group"}
	}
	return &usageError{what: fmt.Sprintf("unknown source of groups %q%s", e.Name, didYouMean(e.Name, e.Known)), where: caret,
		hint: knownNames("the sources are ", e.Known)}
}

// knownNames lists names, as far as they fit.
func knownNames(intro string, names []string) string {
	if len(names) == 0 {
		return "there are none"
	}
	text := intro + strings.Join(names[:min(len(names), 8)], ", ")
	if len(names) > 8 {
		text += fmt.Sprintf(" and %d more", len(names)-8)
	}
	return text
}

// parseHosts makes hosts of names.
func parseHosts(names []string) ([]shoal.Host, error) {
	hosts := make([]shoal.Host, len(names))
	for i, name := range names {
		h, err := shoal.ParseHost(name)
		if err != nil {
			return nil, &usageError{what: err.Error(), hint: "a host is [user@]name[:port] or [user@][ipv6][:port]"}
		}
		hosts[i] = h
	}
	return hosts, nil
}
