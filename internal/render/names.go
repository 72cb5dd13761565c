package render

import (
	"fmt"

	"github.com/shoal-ssh/shoal/hostlist"
)

// foldNames writes a set of host names short, like "db1,node[1-3]".
func foldNames(names []string) string { return Sanitize(hostlist.Fold(names)) }

// countedNames folds names as a header does: with their number when there are
// several.
func countedNames(names []string) string {
	if len(names) == 1 {
		return foldNames(names)
	}
	return fmt.Sprintf("%s (%d)", foldNames(names), len(names))
}

// namesWithin folds names into at most width columns, saying how many it leaves
// out. At least one name is shown, however long it is.
func namesWithin(names []string, width int) string {
	if s := foldNames(names); columns(s) <= width {
		return s
	}
	short := func(n int) string {
		return fmt.Sprintf("%s and %d more", foldNames(names[:n]), len(names)-n)
	}
	// More names nearly always make a longer text, so halving finds about the
	// most that fit without folding every prefix.
	low, high := 1, len(names)
	for high-low > 1 {
		if mid := (low + high) / 2; columns(short(mid)) <= width {
			low = mid
		} else {
			high = mid
		}
	}
	if low == len(names) {
		return foldNames(names)
	}
	return short(low)
}
