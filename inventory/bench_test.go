package inventory_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/shoal-ssh/shoal/hostlist"
	"github.com/shoal-ssh/shoal/inventory"
)

// BenchmarkAnsible reads an inventory of 100,000 hosts and asks for each.
func BenchmarkAnsible(b *testing.B) {
	file := filepath.Join(b.TempDir(), "hosts")
	if err := os.WriteFile(file, []byte("[big]\nhost[1:100000].example.com ansible_host=10.0.0.1\n[big:vars]\nansible_user=me\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		inv, err := inventory.Open(b.Context(), file)
		if err != nil {
			b.Fatal(err)
		}
		e, err := hostlist.Parser{Groups: inv}.Resolve(b.Context(), "@big")
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for name := range e.All() {
			if h, ok, err := inv.Host(name); !ok || err != nil || h.User != "me" {
				b.Fatal(name, h, ok, err)
			}
			n++
		}
		if n != 100_000 {
			b.Fatal(n)
		}
	}
}
