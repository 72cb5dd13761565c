// Command shoal runs commands on many hosts at once over SSH. See shoal help.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(runAs(context.Background(), os.Args[0], os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
