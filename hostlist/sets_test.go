package hostlist_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-ssh/shoal/hostlist"
)

// fakeGroups are sources of groups by name; the default one is "roles". The group
// "all" of a source is all of it.
type fakeGroups map[string]map[string][]string

func (f fakeGroups) source(name string) (map[string][]string, error) {
	if name == "" {
		name = "roles"
	}
	if f[name] == nil {
		return nil, fmt.Errorf("no source %q", name)
	}
	return f[name], nil
}

func (f fakeGroups) Group(_ context.Context, source, name string) ([]string, error) {
	groups, err := f.source(source)
	if err != nil {
		return nil, err
	}
	members, ok := groups[name]
	if !ok {
		return nil, errGone
	}
	return members, nil
}

func (f fakeGroups) All(ctx context.Context, source string) ([]string, error) {
	return f.Group(ctx, source, "all")
}

func (f fakeGroups) Names(_ context.Context, source string) ([]string, error) {
	groups, err := f.source(source)
	return slices.Sorted(maps.Keys(groups)), err
}

var errGone = errors.New("there is no such group")

// groups are those of the tests: nodeset reads the same, see writeGroups.
var groups = fakeGroups{
	"roles": {
		"all":     {"@compute", "@adm", "login[1-2]"},
		"compute": {"node[01-20]", "gpu[1-4]"},
		"gpu":     {"gpu[1-4]"},
		"adm":     {"adm1"},
		"down":    {"node03", "gpu2"},
		"up":      {"@compute!@down"},
		"empty":   {},
	},
	"racks": {
		"all":   {"node[01-20]"},
		"rack1": {"node[01-10]"},
		"rack2": {"node[11-20]"},
		"odd":   {"@rack[1-2]!node[02-20/2]"},
		"none":  {"@roles:down&@odd"},
	},
}

var hostsFiles = map[string]string{
	"web.hosts":  "# the web servers\nweb[1-3]\ndb1 postgres\n@gpu\n",
	"bad.hosts":  "web1\nweb[2-1]\n",
	"self.hosts": "^web.hosts\n",
}

var parser = hostlist.Parser{Groups: groups, Open: func(name string) (io.ReadCloser, error) {
	text, ok := hostsFiles[name]
	if !ok {
		return nil, errGone
	}
	return io.NopCloser(strings.NewReader(text)), nil
}}

func TestResolve(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{"a,b!a", "b"},
		{"a,(b!a)", "a b"},
		{"n[1-5]!n[2-3]&n[1-4]", "n1 n4"},
		{"n[1-3]^n[2-5]", "n1 n4 n5"},
		{"b,a,b", "b a b"},
		{"(b,a,b)", "b a"},
		{"b,a&a,b", "a b"},
		{" ( a , b ) ! ( ( b ) ) ", "a"},
		{"a!a", ""},
		{"root@web[1-3]:22,web2!web2", "root@web1:22 root@web3:22"},
		{"web[1-2]!root@web1", "web1 web2"},
		{"root@web1&web1", ""},
		{"[::1]:22,[::2]!::1", "[::2]"},
		{"@gpu", "gpu1 gpu2 gpu3 gpu4"},
		{"@roles:gpu", "gpu1 gpu2 gpu3 gpu4"},
		{"@up&@gpu", "gpu1 gpu3 gpu4"},
		{"@racks:odd&node[01-06]", "node01 node03 node05"},
		{"@racks:none", "node03"},
		{"@racks:rack[1-2]&node[09-12]", "node09 node10 node11 node12"},
		{"@racks:rack?!@racks:rack1&node1[0-3]", "node11 node12 node13"},
		{"@racks:ra*[2]&node[09-12]", "node11 node12"},
		{"@empty", ""},
		{"@empty,@adm", "adm1"},
		{"@*!@compute", "adm1 login1 login2"},
		{"@racks:*&node0[1-2]", "node01 node02"},
		{"gpu*", "gpu1 gpu2 gpu3 gpu4"},
		{"*1!node*", "gpu1 adm1 login1"},
		{"*[2-3]&gp?[1-2]", "gpu2"},
		{"nothing*", ""},
		{"/^(adm|login)/", "adm1 login1 login2"},
		{`/gpu[12]$/,/m1\/|^adm/`, "gpu1 gpu2 adm1"},
		{"@compute & (node0[1-4]* ! @down)", "node01 node02 node04"},
		{"^web.hosts", "web1 web2 web3 postgres@db1 gpu1 gpu2 gpu3 gpu4"},
		{"web[1-5] ^ ^web.hosts & web*", ""},
		{"web[1-5] ^ ^web.hosts & /./,web5", "gpu1 gpu2 gpu3 gpu4 web5"},
	} {
		e, err := parser.Resolve(t.Context(), tt.expr)
		if err != nil {
			t.Errorf("Resolve(%q): %v", tt.expr, err)
			continue
		}
		got := slices.Collect(e.All())
		if want := strings.Fields(tt.want); !slices.Equal(got, want) {
			t.Errorf("Resolve(%q): got %q, want %q", tt.expr, got, want)
		}
		if e.Len() != len(got) || e.String() != tt.expr {
			t.Errorf("Resolve(%q): got length %d and text %q", tt.expr, e.Len(), e)
		}
		for _, name := range append(got, "x", "", "node1") {
			if e.Contains(name) != slices.Contains(got, name) {
				t.Errorf("Resolve(%q): contains %q: got %v", tt.expr, name, e.Contains(name))
			}
		}
	}
}

