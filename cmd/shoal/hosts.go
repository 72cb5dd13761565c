package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/shoal-ssh/shoal/hostlist"
	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/inventory"
)

const hostsHelp = `Say which hosts an expression stands for, and count, fold, expand, split or
regroup them. Several expressions are one set; without any, or for -, they come
from stdin, with blanks or lines between them. shoal help host-expressions
says how hosts are named.

The letters are those of ClusterShell's nodeset, and so is the order of hosts.`

const hostsExample = `  shoal hosts web3 web1 web2                     web[1-3]
  shoal hosts -e 'web[01-10]!web[03-04]'         one a line
  shoal hosts --explain '@compute & (rack[1-4]* ! @down)'
  shoal hosts -I 0-99 --split 4 @compute         the first 100, in four parts`

// hostsFlags are the flags of shoal hosts.
type hostsFlags struct {
	fold, expand, count, regroup, explain bool
	list                                  int

	all         bool
	inventories []string
	exclude     []string
	source      string
	slice       string
	pick        int
	seed        uint64
	split       int
	separator   string
	autostep    string

	emptyOK bool // no hosts are no mistake
}

func (a *app) hostsCommand() *cobra.Command {
	var f hostsFlags
	c := &cobra.Command{
		Use: "hosts [FLAG]... [EXPR]...",

		DisableFlagsInUseLine: true,
		Short:                 "Expand, fold, count, split and explain sets of hosts",
		Long:                  hostsHelp,
		Example:               hostsExample,
	}
	fs := c.Flags()
	fs.BoolVarP(&f.fold, "fold", "f", false, "write them as one expression; the default")
	fs.BoolVarP(&f.expand, "expand", "e", false, "write them one a line")
	fs.BoolVarP(&f.count, "count", "c", false, "write how many they are")
	fs.BoolVarP(&f.regroup, "regroup", "r", false, "write them with the groups that are in it as a whole")
	fs.BoolVar(&f.explain, "explain", false, "write what each part of an expression stands for")
	fs.CountVarP(&f.list, "list-groups", "l", "write the groups, or those in which the hosts are; -ll with their hosts, -lll and how many")
	fs.BoolVarP(&f.all, "all", "a", false, "take all hosts that the groups know, as @* does")
	fs.StringArrayVarP(&f.exclude, "exclude", "x", nil, "leave out the hosts of `EXPR`")
	fs.StringArrayVar(&f.inventories, "inventory", nil, "groups and hosts of an Ansible inventory, a script that prints one, or ClusterShell's groups, in `PATH`")
	fs.StringVarP(&f.source, "source", "s", "", "the `SOURCE` of groups without one")
	fs.StringVarP(&f.slice, "slice", "I", "", "only the hosts at these `PLACES`, from 0: 0-9,20 or 0-99/10")
	fs.IntVar(&f.pick, "pick", 0, "only `N` of them at random")
	fs.Uint64Var(&f.seed, "seed", 0, "make the choice of --pick that `N` stands for")
	fs.IntVar(&f.split, "split", 1, "write them in at most `N` parts of equal size, one a line")
	fs.StringVarP(&f.separator, "separator", "S", "", "the `TEXT` that -e puts between hosts, as in ',' or '\\0'")
	fs.StringVar(&f.autostep, "autostep", "", "fold `N` numbers or more with a step, as in n[2-10/2]; N, N% or auto")
	for _, name := range []string{"pick", "seed", "list-groups", "split"} {
		fs.Lookup(name).DefValue = "" // nothing to show
	}
	c.RunE = func(c *cobra.Command, words []string) error {
		if err := f.check(c); err != nil {
			return err
		}
		return a.hosts(c.Context(), &f, words, c.Flags().Changed("seed"))
	}
	return c
}

