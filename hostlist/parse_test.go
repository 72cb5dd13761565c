package hostlist_test

import (
	"errors"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/shoal-ssh/shoal/hostlist"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{"node1", "node1"},
		{"node1,node2", "node1 node2"},
		{" node1 ,\tnode2\n", "node1 node2"},
		{"b,a,b", "b a b"},
		{"node[1-3]", "node1 node2 node3"},
		{"node[1,3,5-6,1]", "node1 node3 node5 node6 node1"},
		{"node[01-03]", "node01 node02 node03"},
		{"node[08-11]", "node08 node09 node10 node11"},
		{"node[8-11]", "node8 node9 node10 node11"},
		{"node[0-3]", "node0 node1 node2 node3"},
		{"node[00-03/3]", "node00 node03"},
		{"node[1-10/4]", "node1 node5 node9"},
		{"node[1-1]", "node1"},
		{"node[001,1]", "node001 node1"},
		{"node[ 1 - 3 , 5 ]", "node1 node2 node3 node5"},
		{"node[a-c]", "nodea nodeb nodec"},
		{"node[X-Z,a]", "nodeX nodeY nodeZ nodea"},
		{"[1-2]", "1 2"},
		{"[a-b][1-2]", "a1 a2 b1 b2"},
		{"n[1-2]c[01-02].x", "n1c01.x n1c02.x n2c01.x n2c02.x"},
		{"node0[1-2]0", "node010 node020"},
		{"root@node[1-2]", "root@node1 root@node2"},
		{"root@node[1-2]:2222", "root@node1:2222 root@node2:2222"},
		{"user@corp@node1", "user@corp@node1"},
		{"10.0.0.[1-2]:22", "10.0.0.1:22 10.0.0.2:22"},
		{"[::1]:22", "[::1]:22"},
		{"[::1]", "[::1]"},
		{"root@[2001:db8::1]:22,[fe80::1%eth0]", "root@[2001:db8::1]:22 [fe80::1%eth0]"},
		{"2001:db8::1", "2001:db8::1"},
		{"root@::1", "root@::1"},
		{"2001:db8::[9-10],fe80::[a-c]%eth0", "2001:db8::9 2001:db8::10 fe80::a%eth0 fe80::b%eth0 fe80::c%eth0"},
		{"größe[1-2],my_host-a.b", "größe1 größe2 my_host-a.b"},
		{"n[123456789012345678901234567890]", "n123456789012345678901234567890"},
		{"n[999999999999999998-999999999999999999]", "n999999999999999998 n999999999999999999"},
	} {
		e, err := hostlist.Parse(tt.expr)
		if err != nil {
			t.Errorf("Parse(%q): got error %v", tt.expr, err)
			continue
		}
		want := strings.Fields(tt.want)
		if got := slices.Collect(e.All()); !slices.Equal(got, want) {
			t.Errorf("Parse(%q): got %q, want %q", tt.expr, got, want)
		}
		if got := e.Len(); got != len(want) {
			t.Errorf("Parse(%q): got length %d, want %d", tt.expr, got, len(want))
		}
		if got := e.String(); got != tt.expr {
			t.Errorf("Parse(%q): got text %q", tt.expr, got)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ expr, mark, msg, hint string }{
		{"", "^", "the expression is empty", ""},
		{" ", "^", "the expression is empty", ""},
		{"a,", "  ^", "no host after the last comma", "remove the comma"},
		{"a, ", "   ^", "no host after the last comma", "remove the comma"},
		{",a", "^", "no host before the comma", "remove a comma"},
		{"a,,b", "  ^", "no host before the comma", "remove a comma"},
		{"node[1-3", "    ^", "the bracket is not closed", "close it with ]"},
		{"node1-3]", "       ^", "a closing bracket without an opening one", ""},
		{"a[1,[2]]", "    ^", "a bracket within brackets", ""},
		{"node[]", "     ^", "an empty range", ""},
		{"node[1,]", "       ^", "an empty range", ""},
		{"node[,1]", "     ^", "an empty range", ""},
		{"node[1, ,2]", "        ^", "an empty range", ""},
		{"node[1,5-1]", "       ^^^", "the range counts down", "write 1-5"},
		{"node[c-a]", "     ^^^", "the range counts down", "write a-c"},
		{"node[a-C]", "     ^^^", "a range of letters keeps to one case", ""},
		{"node[01-100]", "     ^^^^^^", "the ends of a padded range differ in width", "write 001-100 or 1-100"},
		{"node[1-010]", "     ^^^^^", "the ends of a padded range differ in width", "write 001-010 or 1-10"},
		{"node[00-3]", "     ^^^^", "the ends of a padded range differ in width", "write 00-03 or 0-3"},
		{"node[1-3/0]", "     ^^^^^", "a step is a number from 1 on", ""},
		{"node[1-3/]", "     ^^^^", "a step is a number from 1 on", ""},
		{"node[1-3/-1]", "     ^^^^^^", "a step is a number from 1 on", ""},
		{"node[1/2]", "     ^^^", "a step needs a range", "write [1-9/2]"},
		{"node[-3]", "     ^^", "a range cannot begin with -", ""},
		{"node[1-]", "     ^^", `"1-" is not a range of numbers or letters`, "write 1-5, 1-9/2 or a-f"},
		{"node[1-2-3]", "     ^^^^^", `"1-2-3" is not a range of numbers or letters`, "write 1-5, 1-9/2 or a-f"},
		{"node[1..3]", "     ^^^^", `"1..3" is not a range of numbers or letters`, "write 1-3"},
		{"node[1:3]", "     ^^^", `"1:3" is not a range of numbers or letters`, "write 1-3"},
		{"[1:3]", " ^^^", "not an IPv6 address", "write the range as [1-3]"},
		{"node[east,west]", "     ^^^^", `"east" is not a range of numbers or letters`, "write 1-5, 1-9/2 or a-f"},
		{"node[1-1000000000000000000]", "     ^^^^^^^^^^^^^^^^^^^^^", "a number of more than 18 digits", ""},
		{"node{1..3}", "    ^", "braces mean nothing here", "write a range as [1-3]"},
		{"a b", " ^", "a blank within a host", "put a comma between hosts"},
		{"a\x00b", " ^", `a host cannot hold the character '\x00'`, ""},
		{"a\nb", " ^", `a host cannot hold the character '\n'`, ""},
		{"a[1\x00-2]", "   ^", `a host cannot hold the character '\x00'`, ""},
		{"aä\xffb", "  ^", "not UTF-8 text", ""},
		{"a\u202eb", " ^", `a host cannot hold the character '\u202e'`, ""},
		{"a;id", " ^", `a host cannot hold the character ';'`, ""},
		{"$(id)", "^", `a host cannot hold the character '$'`, ""},
		{"`id`", "^", "a host cannot hold the character '`'", ""},
		{"10.0.0.0/24", "        ^", `a host cannot hold the character '/'`, ""},
		{"a,@web", "  ^^^^", "groups are not known here", ""},
		{"web*", "^^^^", "there is no list of all hosts to match here", ""},
		{"/web/", "^^^^^", "there is no list of all hosts to match here", ""},
		{"a,^hosts", "  ^^^^^^", "files are not read here", ""},
		{"a!", "  ^", "no host after the operator !", ""},
		{"a!,b", "  ^", "no host before the comma", "remove a comma"},
		{"a!&b", "  ^", "two operators, and no host in between", "remove one of them"},
		{"!a", "^", "no host before the operator !", "say first from which hosts, as in web[1-9]!web3"},
		{"(a", "^", "the parenthesis is not closed", "close it with )"},
		{"a)", " ^", "a closing parenthesis without an opening one", ""},
		{"a,(b,c))", "       ^", "a closing parenthesis without an opening one", ""},
		{"()", " ^", "nothing in the parentheses", ""},
		{"a&(b,)", "     ^", "no host after the last comma", "remove the comma"},
		{"(a)b", "   ^", "an operator is missing", "put , ! & or ^ in between"},
		{"a(b)", " ^", "an operator is missing", "put , ! & or ^ in between"},
		{"a&b[1-3", "   ^", "the bracket is not closed", "close it with ]"},
		{"/web", "^", "the regular expression is not closed", "close it with /"},
		{"//", "^^", "an empty regular expression", "write @* for all hosts"},
		{"/we(b/", "^^^^^^", "the regular expression cannot be read: missing closing )", ""},
		{"/web/1", "     ^", "an operator is missing", "put , ! & or ^ in between"},
		{"a,^", "  ^", "no file after the ^", "write ^FILE"},
		{"@", " ^", "no group after the @", "write @group, or @* for all hosts"},
		{"@source:", "        ^", "no group after the @", "write @group, or @* for all hosts"},
		{"@:group", " ^", "no source before the colon", "write @source:group, or @group for the default source"},
		{"@so*:group", " ^^^", "the name of a source is written out", ""},
		{"@@source", " ^", "the name of a group cannot hold an @", ""},
		{"@web[1-", "    ^", "the bracket is not closed", "close it with ]"},
		{"web[3-1]*", "    ^^^", "the range counts down", "write 1-3"},
		{"-oProxyCommand=id", "^^^^^^^^^^^^^^^^^", "a host cannot begin with -", ""},
		{"root@-x", "     ^^", "a host cannot begin with -", ""},
		{"-l@a", "^^", "a user cannot begin with -", ""},
		{"u[1]@a", "^^^^", "a user cannot hold brackets", ""},
		{"root@", "     ^", "no host after the user", ""},
		{":22", "^^^", "no host before the port", ""},
		{"a:", "  ^", "a port is a number from 1 to 65535", ""},
		{"a:0", "  ^", "a port is a number from 1 to 65535", ""},
		{"a:022", "  ^^^", "a port is a number from 1 to 65535", ""},
		{"a:65536", "  ^^^^^", "a port is a number from 1 to 65535", ""},
		{"a:ssh", "  ^^^", "a port is a number from 1 to 65535", ""},
		{"a:[22-23]", "  ^^^^^^^", "a port is a number from 1 to 65535", ""},
		{"[::1]:", "      ^", "a port is a number from 1 to 65535", ""},
		{"[::1]x", "     ^", "only a port can follow an address in brackets", ""},
		{"[::g]", " ^^^", "not an IPv6 address", "an address with a port is written [2001:db8::1]:22"},
		{"a:22:b", "^^^^^^", "not an IPv6 address", "an address with a port is written [2001:db8::1]:22"},
		{"fe80::[a-z]", "^^^^^^^^^^^", "not an IPv6 address", "an address with a port is written [2001:db8::1]:22"},
		{"::ffff:1.2.3.4:22", "^^^^^^^^^^^^^^^^^", "not an IPv6 address", "an address with a port is written [2001:db8::1]:22"},
	} {
		_, err := hostlist.Parse(tt.expr)
		e, ok := errors.AsType[*hostlist.SyntaxError](err)
		if !ok {
			t.Errorf("Parse(%q): got %v, want a SyntaxError", tt.expr, err)
			continue
		}
		if e.Msg != tt.msg || e.Hint != tt.hint {
			t.Errorf("Parse(%q): got %q, hint %q, want %q, hint %q", tt.expr, e.Msg, e.Hint, tt.msg, tt.hint)
		}
		if _, mark, _ := strings.Cut(e.Caret(), "\n"); mark != tt.mark {
			t.Errorf("Parse(%q): got mark\n%s\nwant\n%s", tt.expr, e.Caret(), tt.mark)
		}
	}
}