func TestResolveErrors(t *testing.T) {
	broken := maps.Clone(groups)
	broken["loop"] = map[string][]string{"all": {"a*"}, "a": {"x,@b"}, "b": {"@c"}, "c": {"@loop:a"}, "bad": {"y[2-1]"}, "file": {"^web.hosts"}}
	p := parser
	p.Groups = broken
	for _, tt := range []struct{ expr, shown, mark, msg, hint string }{
		{"@compute!@dwon", "@compute!@dwon", "         ^^^^^", `unknown group "dwon" (did you mean "down"?)`, ""},
		{"@racks:rack3", "@racks:rack3", "^^^^^^^^^^^^", `unknown group "rack3" in source "racks" (did you mean "rack1"?)`, ""},
		{"@racks:rack[1-3]", "@racks:rack[1-3]", "^^^^^^^^^^^^^^^^", `unknown group "rack3" in source "racks" (did you mean "rack1"?)`, ""},
		{"@zzzzzzzzz", "@zzzzzzzzz", "^^^^^^^^^^", `unknown group "zzzzzzzzz"`, ""},
		{"@rack:rack1", "@rack:rack1", "^^^^^^^^^^^", `@rack:rack1: no source "rack"`, ""},
		{"a,@rack:*", "a,@rack:*", "  ^^^^^^^", `@rack:*: no source "rack"`, ""},
		{"@x*", "@x*", "^^^", "no group has such a name", ""},
		{"@loop:a", "@loop:a", "^^^^^^^", "in group @loop:c: groups go in a circle: @loop:a → @loop:b → @loop:c → @loop:a", "take one of them out of the other"},
		{"n1,@loop:bad", "y[2-1]", "  ^^^", "in group @loop:bad: the range counts down", "write 1-2"},
		{"@loop:file", "^web.hosts", "^^^^^^^^^^", "in group @loop:file: only the expression that was given can name a file", ""},
		{"@loop:*", "a*", "^^", "in group @loop:*: groups go in a circle: @loop:* → @loop:*", "take one of them out of the other"},
		{"a,^gone", "a,^gone", "  ^^^^^", "there is no such group", ""},
		{"^bad.hosts", "web[2-1]", "    ^^^", "bad.hosts:2: the range counts down", "write 1-2"},
		{"^self.hosts", "^web.hosts", "^^^^^^^^^^", "self.hosts:1: only the expression that was given can name a file", ""},
	} {
		_, err := p.Resolve(t.Context(), tt.expr)
		e, ok := errors.AsType[*hostlist.SyntaxError](err)
		if !ok {
			t.Errorf("Resolve(%q): got %v, want a SyntaxError", tt.expr, err)
			continue
		}
		if e.Msg != tt.msg || e.Hint != tt.hint || e.Caret() != tt.shown+"\n"+tt.mark {
			t.Errorf("Resolve(%q): got %s\n%s\n%s\nwant %s\n%s\n%s\n%s", tt.expr, e.Msg, e.Caret(), e.Hint, tt.msg, tt.shown, tt.mark, tt.hint)
		}
	}
	if _, err := p.Resolve(t.Context(), "a,@compute,^gone"); !errors.Is(err, errGone) {
		t.Errorf("got %v, want the error of Open in it", err)
	}
}

