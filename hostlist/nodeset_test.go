package hostlist_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/hostlist"
)

// TestNodesetCorpus compares with what nodeset 1.9.1 answered to the same arguments
// with the same groups: testdata/sets.txt has them and under them nodeset's lines.
func TestNodesetCorpus(t *testing.T) {
	text, err := os.ReadFile("testdata/sets.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n\n$ ")[1:]
	for _, c := range cases {
		args, want, _ := strings.Cut(c, "\n")
		got, err := likeNodeset(t, fields(args))
		if err != nil || got != strings.TrimSuffix(want, "\n") {
			t.Errorf("%s\n got %s, %v\nwant %s", args, got, err, want)
		}
	}
	if len(cases) < 200 {
		t.Errorf("got %d cases, want 200 or more", len(cases))
	}
}

// fields takes a line apart as a shell does.
func fields(line string) (words []string) {
	for line != "" {
		var word string
		if rest, ok := strings.CutPrefix(line, "'"); ok {
			word, line, _ = strings.Cut(rest, "'")
			line = strings.TrimPrefix(line, " ")
		} else {
			word, line, _ = strings.Cut(line, " ")
		}
		words = append(words, word)
	}
	return words
}

// likeNodeset does what nodeset does with its arguments.
func likeNodeset(t *testing.T, args []string) (string, error) {
	set, without, source, separator, ranges, steps, parts, command := new(hostlist.Set), new(hostlist.Set), "", " ", "", "", 1, ""
	p := parser
	add := func(to *hostlist.Set, expr string) error {
		e, err := p.Resolve(t.Context(), expr)
		if err != nil {
			return err
		}
		for name := range e.All() {
			to.Add(name)
		}
		return nil
	}
	for i := 0; i < len(args); i++ {
		var err error
		value := args[min(i+1, len(args)-1)]
		switch arg := args[i]; arg {
		case "-f", "-e", "-c", "-r":
			command = arg
			continue
		case "-S":
			separator = value
		case "-s":
			source = value
			p.Groups = inSource{groups, source}
		case "-I":
			ranges = value
		case "-x":
			err = add(without, value)
		case "--autostep":
			steps = value
		case "--split":
			parts, err = strconv.Atoi(value)
		default:
			err = add(set, arg)
			i--
		}
		if err != nil {
			return "", err
		}
		i++
	}
	names := hostlist.Sort(set.Difference(without).All())
	if ranges != "" {
		var err error
		if names, err = hostlist.Slice(names, ranges); err != nil {
			return "", err
		}
	}
	least := 0
	if share, ok := strings.CutSuffix(steps, "%"); ok {
		n, err := strconv.ParseFloat(share, 64)
		if err != nil {
			return "", err
		}
		least = int(math.Ceil(float64(len(names)) * n / 100))
	} else if steps == "auto" {
		least = max(3, len(names))
	} else if steps != "" {
		least, _ = strconv.Atoi(steps)
	}
	lines := []string{}
	for part := range hostlist.Split(names, max(parts, 1)) {
		line, err := "", error(nil)
		switch command {
		case "-f":
			line = hostlist.FoldSteps(slices.Values(part), least)
		case "-e":
			line = strings.Join(hostlist.Sort(slices.Values(part)), separator)
		case "-c":
			line = fmt.Sprint(len(part))
		case "-r":
			line, err = p.Regroup(t.Context(), source, slices.Values(part))
		}
		if err != nil {
			return "", err
		}
		lines = append(lines, line)
	}
	if len(names) == 0 && command == "-c" {
		lines = []string{"0"}
	}
	return strings.Join(lines, "\n"), nil
}

// inSource is groups with another default source.
type inSource struct {
	fakeGroups
	name string
}

func (g inSource) Group(ctx context.Context, source, name string) ([]string, error) {
	return g.fakeGroups.Group(ctx, cmp.Or(source, g.name), name)
}

func (g inSource) All(ctx context.Context, source string) ([]string, error) {
	return g.fakeGroups.All(ctx, cmp.Or(source, g.name))
}

func (g inSource) Names(ctx context.Context, source string) ([]string, error) {
	return g.fakeGroups.Names(ctx, cmp.Or(source, g.name))
}

