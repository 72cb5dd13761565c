package codec

import (
	"cmp"
	"slices"
	"strings"

	"github.com/shoal-ssh/shoal/internal/nearest"
)

// suggest returns up to three names that key may be a misspelling of, the likeliest
// first.
func suggest(key string) []string {
	type candidate struct {
		name     string
		distance int
	}
	if len(key) > 40 { // longer than any name and two mistakes
		return nil
	}
	squeezed := squeeze(key)
	var found []candidate
	for line := range strings.Lines(known) {
		names := strings.Fields(line)
		best := candidate{distance: 3}
		for _, n := range names {
			if d := nearest.Distance(squeezed, squeeze(n)); d < best.distance && d <= len(squeezed)/3 {
				best = candidate{n, d}
			}
		}
		if best.name != "" {
			found = append(found, best)
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, c := range found[:min(3, len(found))] {
		names = append(names, c.name)
	}
	return names
}

// squeeze removes what people leave out of names or put into them.
func squeeze(name string) string {
	return strings.NewReplacer("_", "", ".", "").Replace(name)
}