// check refuses what makes no sense.
func (f *hostsFlags) check(c *cobra.Command) error {
	changed := c.Flags().Changed
	var forms []string
	for _, name := range []string{"fold", "expand", "count", "regroup", "list-groups", "explain"} {
		if changed(name) {
			forms = append(forms, "--"+name)
		}
	}
	switch {
	case len(forms) > 1:
		return &usageError{what: strings.Join(forms, " and ") + " do not go together", hint: "leave one of them out"}
	case f.split < 1:
		return &usageError{what: "--split: there is at least one part", hint: "as in: --split 4"}
	case changed("pick") && f.pick < 1:
		return &usageError{what: "--pick: at least one host", hint: "as in: --pick 3"}
	case changed("seed") && !changed("pick"):
		return &usageError{what: "--seed says nothing without --pick", hint: "give --pick N along with it"}
	case changed("separator") && !f.expand:
		return &usageError{what: "-S says nothing without -e", hint: "give -e along with it"}
	case changed("autostep") && (f.expand || f.count || f.regroup || f.list > 0 || f.explain):
		return &usageError{what: "--autostep is for folding", hint: "leave it out"}
	}
	if f.explain || f.list > 0 {
		for _, name := range []string{"slice", "pick", "split"} {
			if changed(name) {
				return &usageError{what: "--" + name + " does not go with --explain and -l", hint: "leave it out"}
			}
		}
	}
	if _, err := f.steps(0); err != nil {
		return err
	}
	if f.slice != "" {
		_, err := hostlist.Slice(nil, f.slice)
		return exprError("-I", err)
	}
	return nil
}

// hosts is the command.
func (a *app) hosts(ctx context.Context, f *hostsFlags, words []string, seeded bool) error {
	f.emptyOK = a.guise.emptyOK
	groups, err := f.groups(ctx)
	if err != nil {
		return err
	}
	p := hostlist.Parser{Groups: groups, Open: inventory.OpenHosts}
	w := bufio.NewWriter(a.stdout)
	if f.list > 0 && len(words) == 0 && !f.all {
		err = listGroups(ctx, w, p, f, nil)
	} else if f.explain {
		err = f.explainAll(ctx, w, p, words)
	} else {
		err = a.writeHosts(ctx, w, p, f, words, seeded)
	}
	return cmp.Or(err, w.Flush())
}

// writeHosts writes the hosts of words in the form that the flags ask for.
func (a *app) writeHosts(ctx context.Context, w *bufio.Writer, p hostlist.Parser, f *hostsFlags, words []string, seeded bool) error {
	if f.count && len(words) == 1 && words[0] != "-" && !f.all && f.exclude == nil && f.slice == "" && f.pick == 0 && f.split == 1 {
		return countHosts(ctx, w, p, words[0], f.emptyOK)
	}
	set, err := a.hostsOf(ctx, p, f, words)
	if err != nil {
		return err
	}
	if f.list > 0 {
		return listGroups(ctx, w, p, f, set)
	}
	names := slices.Collect(set.All())
	if f.expand || f.slice != "" || f.pick > 0 || f.split > 1 {
		names = hostlist.Sort(set.All())
	}
	if f.slice != "" {
		if names, err = hostlist.Slice(names, f.slice); err != nil {
			return exprError("-I", err)
		}
	}
	if f.pick > 0 {
		var random *rand.Rand
		if seeded {
			random = rand.New(rand.NewPCG(f.seed, 0))
		}
		names = hostlist.Pick(names, f.pick, random)
	}
	if len(names) == 0 {
		return noHosts(w, f, set.Len() == 0)
	}
	for part := range hostlist.Split(names, f.split) {
		text, err := f.text(ctx, p, part, len(names))
		if err != nil {
			return exprError("-r", err)
		}
		w.WriteString(text)
		w.WriteByte('\n')
	}
	return nil
}

// countHosts writes how many hosts expr stands for, if it can without making them.
func countHosts(ctx context.Context, w *bufio.Writer, p hostlist.Parser, expr string, emptyOK bool) error {
	e, err := p.Resolve(ctx, expr)
	if err != nil {
		return exprError("", err)
	}
	n := e.Count()
	fmt.Fprintln(w, n)
	if n == 0 && !emptyOK {
		w.Flush()
		return &codeError{exitNoHosts}
	}
	return nil
}

// noHosts is the end of the command where no hosts are left.
func noHosts(w *bufio.Writer, f *hostsFlags, empty bool) error {
	switch {
	case f.emptyOK && f.count:
		w.WriteString("0\n")
		return nil
	case f.emptyOK:
		w.WriteString("\n")
		return nil
	}
	if f.count {
		w.WriteString("0\n")
		w.Flush()
		return &codeError{exitNoHosts}
	}
	if !empty {
		return &noHostsError{what: "no hosts are left after -I", hint: "there are none at these places; they count from 0"}
	}
	return &noHostsError{what: "no hosts", hint: "shoal hosts --explain shows what each part of the expression stands for"}
}

