package openssh_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/openssh"
)

// Compression and a ProxyCommand, which Shoal by itself does not have.
func Example() {
	client := &shoal.Client{Transport: &openssh.Transport{
		Args: []string{"-F", "none", "-C", "-o", "ProxyCommand=false"}, // a proxy that is down
	}}
	defer client.Close()

	hosts := slices.Values([]shoal.Host{{Name: "web1.example.com"}})
	for r := range client.Run(context.Background(), hosts, shoal.Command{Line: "uptime"}) {
		fmt.Println(r.Host.Name, "reached:", r.Err == nil)
	}
	// Output: web1.example.com reached: false
}
