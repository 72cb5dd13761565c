package hostlist

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// Names with several numbers are points in a grid, one dimension for each number.
// Folding covers the points with boxes (vectors of sets). ClusterShell's way of
// finding them is greedy: its order of merging decides what comes out, so that order
// is part of what has to be equal.
//
// Two boxes merge when they differ in exactly one dimension. First come easy passes:
// the boxes are sorted and each takes in its successors as long as they merge. When
// such a pass changes nothing, full passes follow, in which each box takes in any
// later one. Each pass sorts anew, large boxes first.

// box is a product of sets. Boxes of one fold are disjoint.
type box struct {
	sets   []ranks
	hashes []uint64 // one for each set
	size   int
	place  int32 // among the boxes when they were last sorted
}

// ranks is a set of numbers as sorted indices in axis.values.
type ranks []int32

// axis is what is known of one dimension.
type axis struct {
	values []string // all that occur, sorted by compareNumbers
	text   []int32  // for each value its place in the order of the texts
}

// foldVectors yields the boxes that cover points, which has dims numbers for each.
func foldVectors(dims int, points []string) iter.Seq[[][]string] {
	axes := make([]axis, dims)
	index := make([]map[string]int32, dims)
	for d := range axes {
		axes[d], index[d] = newAxis(points, d, dims)
	}
	m := merger{axes: axes, boxes: make([]box, len(points)/dims)}
	flat, sets, hashes := make(ranks, len(points)), make([]ranks, len(points)), make([]uint64, len(points))
	for i, value := range points {
		flat[i] = index[i%dims][value]
		sets[i] = flat[i : i+1 : i+1]
		hashes[i] = mix(uint64(flat[i]) + 1)
	}
	for i := range m.boxes {
		from, to := i*dims, (i+1)*dims
		m.boxes[i] = box{sets: sets[from:to:to], hashes: hashes[from:to:to], size: 1}
	}
	m.run()
	return func(yield func([][]string) bool) {
		for _, b := range m.boxes {
			if !yield(b.values(axes)) {
				return
			}
		}
	}
}

func newAxis(points []string, d, dims int) (axis, map[string]int32) {
	seen := make(map[string]int32)
	for i := d; i < len(points); i += dims {
		seen[points[i]] = 0
	}
	var a axis
	for v := range seen {
		a.values = append(a.values, v)
	}
	slices.SortFunc(a.values, compareNumbers)
	order := make([]int32, len(a.values))
	for i, v := range a.values {
		seen[v] = int32(i)
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(x, y int32) int { return strings.Compare(a.values[x], a.values[y]) })
	a.text = make([]int32, len(order))
	for place, i := range order {
		a.text[i] = int32(place)
	}
	return a, seen
}

func (b box) values(axes []axis) [][]string {
	out := make([][]string, len(b.sets))
	for d, set := range b.sets {
		for _, r := range set {
			out[d] = append(out[d], axes[d].values[r])
		}
	}
	return out
}

type merger struct {
	axes  []axis
	boxes []box
}

func (m *merger) run() {
	m.sort()
	m.boxes = slices.CompactFunc(m.boxes, func(a, b box) bool { return m.compare(a, b) == 0 }) // single points
	if d, ok := m.oneAxis(); ok {
		m.mergeAll(d)
		return
	}
	for m.easyPass() {
		m.sort()
	}
	for m.fullPass() {
		m.sort()
	}
}

// oneAxis returns the only dimension in which the points differ, if it is one.
func (m *merger) oneAxis() (int, bool) {
	only, n := 0, 0
	for d, a := range m.axes {
		if len(a.values) > 1 {
			only = d
			n++
		}
	}
	return only, n <= 1
}

// mergeAll makes one box of points that differ in dimension d only.
func (m *merger) mergeAll(d int) {
	all := make(ranks, len(m.boxes))
	for i, b := range m.boxes {
		all[i] = b.sets[d][0]
	}
	slices.Sort(all)
	m.boxes[0].sets[d] = all
	m.boxes = m.boxes[:1]
}

