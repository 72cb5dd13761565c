package hostlist_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/shoal-ssh/shoal/hostlist"
)

func ExampleParse() {
	e, err := hostlist.Parse("web[08-10],root@db1:2222")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.Len())
	for name := range e.All() {
		fmt.Println(name)
	}
	// Output:
	// 4
	// web08
	// web09
	// web10
	// root@db1:2222
}

func ExampleSyntaxError_Caret() {
	_, err := hostlist.Parse("web1,node[1-3,9-5]")
	if e, ok := errors.AsType[*hostlist.SyntaxError](err); ok {
		fmt.Println(e.Msg)
		fmt.Println(e.Caret())
		fmt.Println(e.Hint)
	}
	// Output:
	// the range counts down
	// web1,node[1-3,9-5]
	//               ^^^
	// write 5-9
}

func ExampleFold() {
	fmt.Println(hostlist.Fold([]string{"node5", "node2", "node1", "node3", "web02", "web01"}))
	fmt.Println(hostlist.Fold([]string{"r1n1", "r1n2", "r2n1", "r2n2"}))
	// Output:
	// node[1-3,5],web[01-02]
	// r[1-2]n[1-2]
}

func ExampleReadHosts() {
	file := strings.NewReader("# databases\ndb[1-2] postgres\nroot@backup:2222\n")
	for name, err := range hostlist.ReadHosts(file) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(name)
	}
	// Output:
	// postgres@db1
	// postgres@db2
	// root@backup:2222
}

func ExampleParse_operators() {
	e, err := hostlist.Parse("node[1-10] & (node[4-20] ! node[6-7]), login1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(hostlist.FoldSeq(e.All()))
	// Output:
	// login1,node[4-5,8-10]
}

// roles are groups in a map; package inventory reads those of other tools.
type roles map[string][]string

func (r roles) Group(_ context.Context, _, name string) ([]string, error) {
	if members, ok := r[name]; ok {
		return members, nil
	}
	return nil, errors.New("there is no such group")
}

func (r roles) All(ctx context.Context, source string) ([]string, error) {
	return r.Group(ctx, source, "all")
}

func (r roles) Names(context.Context, string) ([]string, error) {
	return slices.Sorted(maps.Keys(r)), nil
}

func ExampleParser_Resolve() {
	p := hostlist.Parser{Groups: roles{
		"all":  {"@web", "db[1-2]"},
		"web":  {"web[01-20]"},
		"down": {"web03,db2"},
	}}
	for _, expr := range []string{"@web!@down", "*[1-3]!@down", "/^(db|web1)/", "@dwon"} {
		e, err := p.Resolve(context.Background(), expr)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(e.Len(), hostlist.FoldSeq(e.All()))
	}
	// Output:
	// 19 web[01-02,04-20]
	// 6 db1,web[01-02,11-13]
	// 12 db[1-2],web[10-19]
	// host expression "@dwon": byte 0: unknown group "dwon" (did you mean "down"?)
}

func ExampleParser_Explain() {
	p := hostlist.Parser{Groups: roles{"web": {"web[1-9]"}, "down": {"web3"}}}
	steps, err := p.Explain(context.Background(), "@web!@down&web[1-5]")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range steps {
		fmt.Printf("%c %s is %s: %d so far\n", s.Op, s.Text, s.Set, s.Result.Len())
	}
	// Output:
	// , @web is web[1-9]: 9 so far
	// ! @down is web3: 8 so far
	// & web[1-5] is web[1-5]: 4 so far
}

func ExampleSet() {
	up := hostlist.NewSet(slices.Values([]string{"web1", "web2", "web3"}))
	done := new(hostlist.Set)
	done.Add("web2")
	fmt.Println(up.Difference(done))
	// Output:
	// web[1,3]
}

func ExampleSplit() {
	for part := range hostlist.Split([]string{"web1", "web2", "web3", "web4", "web5"}, 2) {
		fmt.Println(hostlist.Fold(part))
	}
	// Output:
	// web[1-3]
	// web[4-5]
}

func ExampleSlice() {
	names, err := hostlist.Slice([]string{"a", "b", "c", "d", "e"}, "0,2-9")
	fmt.Println(names, err)
	// Output:
	// [a c d e] <nil>
}
