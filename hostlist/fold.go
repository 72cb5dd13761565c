package hostlist

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"strconv"
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
func FoldSeq(names iter.Seq[string]) string { return FoldSteps(names, 0) }

// FoldSteps is [FoldSeq], but writes least numbers or more with the same distance
// between them as a range with a step, as in node[2-10/2]. That is nodeset's
// --autostep; few other programs can read it. Zero means no steps, and less than 3
// means 3.
func FoldSteps(names iter.Seq[string], least int) string {
	var f folder
	for name := range names {
		f.add(name)
	}
	if least == 0 {
		least = math.MaxInt
	}
	return f.fold(max(least, 3), "")
}

// Sort returns names in the order in which [Fold] has them, each once.
func Sort(names iter.Seq[string]) []string {
	var f folder
	for name := range names {
		f.add(name)
	}
	return f.names()
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

// vectors is names that fold together: the texts stand before, between and behind their
// numbers.
type vectors struct {
	order string // sorted by this, then by what they make
	texts []string
	sets  [][][]string // for each vector, for each number its values
}

// all returns the vectors of all names added, in order.
func (f *folder) all() []vectors {
	all := make([]vectors, 0, len(f.plain)+len(f.patterns))
	for name := range f.plain {
		all = append(all, vectors{order: name, texts: []string{name}, sets: [][][]string{nil}})
	}
	for key, n := range f.patterns {
		all = append(all, vectors{strings.ReplaceAll(key, hole, "%s"), strings.Split(key, hole), n.vectors()})
	}
	slices.SortFunc(all, func(a, b vectors) int {
		return cmp.Or(strings.Compare(a.order, b.order), slices.Compare(a.texts, b.texts))
	})
	return all
}

// fold returns the expression for all names added, each operand behind prefix.
func (f *folder) fold(least int, prefix string) string {
	var out []byte
	for _, v := range f.all() {
		for _, sets := range v.sets {
			if len(out) > 0 {
				out = append(out, ',')
			}
			out = append(out, prefix...)
			out = appendVector(out, v.texts, sets, least)
		}
	}
	return string(out)
}

// names returns all names added.
func (f *folder) names() []string {
	var names []string
	for _, v := range f.all() {
		for _, sets := range v.sets {
			appendNames(&names, nil, v.texts, sets)
		}
	}
	return names
}

// appendNames appends the names that begin with b.
func appendNames(names *[]string, b []byte, texts []string, sets [][]string) {
	b = append(b, texts[0]...)
	if len(sets) == 0 {
		*names = append(*names, string(b))
		return
	}
	for _, value := range sets[0] {
		appendNames(names, append(b, value...), texts[1:], sets[1:])
	}
}

// vectors returns the values of the numbers, sorted and each once.
func (n *numbered) vectors() [][][]string {
	if n.dims == 1 {
		slices.SortFunc(n.values, compareNumbers)
		return [][][]string{{slices.Compact(n.values)}}
	}
	return slices.Collect(foldVectors(n.dims, n.values))
}

// appendVector writes a name with a set of numbers in each place.
func appendVector(b []byte, texts []string, sets [][]string, least int) []byte {
	for i, set := range sets {
		b = append(b, texts[i]...)
		if len(set) == 1 {
			b = append(b, set[0]...)
			continue
		}
		b = append(b, '[')
		b = appendRanges(b, set, least)
		b = append(b, ']')
	}
	return append(b, texts[len(sets)]...)
}

// appendRanges writes numbers, which are sorted, as in 1-3,5. Ranges with a step have
// at least least numbers. As in ClusterShell, the number that a range may begin with
// says how wide the others are, also where the range is broken up.
func appendRanges(b []byte, numbers []string, least int) []byte {
	start, step, widest := 0, uint64(0), numbers[0]
	for i := 1; i <= len(numbers); i++ {
		var gap uint64
		fits := i < len(numbers) && sameWidth(widest, numbers[i])
		if fits {
			gap = number(numbers[i]) - number(numbers[i-1])
		}
		if fits && (step == 0 || gap == step) {
			step = gap
			continue
		}
		switch whole := i-start == 1 || step == 1 || i-start >= least; {
		case !whole && fits: // the last number may begin a range with this one
			b = appendEach(b, numbers[start:i-1])
			start, step = i-1, gap
			continue
		case whole:
			b = appendRange(b, numbers[start], numbers[i-1], step)
		default:
			b = appendEach(b, numbers[start:i])
		}
		if start, step = i, 0; i < len(numbers) {
			widest = numbers[i]
		}
	}
	return b[:len(b)-1] // without the last comma
}

func appendEach(b []byte, numbers []string) []byte {
	for _, n := range numbers {
		b = append(append(b, n...), ',')
	}
	return b
}

func appendRange(b []byte, from, to string, step uint64) []byte {
	b = append(b, from...)
	if from != to {
		b = append(append(b, '-'), to...)
	}
	if step > 1 {
		b = strconv.AppendUint(append(b, '/'), step, 10)
	}
	return append(b, ',')
}

// sameWidth tells whether n can be in a range that began with first.
func sameWidth(first, n string) bool {
	if len(n) > maxDigits || isPadded(n) && !isPadded(first) {
		return false
	}
	return !isPadded(first) || len(n) == len(first)
}

// compareNumbers orders numbers as they count, those with more zeros in front later.
func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
