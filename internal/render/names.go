package render

import (
	"fmt"
	"strings"
)

// Folder writes a set of host names short, like "node[1-3],db1". It must not
// change what it is given.
type Folder func(names []string) string

// fold folds every name; a nil Folder joins them with commas.
func (f Folder) fold(names []string) string {
	if f == nil {
		return Sanitize(strings.Join(names, ","))
	}
	return Sanitize(f(names))
}

// counted folds names as a header does: with their number when there are
// several.
func (f Folder) counted(names []string) string {
	if len(names) == 1 {
		return f.fold(names)
	}
	return fmt.Sprintf("%s (%d)", f.fold(names), len(names))
}

// within folds names into at most width columns, saying how many it leaves out.
// At least one name is shown, however long it is.
func (f Folder) within(names []string, width int) string {
	if s := f.fold(names); columns(s) <= width {
		return s
	}
	short := func(n int) string {
		return fmt.Sprintf("%s and %d more", f.fold(names[:n]), len(names)-n)
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
		return f.fold(names)
	}
	return short(low)
}