// TestNodeset evaluates random expressions together with the nodeset of this machine.
// Each has hosts of its own names, so that one call tests many.
func TestNodeset(t *testing.T) {
	nodeset := lookPath(t, "nodeset")
	random := rand.New(rand.NewPCG(3, 4))
	var exprs []string
	set := new(hostlist.Set)
	for i := range 150 {
		expr := randomExpr(random, fmt.Sprintf("p%c%c", 'a'+i/26, 'a'+i%26))
		exprs = append(exprs, expr)
		e, err := hostlist.Parse(expr)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		for name := range e.All() {
			set.Add(name)
		}
	}
	for _, steps := range []int{0, 3, 5} {
		args := []string{"-f"}
		if steps > 0 {
			args = append(args, "--autostep="+strconv.Itoa(steps))
		}
		out, err := exec.Command(nodeset, append(args, exprs...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := hostlist.FoldSteps(set.All(), steps), strings.TrimSpace(string(out)); got != want {
			reportFold(t, got, want)
		}
	}
}

// randomExpr returns an expression with up to six operands, of hosts that begin with
// prefix.
func randomExpr(random *rand.Rand, prefix string) string {
	dims, padded := 1+random.IntN(2), random.IntN(3) == 0
	var expr strings.Builder
	for i := range 2 + random.IntN(5) {
		if i > 0 {
			expr.WriteByte(",,!&^"[random.IntN(5)])
		}
		expr.WriteString(prefix)
		for range dims {
			from := random.IntN(12)
			to := from + random.IntN(12)
			format := "[%d-%d/%d]x"
			if padded {
				format = "[%02d-%02d/%d]x"
			}
			fmt.Fprintf(&expr, format, from, to, 1+random.IntN(3)/2)
		}
	}
	return expr.String()
}

// TestPick wants each host to have the same chance, in the order that they had.
func TestPick(t *testing.T) {
	names := strings.Fields("a b c d e f g h i j")
	random := rand.New(rand.NewPCG(5, 6))
	times := make(map[string]int)
	for range 10_000 {
		got := hostlist.Pick(names, 3, random)
		if len(got) != 3 || !slices.IsSorted(got) {
			t.Fatalf("got %q, want three in order", got)
		}
		for _, name := range got {
			times[name]++
		}
	}
	for _, name := range names {
		if n := times[name]; n < 2700 || n > 3300 { // more than six standard deviations
			t.Errorf("%s was picked %d times of 10000, want about 3000", name, n)
		}
	}
	first := hostlist.Pick(names, 4, rand.New(rand.NewPCG(7, 8)))
	if again := hostlist.Pick(names, 4, rand.New(rand.NewPCG(7, 8))); !slices.Equal(first, again) {
		t.Errorf("got %q, then with the same seed %q", first, again)
	}
	for n, want := range map[int]int{-1: 0, 0: 0, 10: 10, 11: 10} {
		if got := hostlist.Pick(names, n, nil); len(got) != want {
			t.Errorf("%d of ten: got %q", n, got)
		}
	}
}

// TestSort wants the order of what Fold writes.
func TestSort(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for i := range 30 {
		names := append(randomNames(random, i), "b", "a", "root@x2:22", "root@x1:22", "::1")
		e, err := hostlist.Parse(hostlist.Fold(names))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := hostlist.Sort(slices.Values(names)), slices.Collect(e.All()); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestRegroup(t *testing.T) {
	for _, tt := range []struct{ source, names, want string }{
		{"", "node1 node2", "node[1-2]"},
		{"", "gpu1 gpu2 gpu3 gpu4 node1", "@gpu,node1"},
		{"", "gpu1 gpu2 gpu3 gpu4 adm1", "@adm,@gpu"},
		{"roles", "gpu1 gpu2 gpu3 gpu4 adm1 root@adm1", "@roles:adm,@roles:gpu,root@adm1"},
		{"", "gpu2 node03", "@down"},
		{"", "", ""},
	} {
		got, err := parser.Regroup(t.Context(), tt.source, slices.Values(strings.Fields(tt.names)))
		if err != nil || got != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.names, got, err, tt.want)
		}
	}
	for source, names := range map[string]string{"": "@*", "racks": "node[01-20],x"} {
		e, err := parser.Resolve(t.Context(), names)
		if err != nil {
			t.Fatal(err)
		}
		text, err := parser.Regroup(t.Context(), source, e.All())
		if err != nil {
			t.Fatal(err)
		}
		again, err := parser.Resolve(t.Context(), text)
		if err != nil || !strings.HasPrefix(text, "@") || hostlist.FoldSeq(again.All()) != hostlist.FoldSeq(e.All()) {
			t.Errorf("%s: got %s, which is %s, %v", names, text, hostlist.FoldSeq(again.All()), err)
		}
	}
	if got, err := parser.Regroup(t.Context(), "nosuch", slices.Values([]string{"a"})); err == nil {
		t.Errorf("got %s, want an error for a source that there is not", got)
	}
}