// TestResolveLimit makes many hosts of little text, in each way that there is.
func TestResolveLimit(t *testing.T) {
	g := fakeGroups{"roles": {"all": {"n[1-200]"}, "g0": {"n[1-40]"}, "w1": {"@v1"}}}
	for i := range 40 { // each has the one before twice
		g["roles"][fmt.Sprint("g", i+1)] = []string{fmt.Sprintf("@g%d,@g%d", i, i)}
		g["roles"][fmt.Sprint("v", i)] = []string{fmt.Sprintf("v%d[1-40]", i)}
	}
	p := hostlist.Parser{Limit: 100, Groups: g}
	for expr, ok := range map[string]bool{
		"@g40": true, "n[1-60],@v1": true, "n[1-61],@v1": false, "n[1-200]&n1": false, "n1&n[0-999999999999999999]": false,
		"@*": false, "@v*": false, "@v[1-3]": false, "n*": false, "@g40&n[1-3]": true, "(n[1-60]),m[1-60]!m1": false,
	} {
		_, err := p.Resolve(t.Context(), expr)
		if _, over := errors.AsType[*hostlist.LimitError](err); over == ok || ok && err != nil {
			t.Errorf("Resolve(%q): got %v, want an error: %v", expr, err, !ok)
		}
	}
	deep := strings.Repeat("(", 1000) + "a" + strings.Repeat(")", 1000)
	if _, err := p.Resolve(t.Context(), deep); err == nil || !strings.Contains(err.Error(), "more than 64 parentheses") {
		t.Errorf("got %.80v, want an error about parentheses", err)
	}
}

// TestResolveCancelled hands a context to the lookups and gets its error back.
func TestResolveCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := hostlist.Parser{Groups: cancelled{}}
	for _, expr := range []string{"@a", "@*", "a*", "@a*", "/a/"} {
		if _, err := p.Resolve(ctx, expr); !errors.Is(err, context.Canceled) {
			t.Errorf("Resolve(%q): got %v, want context.Canceled", expr, err)
		}
	}
}

// cancelled groups say what the context does.
type cancelled struct{}

func (cancelled) Group(ctx context.Context, _, _ string) ([]string, error) { return nil, ctx.Err() }
func (cancelled) All(ctx context.Context, _ string) ([]string, error)      { return nil, ctx.Err() }
func (cancelled) Names(ctx context.Context, _ string) ([]string, error)    { return nil, ctx.Err() }

func TestExplain(t *testing.T) {
	steps, err := parser.Explain(t.Context(), "@compute & (node0[1-4]* ! @down) , x")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		", @compute 24 gpu[1-4],node[01-20] = 24",
		"& (node0[1-4]* ! @down) 3 node[01-02,04] = 3",
		"  , node0[1-4]* 4 node[01-04] = 4",
		"  ! @down 2 gpu2,node03 = 3",
		", x 1 x = 4",
	}
	if got := describe(steps, ""); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if steps, err := parser.Explain(t.Context(), "a,@dwon"); err == nil {
		t.Errorf("got %v, want an error", steps)
	}
}

