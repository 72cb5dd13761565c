//go:build unix

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestConfirmAll asks before -a acts.
func TestConfirmAll(t *testing.T) {
	a := startFleet("")(t, 2, nil)
	file := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(file, []byte(a.hosts[0]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		answer, shows string
		code          int
	}{
		{"y\n", "1 ok", 0},
		{"n\n", "nothing was done: the answer was no", 5},
		{"\n", "nothing was done: the answer was no", 5},
		{ctrlC, "", 130},
	} {
		p := onTerminal(t, command(t, a, "run", "--inventory", file, "-a", "true"))
		p.expect("All hosts: 1 host, 127.0.0.1. Go on (y/N)? ")
		p.typed(tt.answer)
		if tt.shows != "" {
			p.expect(tt.shows)
		}
		p.exits(tt.code)
	}
}
