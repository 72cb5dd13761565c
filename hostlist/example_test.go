package hostlist_test

import (
	"errors"
	"fmt"
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