func describe(steps []hostlist.Step, indent string) (lines []string) {
	for _, s := range steps {
		lines = append(lines, fmt.Sprintf("%s%c %s %d %s = %d", indent, s.Op, s.Text, s.Set.Len(), s.Set, s.Result.Len()))
		lines = append(lines, describe(s.Steps, indent+"  ")...)
	}
	return lines
}

// TestSetAlgebra holds sets against maps.
func TestSetAlgebra(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.StringMatching(`n[0-3]{1,2}`), 0, 12)
		a, b := names.Draw(t, "a"), names.Draw(t, "b")
		s, u := hostlist.NewSet(slices.Values(a)), hostlist.NewSet(slices.Values(b))
		inA, inB := set(a), set(b)
		for _, tt := range []struct {
			op   string
			set  *hostlist.Set
			want func(name string) bool
		}{
			{",", s.Union(u), func(n string) bool { return inA[n] || inB[n] }},
			{"&", s.Intersection(u), func(n string) bool { return inA[n] && inB[n] }},
			{"!", s.Difference(u), func(n string) bool { return inA[n] && !inB[n] }},
			{"^", s.SymmetricDifference(u), func(n string) bool { return inA[n] != inB[n] }},
		} {
			var want []string
			for _, n := range append(slices.Clone(a), b...) {
				if tt.want(n) && !slices.Contains(want, n) {
					want = append(want, n)
				}
			}
			if got := slices.Collect(tt.set.All()); !slices.Equal(got, want) || tt.set.Len() != len(want) {
				t.Errorf("%q %s %q: got %q, want %q", a, tt.op, b, got, want)
			}
			if len(a) == 0 || len(b) == 0 {
				continue
			}
			expr := "(" + strings.Join(a, ",") + ")" + tt.op + "(" + strings.Join(b, ",") + ")"
			e, err := hostlist.Parse(expr)
			if err != nil || !slices.Equal(slices.Collect(e.All()), want) {
				t.Errorf("%s: got %v, %v, want %q", expr, e, err, want)
			}
		}
		if got := slices.Collect(s.All()); len(got) != len(inA) {
			t.Errorf("the set was changed: got %q, want %q", got, a)
		}
	})
}

// TestContains asks lists for what they have and for what is near it.
func TestContains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expr := rapid.StringMatching(`n(\[[1-9]-1[0-9](/[1-3])?\]|\[0[1-3]-1[0-9]\]|\[a-c,1\]|[0-9]|x){1,3}(:2[23])?`).Draw(t, "expr")
		e, err := hostlist.Parse(expr)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		all := set(slices.Collect(e.All()))
		for name := range all {
			for _, near := range []string{name, name + "1", name[:len(name)-1], "n0" + name[1:], name[:1] + name[2:]} {
				if e.Contains(near) != all[near] {
					t.Fatalf("%s: contains %q: got %v", expr, near, !all[near])
				}
			}
		}
	})
	e, err := hostlist.Parse(strings.Repeat("[1-11]", 64))
	if err != nil {
		// it stands for too many hosts
		e, err = hostlist.Parser{Limit: -1}.Parse(strings.Repeat("[1-11]", 64))
	}
	if err != nil || e.Contains(strings.Repeat("1", 100)+"x") || !e.Contains(strings.Repeat("1", 100)) {
		t.Errorf("got %v, or the wrong answer for a host of many ones", err)
	}
}

