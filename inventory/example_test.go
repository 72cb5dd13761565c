package inventory_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/shoal-ssh/shoal/hostlist"
	"github.com/shoal-ssh/shoal/inventory"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "production.ini")
	text := "[web]\nweb[1:3] ansible_user=deploy\n[old]\nweb2 ansible_host=192.0.2.2 ansible_port=2222\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	inv, err := inventory.Open(ctx, file)
	if err != nil {
		fmt.Println(err)
		return
	}
	expr, err := hostlist.Parser{Groups: inv}.Resolve(ctx, "@web!@old")
	if err != nil {
		fmt.Println(err)
		return
	}
	for name := range expr.All() {
		fmt.Println(name)
	}
	h, _, err := inv.Host("web2")
	fmt.Println(h.User, h.Addr, h.Port, err)
	// Output:
	// web1
	// web3
	// deploy 192.0.2.2 2222 <nil>
}

func ExampleStatic() {
	inv := &inventory.Inventory{}
	if err := inv.Add("site", inventory.Static{"web": {"web[1-2]"}, "all": {"@web", "db1"}}); err != nil {
		fmt.Println(err)
		return
	}
	expr, err := hostlist.Parser{Groups: inv}.Resolve(context.Background(), "@*")
	if err != nil {
		fmt.Println(err)
		return
	}
	for name := range expr.All() {
		fmt.Println(name)
	}
	// Output:
	// web1
	// web2
	// db1
}