func TestErrorText(t *testing.T) {
	_, err := hostlist.Parse("web1,node[1,5-1]")
	want := `host expression "web1,node[1,5-1]": byte 12: the range counts down (write 1-5)`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = hostlist.Parse(strings.Repeat("x", 5000) + "\x1b[31m" + strings.Repeat("y", 5000))
	if text := err.Error(); len(text) > 300 || strings.Contains(text, "\x1b") {
		t.Errorf("got %d bytes %q, want a short text without escapes", len(text), text)
	}
	_, err = hostlist.Parse("node[1-2000000],a")
	want = `host expression "node[1-2000000],a": it stands for 2000001 hosts, more than the limit of 1000000`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestCaretIsCut(t *testing.T) {
	long := strings.Repeat("ab,", 100)
	for _, expr := range []string{long + "c[5-1]" + "," + long, long + "x[", "y[5-1]" + long, "a[" + strings.Repeat("1", 200) + "-x]"} {
		_, err := hostlist.Parse(expr)
		e, ok := errors.AsType[*hostlist.SyntaxError](err)
		if !ok {
			t.Fatalf("Parse(%q): got %v, want a SyntaxError", expr, err)
		}
		line, mark, _ := strings.Cut(e.Caret(), "\n")
		if utf8.RuneCountInString(line) > 80 || utf8.RuneCountInString(mark) > 80 {
			t.Errorf("Caret: got\n%s\n%s\nwant at most 80 columns", line, mark)
		}
		from := strings.IndexByte(mark, '^')
		marked := []rune(line)[from:min(len(mark), len([]rune(line)))]
		if want := expr[e.Pos:e.End]; !strings.HasPrefix(want, strings.TrimSuffix(string(marked), "…")) {
			t.Errorf("Caret: got\n%s\n%s\nwant %q marked", line, mark, want)
		}
	}
}

func TestLimit(t *testing.T) {
	const max = math.MaxInt
	for _, tt := range []struct {
		expr  string
		limit int
		count int // 0 where it is accepted
	}{
		{"n[1-1000000]", 0, 0},
		{"n[0-1000000]", 0, 1000001},
		{"n[1-999999],a,b", 0, 1000001},
		{"n[1-3]", 3, 0},
		{"n[1-3]", 2, 3},
		{"n[0-999999999999999999]", 0, 1e18},
		{"n[0-999999999999999999]", -1, 0},
		{"n[0-999999999999999999]x[0-999999999999999999]", 0, max},
		{"n[0-4294967295]x[0-4294967295]", 0, max}, // 2^64 exactly
		{strings.Repeat("[0-9]", 64), 0, max},
		{strings.TrimSuffix(strings.Repeat("n[0-999999999999999999],", 40), ","), 0, max},
	} {
		e, err := hostlist.Parser{Limit: tt.limit}.Parse(tt.expr)
		limit, over := errors.AsType[*hostlist.LimitError](err)
		switch {
		case tt.count == 0 && err != nil:
			t.Errorf("%.40s, limit %d: got %v, want no error", tt.expr, tt.limit, err)
		case tt.count != 0 && (!over || limit.Count != tt.count || e != nil):
			t.Errorf("%.40s, limit %d: got %v, want a count of %d", tt.expr, tt.limit, err, tt.count)
		}
	}
}

// TestAllIsLazy takes the first hosts of more than fit in memory, and the last.
func TestAllIsLazy(t *testing.T) {
	e, err := hostlist.Parser{Limit: -1}.Parse("a[0-999999999999999999]b[0-999999999999999999]")
	if err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(10, func() {
		n := 0
		for range e.All() {
			if n++; n == 100 {
				break
			}
		}
	})
	if allocs > 120 {
		t.Errorf("got %v allocations for 100 hosts, want about one for each", allocs)
	}
	if got := e.Len(); got != math.MaxInt {
		t.Errorf("got length %d, want the largest int", got)
	}
}

func TestTooManyBrackets(t *testing.T) {
	if _, err := hostlist.Parse(strings.Repeat("[1]", 64)); err != nil {
		t.Errorf("64 brackets: got %v, want no error", err)
	}
	if _, err := hostlist.Parse(strings.Repeat("[1]", 65)); err == nil {
		t.Error("65 brackets: got no error")
	}
}

// TestExpandNodeset expands random expressions, in the part of the grammar that both
// have, together with the nodeset of this machine.
func TestExpandNodeset(t *testing.T) {
	nodeset := lookPath(t, "nodeset")
	gen := rapid.Custom(func(t *rapid.T) string {
		from, n := rapid.IntRange(0, 120).Draw(t, "from"), rapid.IntRange(0, 30).Draw(t, "n")
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return fmt.Sprint(from)
		case 1:
			return fmt.Sprintf("%d-%d", from, from+n)
		case 2:
			return fmt.Sprintf("%03d-%03d", from, from+n)
		}
		return fmt.Sprintf("%d-%d/%d", from, from+n, 1+n/3)
	})
	var exprs []string
	for i := range 80 {
		items := rapid.SliceOfN(gen, 1, 4).Example(i)
		exprs = append(exprs, fmt.Sprintf("p%cx[%s]y[%s]z", 'a'+i%26, strings.Join(items, ","), gen.Example(1000+i)))
	}
	out, err := exec.Command(nodeset, "-e", "-S", "\n", strings.Join(exprs, ",")).Output()
	if err != nil {
		t.Fatal(err)
	}
	e, err := hostlist.Parse(strings.Join(exprs, ","))
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Compact(slices.Sorted(e.All()))
	want := slices.Sorted(strings.Lines(string(out)))
	for i := range want {
		want[i] = strings.TrimSpace(want[i])
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %d hosts, want %d, and the same", len(got), len(want))
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"node[01-10/3,15],root@db[1-3]:2222", "[::1]:22", "2001:db8::[1-f]", "a[b-d]", "a,,b", "[", "x@y@z:1",
		"[1:3]", "n[5-1]", "n[0-99999999]m[0-99999999]", "\x00", "ä[1-2", "a[1]]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		e, err := hostlist.Parser{Limit: 1000}.Parse(expr)
		if err != nil {
			checkError(t, expr, err)
			return
		}
		words := slices.Collect(e.All())
		if e.Len() != len(words) {
			t.Errorf("%q: got length %d, want %d", expr, e.Len(), len(words))
		}
		for _, w := range words {
			one, err := hostlist.Parse(w)
			if err != nil {
				t.Fatalf("%q: its word %q: %v", expr, w, err)
			}
			if again := slices.Collect(one.All()); len(again) != 1 || again[0] != w {
				t.Errorf("%q: its word %q gives %q", expr, w, again)
			}
		}
		checkFold(t, words)
	})
}