// sort puts the boxes in the order of compare; equal ones stay as they are.
func (m *merger) sort() {
	for i := range m.boxes {
		m.boxes[i].place = int32(i)
	}
	slices.SortFunc(m.boxes, func(a, b box) int {
		return cmp.Or(m.compare(a, b), cmp.Compare(a.place, b.place))
	})
}

// compare puts larger boxes first, then those with the larger set in the first
// dimension, then those that begin and end with the lower text in it, and so on for
// the others.
func (m *merger) compare(a, b box) int {
	if c := cmp.Compare(b.size, a.size); c != 0 {
		return c
	}
	for d := range a.sets {
		x, y, text := a.sets[d], b.sets[d], m.axes[d].text
		if c := cmp.Compare(len(y), len(x)); c != 0 {
			return c
		}
		if c := cmp.Compare(text[x[0]], text[y[0]]); c != 0 {
			return c
		}
		if c := cmp.Compare(text[x[len(x)-1]], text[y[len(y)-1]]); c != 0 {
			return c
		}
	}
	return 0
}

// easyPass merges neighbours and reports whether there were any.
func (m *merger) easyPass() bool {
	last := 0
	for _, b := range m.boxes[1:] {
		if d := difference(m.boxes[last], b); d >= 0 {
			m.boxes[last].take(b, d)
			continue
		}
		last++
		m.boxes[last] = b
	}
	merged := last+1 < len(m.boxes)
	m.boxes = m.boxes[:last+1]
	return merged
}

// fullPass lets each box take in any later one and reports whether one did. What a
// box differs from in dimension d only has the same sets in the others, so the boxes
// are looked up by those.
func (m *merger) fullPass() bool {
	index := make(map[uint64][]int32)
	for i, b := range m.boxes {
		for d := range b.sets {
			k := b.without(d)
			index[k] = append(index[k], int32(i))
		}
	}
	gone := make([]bool, len(m.boxes))
	for i := range m.boxes {
		for at := i; !gone[i] && at >= 0; {
			var d int
			if at, d = m.next(index, gone, i, at); at >= 0 {
				m.boxes[i].take(m.boxes[at], d)
				gone[at] = true
			}
		}
	}
	n := 0
	for i, b := range m.boxes {
		if !gone[i] {
			m.boxes[n] = b
			n++
		}
	}
	merged := n < len(m.boxes)
	m.boxes = m.boxes[:n]
	return merged
}

// next returns the first box behind the place at that merges with box i, and the
// dimension; -1 where there is none.
func (m *merger) next(index map[uint64][]int32, gone []bool, i, at int) (place, d int) {
	place = -1
	for k := range m.axes {
		candidates := index[m.boxes[i].without(k)]
		first, _ := slices.BinarySearch(candidates, int32(at+1))
		for _, c := range candidates[first:] {
			if place >= 0 && int(c) >= place {
				break
			}
			if !gone[c] && difference(m.boxes[i], m.boxes[c]) == k {
				place, d = int(c), k
				break
			}
		}
	}
	return place, d
}

// difference returns the only dimension in which a and b differ, or -1.
func difference(a, b box) int {
	only := -1
	for d := range a.sets {
		if !slices.Equal(a.sets[d], b.sets[d]) {
			if only >= 0 {
				return -1
			}
			only = d
		}
	}
	return only
}

// take merges other, which differs in dimension d only, into b.
func (b *box) take(other box, d int) {
	b.size += other.size
	b.hashes[d] += other.hashes[d]
	b.sets[d] = union(b.sets[d], other.sets[d])
}

// union returns the numbers of both; a may be changed.
func union(a, b ranks) ranks {
	sorted := a[len(a)-1] < b[0]
	a = append(a, b...)
	if !sorted {
		slices.Sort(a)
	}
	return a
}

// without returns a hash of d and of all sets but the one of dimension d.
func (b box) without(d int) uint64 {
	h := mix(uint64(d) + 1)
	for k, set := range b.hashes {
		if k != d {
			h = mix(h + set)
		}
	}
	return h
}

// mix spreads the bits of x.
func mix(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}