func TestChoices(t *testing.T) {
	names := strings.Fields("a b c d e f g")
	for ranges, want := range map[string]string{
		"0": "a", "6": "g", "7": "", "0-2": "a b c", "0-9/2": "a c e g", "4,1,1-2": "b c e", "00-03": "a b c d", "5-99999999999": "f g",
		"99999999999999999999999": "",
	} {
		got, err := hostlist.Slice(names, ranges)
		if err != nil || !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("Slice(%q): got %q, %v, want %q", ranges, got, err, want)
		}
	}
	for _, ranges := range []string{"", "x", "a-c", "3-1", "1,", "-1", "1-2/0"} {
		if got, err := hostlist.Slice(names, ranges); err == nil {
			t.Errorf("Slice(%q): got %q, want an error", ranges, got)
		}
	}
	for n, want := range map[int]string{
		0: "", -1: "", 1: "[a b c d e f g]", 2: "[a b c d] [e f g]", 3: "[a b c] [d e] [f g]", 7: "[a] [b] [c] [d] [e] [f] [g]", 9: "[a] [b] [c] [d] [e] [f] [g]",
	} {
		var parts []string
		for part := range hostlist.Split(names, n) {
			parts = append(parts, fmt.Sprint(part))
		}
		if got := strings.Join(parts, " "); got != want {
			t.Errorf("Split into %d: got %s, want %s", n, got, want)
		}
	}
}

// TestCount holds the number of different hosts against the hosts.
func TestCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		operand := rapid.StringMatching(`[nm](\[[1-9](,[1-9])?\]|\[[1-4]-[5-9](/2)?,0[1-9]\]|\[0[1-4]-1[0-9]\]|\[a-c\]|[0-3]|x|-){1,3}(:2[23])?`)
		expr := strings.Join(rapid.SliceOfN(operand, 1, 4).Draw(t, "operands"), ",")
		e, err := hostlist.Parse(expr)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		if got, want := e.Count(), hostlist.NewSet(e.All()).Len(); got != want {
			t.Errorf("%s: got %d, want %d", expr, got, want)
		}
	})
	const many = 999_999_999_999_999_999
	for expr, want := range map[string]int{
		"a[1-999999999999999999]": many,
		"a[1-500000000000000000],a[500000000000000001-999999999999999999]": many,
		"a1b[1-500000000000000000],a2b[1-499999999999999999]":              many,
		"a[000000000000000001-999999999999999999],ax":                      many + 1,
		"a[1-999999999999999999],a1000000000000000000,root@a1:22":          many + 2,
	} {
		e, err := hostlist.Parser{Limit: -1}.Parse(expr)
		if err != nil || e.Count() != want {
			t.Errorf("%s: got %v, want %d", expr, err, want)
		}
	}
}

func FuzzResolve(f *testing.F) {
	for _, expr := range []string{
		"@compute & (rack[1-4]* ! @down)", "@racks:rack[1-2]^@racks:odd", "@*!@compute", "^web.hosts,a", "/gpu[12]$/,/m1\\/|^adm/",
		"*[2-3]&gp?[1-2]", "((a)),(b!c)^d", "n[1-10]&n[5-15/2]!n7", "@x*", "@:a", "a^^bad.hosts", "()", "/a", "@a:b:c", "[::1]*", "@@x",
		"root@web[1-3]:22!web2",
	} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		p := parser
		p.Limit = 1000
		e, err := p.Resolve(t.Context(), expr)
		steps, explainErr := p.Explain(t.Context(), expr)
		if err != nil {
			if s, ok := errors.AsType[*hostlist.SyntaxError](err); ok {
				checkError(t, s.Expr, err)
			} else if _, ok := errors.AsType[*hostlist.LimitError](err); !ok {
				t.Errorf("%q: got %v, want a SyntaxError or a LimitError", expr, err)
			}
			return
		}
		if explainErr != nil {
			t.Fatalf("%q: resolved, but not explained: %v", expr, explainErr)
		}
		words := slices.Collect(e.All())
		result := steps[len(steps)-1].Result
		if e.Len() != len(words) || e.Count() != result.Len() || !slices.Equal(slices.Collect(hostlist.NewSet(e.All()).All()), slices.Collect(result.All())) {
			t.Errorf("%q: got %q of length %d and count %d, explained as %s", expr, words, e.Len(), e.Count(), result)
		}
		for _, w := range words {
			if !e.Contains(w) {
				t.Errorf("%q: does not contain its %q", expr, w)
			}
		}
		checkFold(t, words)
	})
}
