package hostlist

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// hole stands in a pattern's text for a run of digits. In the order of the output it
// counts as "%s", as it does in ClusterShell.
const hole = "\x00"

// Fold writes names as one short expression: equal names once, and names that differ
// in their numbers only as ranges, as in node[1-3,5],web[01-02]. Names with several
// numbers fold in all of them, as in rack[1-2]node[1-4].
//
// The result is the one that ClusterShell's nodeset -f gives, with these exceptions:
// the user of a user@host and the port of a host:port are text and do not fold, and
// IPv6 addresses are listed as they are. Parse reads the result back, provided the
// names are words that Parse could have made.
func Fold(names []string) string { return FoldSeq(slices.Values(names)) }

// FoldSeq is [Fold] for a sequence of names.
func FoldSeq(names iter.Seq[string]) string {
	var f folder
	for name := range names {
		f.add(name)
	}
	return f.String()
}

// folder collects names by their pattern: what is left of a name without its numbers.
type folder struct {
	plain    map[string]struct{} // names without numbers to fold
	patterns map[string]*numbered

	key  []byte   // the pattern of the name in work
	nums []string // its numbers
}

// numbered is the names of one pattern.
type numbered struct {
	dims   int
	values []string // the numbers of each name, one name after the other
}

func (f *folder) add(name string) {
	if f.plain == nil {
		f.plain, f.patterns = make(map[string]struct{}), make(map[string]*numbered)
	}
	from, to, ok := foldable(name)
	if !ok {
		f.plain[name] = struct{}{}
		return
	}
	f.split(name, from, to)
	if len(f.nums) == 0 || len(f.nums) > maxBrackets {
		f.plain[name] = struct{}{}
		return
	}
	n := f.patterns[string(f.key)]
	if n == nil {
		n = &numbered{dims: len(f.nums)}
		f.patterns[string(f.key)] = n
	}
	n.values = append(n.values, f.nums...)
}

// split sets f.key and f.nums from name, whose digits from from to to can fold.
func (f *folder) split(name string, from, to int) {
	f.key, f.nums = append(f.key[:0], name[:from]...), f.nums[:0]
	for i := from; i < to; {
		if !isDigit(name[i]) {
			f.key = append(f.key, name[i])
			i++
			continue
		}
		start := i
		for i < to && isDigit(name[i]) {
			i++
		}
		f.nums = append(f.nums, name[start:i])
		f.key = append(f.key, hole...)
	}
	f.key = append(f.key, name[to:]...)
}

// foldable returns the part of name in which numbers can fold: the host, without the
// user and the port. It is false for names that are no single operand of an
// expression, and for IPv6 addresses.
func foldable(name string) (from, to int, ok bool) {
	from, to = strings.LastIndexByte(name, '@')+1, len(name)
	if strings.ContainsAny(name, ",[] "+hole) {
		return 0, 0, false
	}
	switch strings.Count(name[from:], ":") {
	case 0:
		return from, to, true
	case 1:
		return from, strings.LastIndexByte(name, ':'), true
	}
	return 0, 0, false
}

// String returns the expression for all names added.
func (f *folder) String() string {
	type entry struct{ order, text string }
	entries := make([]entry, 0, len(f.plain)+len(f.patterns))
	for name := range f.plain {
		entries = append(entries, entry{name, name})
	}
	for key, n := range f.patterns {
		entries = append(entries, entry{strings.ReplaceAll(key, hole, "%s"), n.fold(strings.Split(key, hole))})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(strings.Compare(a.order, b.order), strings.Compare(a.text, b.text))
	})
	var out strings.Builder
	for i, e := range entries {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(e.text)
	}
	return out.String()
}

// fold writes the names of one pattern. The texts stand before, between and behind
// the numbers.
func (n *numbered) fold(texts []string) string {
	if n.dims == 1 {
		slices.SortFunc(n.values, compareNumbers)
		return string(appendVector(nil, texts, [][]string{slices.Compact(n.values)}))
	}
	var b []byte
	for v := range foldVectors(n.dims, n.values) {
		if b != nil {
			b = append(b, ',')
		}
		b = appendVector(b, texts, v)
	}
	return string(b)
}

// appendVector writes a name with a set of numbers in each place.
func appendVector(b []byte, texts []string, sets [][]string) []byte {
	for i, set := range sets {
		b = append(b, texts[i]...)
		if len(set) == 1 {
			b = append(b, set[0]...)
			continue
		}
		b = append(b, '[')
		b = appendRanges(b, set)
		b = append(b, ']')
	}
	return append(b, texts[len(sets)]...)
}

// appendRanges writes numbers, which are sorted, as in 1-3,5.
func appendRanges(b []byte, numbers []string) []byte {
	for i := 0; i < len(numbers); {
		if i > 0 {
			b = append(b, ',')
		}
		last := i
		for last+1 < len(numbers) && follows(numbers[i], numbers[last], numbers[last+1]) {
			last++
		}
		b = append(b, numbers[i]...)
		if last > i {
			b = append(b, '-')
			b = append(b, numbers[last]...)
		}
		i = last + 1
	}
	return b
}

// follows tells whether b can go on a range that began with first and has come to a.
func follows(first, a, b string) bool {
	if isPadded(first) || isPadded(b) {
		if !isPadded(first) || len(b) != len(first) {
			return false
		}
	}
	return len(b) <= maxDigits && number(a)+1 == number(b)
}

// compareNumbers orders numbers as they count, those with more zeros in front later.
func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