func checkError(t *testing.T, expr string, err error) {
	t.Helper()
	if e, ok := errors.AsType[*hostlist.SyntaxError](err); ok {
		if e.Pos < 0 || e.Pos > e.End || e.End > len(expr) || e.Expr != expr {
			t.Errorf("%q: got part %d to %d of %q", expr, e.Pos, e.End, e.Expr)
		}
		if strings.Count(e.Caret(), "\n") != 1 || !strings.HasSuffix(e.Caret(), "^") {
			t.Errorf("%q: got caret %q, want two lines", expr, e.Caret())
		}
		return
	}
	if _, ok := errors.AsType[*hostlist.LimitError](err); !ok {
		t.Errorf("%q: got %v, want a SyntaxError or a LimitError", expr, err)
	}
}

func checkFold(t *testing.T, words []string) {
	t.Helper()
	if len(words) == 0 {
		return // no expression stands for nothing
	}
	folded := hostlist.Fold(words)
	e, err := hostlist.Parse(folded)
	if err != nil {
		t.Fatalf("%q folds to %q: %v", words, folded, err)
	}
	want := slices.Compact(slices.Sorted(slices.Values(words)))
	if got := slices.Sorted(e.All()); !slices.Equal(got, want) {
		t.Errorf("%q: folded and parsed got %q, want %q", words, got, want)
	}
}
