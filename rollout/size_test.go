package rollout_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/rollout"
)

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		canary  int
		batches string
		hosts   int
		want    []int
	}{
		{0, "", 0, nil},
		{0, "", 7, []int{7}},
		{0, "", 1, []int{1}},
		{1, "", 7, []int{1, 6}},
		{3, "", 2, []int{2}},
		{2, "", 2, []int{2}},
		{0, "3", 7, []int{3, 3, 1}},
		{0, "7", 7, []int{7}},
		{0, "100", 7, []int{7}},
		{0, "10%", 20, []int{2, 2, 2, 2, 2, 2, 2, 2, 2, 2}},
		{0, "30%", 10, []int{3, 3, 3, 1}},
		{0, "10%", 19, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}}, // rounded down
		{0, "1%", 3, []int{1, 1, 1}}, // at least 1
		{0, "100%", 3, []int{3}},
		{0, "50%", 1, []int{1}},
		{0, "1,5,10%,50%", 100, []int{1, 5, 10, 50, 34}},
		{0, "1,5", 18, []int{1, 5, 5, 5, 2}}, // the last one repeats
		{0, "1,30%", 20, []int{1, 6, 6, 6, 1}},
		{1, "10%", 20, []int{1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1}}, // of all hosts, not of the rest
	} {
		p := rollout.Plan{Canary: c.canary}
		if c.batches != "" {
			var err error
			if p.Batches, err = rollout.ParseSizes(c.batches); err != nil {
				t.Fatal(err)
			}
		}
		if got := p.Sizes(c.hosts); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("canary %d, batches %q of %d hosts: got %v, want %v", c.canary, c.batches, c.hosts, got, c.want)
		}
	}
}

// A share of the hosts is never more than its percentage.
func TestSizeOf(t *testing.T) {
	for _, c := range []struct {
		size        string
		hosts, want int
	}{
		{"0", 10, 0}, {"3", 10, 3}, {"3", 2, 3}, {"5%", 19, 0}, {"5%", 20, 1}, {"5%", 39, 1}, {"100%", 7, 7}, {"33%", 100, 33},
		{"99%", 1 << 30, 1063004405},
	} {
		s, err := rollout.ParseSize(c.size)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Of(c.hosts); got != c.want || s.String() != c.size {
			t.Errorf("%v of %d: got %d, want %d", s, c.hosts, got, c.want)
		}
	}
}

func TestParseSizeErrors(t *testing.T) {
	for text, want := range map[string]string{
		"": "neither", "-1": "neither", "x": "neither", "%": "neither", "1.5%": "neither", "99999999999": "neither", "1%%": "neither",
		"0%": "1% to 100%", "101%": "1% to 100%", "5,": "neither", ",5": "neither", "5,0": "0 hosts",
	} {
		if _, err := rollout.ParseSizes(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", text, err, want)
		}
	}
}

// Batches have at least one host each and are all the hosts, whatever the plan.
func TestSizesPartition(t *testing.T) {
	const seed = 20261127
	r := rand.New(rand.NewPCG(seed, seed))
	for range 20_000 {
		p := rollout.Plan{Canary: max(0, r.IntN(8)-3)}
		for range r.IntN(5) {
			s := rollout.Size{Hosts: 1 + r.IntN(50)}
			if r.IntN(2) == 0 {
				s = rollout.Size{Percent: 1 + r.IntN(100)}
			}
			p.Batches = append(p.Batches, s)
		}
		hosts, sum := r.IntN(500), 0
		for _, n := range p.Sizes(hosts) {
			if n < 1 {
				t.Fatalf("%+v of %d hosts: a batch of %d", p, hosts, n)
			}
			sum += n
		}
		if sum != hosts || p.Validate() != nil {
			t.Fatalf("%+v of %d hosts: batches of %d hosts, %v", p, hosts, sum, p.Validate())
		}
	}
}

func FuzzParseSizes(f *testing.F) {
	for _, text := range []string{"1", "10%", "1,5,10%,50%", " 1 , 2", "0", "%", "-3", "1e9", ",,"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sizes, err := rollout.ParseSizes(text)
		if err != nil {
			return
		}
		var words []string
		for _, s := range sizes {
			words = append(words, s.String())
		}
		again, err := rollout.ParseSizes(strings.Join(words, ","))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(sizes) {
			t.Errorf("%q: %v, and read again %v, %v", text, sizes, again, err)
		}
		if err := (rollout.Plan{Batches: sizes}).Validate(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