// hostsOf returns the hosts of words, or of standard input.
func (a *app) hostsOf(ctx context.Context, p hostlist.Parser, f *hostsFlags, words []string) (*hostlist.Set, error) {
	if len(words) == 0 && !f.all {
		if isTerminal(a.stdin) {
			return nil, &usageError{what: "no hosts given", hint: "as in: shoal hosts 'web[1-3]'; or - for standard input"}
		}
		words = []string{"-"}
	}
	set := new(hostlist.Set)
	add := func(to *hostlist.Set) func(string, string) error {
		return func(where, expr string) error {
			e, err := p.Resolve(ctx, expr)
			if err != nil {
				return exprError(where, err)
			}
			for name := range e.All() {
				to.Add(name)
			}
			return nil
		}
	}
	if f.all {
		if err := add(set)("-a", "@*"); err != nil {
			return nil, err
		}
	}
	for _, word := range words {
		if err := a.eachExpr("", word, add(set)); err != nil {
			return nil, err
		}
	}
	without := new(hostlist.Set)
	for _, word := range f.exclude {
		if err := a.eachExpr("-x", word, add(without)); err != nil {
			return nil, err
		}
	}
	if without.Len() == 0 {
		return set, nil
	}
	return set.Difference(without), nil
}

// eachExpr calls do for a word, or where that is - for each in standard input.
func (a *app) eachExpr(where, word string, do func(where, expr string) error) error {
	if word != "-" {
		return do(where, word)
	}
	if a.stdin == nil {
		return nil
	}
	lines := bufio.NewScanner(a.stdin)
	lines.Buffer(nil, 64<<20)
	n := 0
	for lines.Scan() {
		n++
		for _, expr := range exprs(lines.Text()) {
			if err := do(fmt.Sprintf("standard input:%d", n), expr); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return &usageError{what: "standard input: " + err.Error()}
	}
	return nil
}

// exprs takes a line apart at blanks, but for those around operators and within
// brackets and parentheses. A # at the start of a word begins a comment.
func exprs(line string) []string {
	var out []string
	depth, joined := 0, false
	for word := range strings.FieldsSeq(line) {
		if word[0] == '#' {
			break
		}
		if len(out) > 0 && (joined || depth > 0 || strings.IndexByte(",!&", word[0]) >= 0 || word == "^") {
			out[len(out)-1] += " " + word
		} else {
			out = append(out, word)
		}
		depth += strings.Count(word, "[") + strings.Count(word, "(") - strings.Count(word, "]") - strings.Count(word, ")")
		joined = strings.IndexByte(",!&^", word[len(word)-1]) >= 0
	}
	return out
}

// text returns part of the hosts, of which there are total, as one line or more.
func (f *hostsFlags) text(ctx context.Context, p hostlist.Parser, part []string, total int) (string, error) {
	switch {
	case f.count:
		return strconv.Itoa(len(part)), nil
	case f.regroup:
		return p.Regroup(ctx, f.source, slices.Values(part))
	case f.expand:
		separator := "\n"
		if f.split > 1 {
			separator = " "
		}
		if f.separator != "" {
			separator = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\0`, "\x00", `\\`, `\`).Replace(f.separator)
		}
		return strings.Join(part, separator), nil
	}
	steps, err := f.steps(total)
	return hostlist.FoldSteps(slices.Values(part), steps), err
}

// steps returns how many numbers are folded with a step, of total hosts.
func (f *hostsFlags) steps(total int) (int, error) {
	switch share, percent := strings.CutSuffix(f.autostep, "%"); {
	case f.autostep == "":
		return 0, nil
	case f.autostep == "auto":
		return max(3, total), nil
	default:
		n, err := strconv.ParseFloat(share, 64)
		switch {
		case err == nil && percent && n > 0 && n <= 100:
			return max(3, int(math.Ceil(float64(total)*n/100))), nil
		case err == nil && !percent && n >= 3 && n == math.Trunc(n) && n < math.MaxInt32:
			return int(n), nil
		}
	}
	return 0, &usageError{what: fmt.Sprintf("--autostep: %q is not a number from 3 on, a share or auto", f.autostep), hint: "as in: --autostep 4, --autostep 50% or --autostep auto"}
}

// listGroups writes the groups, or where set is not nil those that have hosts of it.
func listGroups(ctx context.Context, w *bufio.Writer, p hostlist.Parser, f *hostsFlags, set *hostlist.Set) error {
	names, err := p.Groups.Names(ctx, f.source)
	if err != nil {
		return targetError("-l", err)
	}
	slices.Sort(names)
	for _, name := range names {
		group := "@" + name
		if f.source != "" {
			group = "@" + f.source + ":" + name
		}
		if f.list == 1 && set == nil {
			fmt.Fprintln(w, render.Sanitize(group))
			continue
		}
		e, err := p.Resolve(ctx, group)
		if err != nil {
			return exprError("-l", err)
		}
		hosts := hostlist.NewSet(e.All())
		found, count := hosts, strconv.Itoa(hosts.Len())
		if set != nil {
			found = set.Intersection(hosts)
			count = fmt.Sprintf("%d/%d", found.Len(), hosts.Len())
		}
		if set != nil && found.Len() == 0 {
			continue
		}
		fields := []string{group, found.String(), count}
		fmt.Fprintln(w, render.Sanitize(strings.Join(fields[:min(f.list, 3)], " ")))
	}
	return nil
}

// explainAll writes the steps of each word.
func (f *hostsFlags) explainAll(ctx context.Context, w *bufio.Writer, p hostlist.Parser, words []string) error {
	if f.all {
		words = append([]string{"@*"}, words...)
	}
	if len(words) == 0 {
		return &usageError{what: "no expression to explain", hint: "as in: shoal hosts --explain '@compute!@down'"}
	}
	expr := unionOf(words)
	for _, x := range f.exclude {
		expr = "(" + expr + ")!(" + x + ")"
	}
	steps, err := p.Explain(ctx, expr)
	if err != nil {
		return exprError("", err)
	}
	writeSteps(w, steps)
	if last := steps[len(steps)-1]; last.Result.Len() == 0 {
		w.Flush()
		return noHosts(w, f, true)
	}
	return nil
}

// explained is a line of an explanation.
type explained struct {
	text string
	set  *hostlist.Set // nil where the lines below say it
}

// writeSteps writes a table: each operand with its operator, how many hosts it stands
// for and which, and under each operator what it comes to.
func writeSteps(w io.Writer, steps []hostlist.Step) {
	lines := explain(nil, "", steps)
	if len(steps) == 1 && steps[0].Steps == nil {
		lines = lines[:1]
	}
	column, digits := 0, 0
	for _, l := range lines {
		if l.set != nil {
			column = max(column, len([]rune(l.text)))
			digits = max(digits, len(strconv.Itoa(l.set.Len())))
		}
	}
	column = min(column, 40)
	for _, l := range lines {
		line := render.Sanitize(l.text)
		if l.set != nil {
			line = fmt.Sprintf("%-*s  %*d  %s", column, line, digits, l.set.Len(), l.set)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

func explain(lines []explained, indent string, steps []hostlist.Step) []explained {
	for i, s := range steps {
		op := string(s.Op)
		if i == 0 {
			op = " "
		}
		switch {
		case s.Steps != nil:
			lines = append(lines, explained{text: indent + op + " " + s.Text})
			lines = explain(lines, indent+"    ", s.Steps)
		default:
			lines = append(lines, explained{indent + op + " " + s.Text, s.Set})
		}
		if i == len(steps)-1 && len(steps) > 1 || i > 0 && steps[i+1].Op != s.Op {
			lines = append(lines, explained{indent + "=", s.Result})
		}
	}
	return lines
}

// groups returns where groups are looked up.
func (f *hostsFlags) groups(ctx context.Context) (hostlist.Groups, error) {
	t := targetFlags{inventories: f.inventories}
	source := f.source
	known := &knownGroups{source: source, open: sync.OnceValues(func() (*inventory.Inventory, error) { return t.open(ctx, "") })}
	if source == "" || source == sourceRun {
		return known, nil
	}
	inv, err := known.open()
	if err != nil {
		return nil, exprError("-s", err)
	}
	if known := inv.Sources(); !slices.Contains(known, source) {
		return nil, unknownSource(&inventory.UnknownSourceError{Name: source, Known: known}, "")
	}
	return known, nil
}

// exprError puts a mistake in an expression into words. Where it stands may be empty.
func exprError(where string, err error) error {
	if err == nil {
		return nil
	}
	told := targetError(where, err)
	if e, ok := errors.AsType[*usageError](told); ok && where == "" {
		e.what = strings.TrimPrefix(e.what, ": ")
	}
	return told
}
