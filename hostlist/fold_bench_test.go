package hostlist_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/shoal-ssh/shoal/hostlist"
)

func BenchmarkFold(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		for name, make := range map[string]func(i int) string{
			"one":    func(i int) string { return fmt.Sprintf("node%d", i) },
			"gaps":   func(i int) string { return fmt.Sprintf("node%d.example.com", 2*i) },
			"two":    func(i int) string { return fmt.Sprintf("rack%dnode%d", i/100, i%100) },
			"random": func(i int) string { return fmt.Sprintf("r%dn%d", rand.IntN(n/10), rand.IntN(100)) },
		} {
			names := []string{}
			for i := range n {
				names = append(names, make(i))
			}
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					hostlist.Fold(names)
				}
			})
		}
	}
}

func BenchmarkExpand(b *testing.B) {
	e, err := hostlist.Parse("rack[1-100]node[0001-1000].example.com:22")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for range e.All() {
		}
	}
}

// BenchmarkSets takes a third out of a million hosts.
func BenchmarkSets(b *testing.B) {
	for b.Loop() {
		e, err := hostlist.Parse("node[1-1000000]!node[3-1000000/3]")
		if err != nil || e.Len() != 666_667 {
			b.Fatal(e.Len(), err)
		}
	}
}

func BenchmarkCount(b *testing.B) {
	for b.Loop() {
		e, err := hostlist.Parse("rack[1-100]node[0001-1000].example.com:22,login[1-4]")
		if err != nil || e.Count() != 100_004 {
			b.Fatal(e.Count(), err)
		}
	}
}
