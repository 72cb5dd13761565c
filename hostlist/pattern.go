package hostlist

import (
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// A pattern is text with ranges in it: the words it stands for are all combinations,
// the last range changing fastest.
type pattern []part

// part is text or, where items is not empty, the choice of one of its items.
type part struct {
	text  string
	items []item
}

// item is a range of numbers or letters, or one of them.
type item struct {
	text     string // the only value, where it is not empty
	from, to uint64
	step     uint64
	width    int  // of the numbers, with zeros in front; 0 adds none
	letters  bool // from and to are letters
}

// len returns how many values i has.
func (i item) len() uint64 {
	if i.text != "" {
		return 1
	}
	return (i.to-i.from)/i.step + 1
}

// append appends the value at index n.
func (i item) append(buf []byte, n uint64) []byte {
	switch n = i.from + n*i.step; {
	case i.text != "":
		return append(buf, i.text...)
	case i.letters:
		return append(buf, byte(n))
	default:
		return appendPadded(buf, n, i.width)
	}
}

func appendPadded(buf []byte, n uint64, width int) []byte {
	var digits [20]byte
	d := strconv.AppendUint(digits[:0], n, 10)
	for range width - len(d) {
		buf = append(buf, '0')
	}
	return append(buf, d...)
}

// len returns how many words p stands for, math.MaxUint64 where they are more.
func (p pattern) len() uint64 {
	n := uint64(1)
	for _, part := range p {
		if part.items == nil {
			continue
		}
		var choices uint64
		for _, i := range part.items {
			choices = saturatingAdd(choices, i.len())
		}
		hi, lo := bits.Mul64(n, choices)
		if hi != 0 {
			return math.MaxUint64
		}
		n = lo
	}
	return n
}

// all appends each word to buf in turn and calls yield, until yield returns false.
func (p pattern) all(buf []byte, yield func([]byte) bool) bool {
	for i, part := range p {
		if part.items == nil {
			buf = append(buf, part.text...)
			continue
		}
		for _, item := range part.items {
			for n := range item.len() {
				if !p[i+1:].all(item.append(buf, n), yield) {
					return false
				}
			}
		}
		return true
	}
	return yield(buf)
}

// ends returns the first word and the last.
func (p pattern) ends() (first, last string) {
	var f, l []byte
	for _, part := range p {
		if part.items == nil {
			f, l = append(f, part.text...), append(l, part.text...)
			continue
		}
		from, to := part.items[0], part.items[len(part.items)-1]
		f = from.append(f, 0)
		l = to.append(l, to.len()-1)
	}
	return string(f), string(l)
}

func saturatingAdd(a, b uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return math.MaxUint64
	}
	return sum
}

// contains tells whether word is one of those that p stands for: it keeps the places
// in word to which the parts so far can lead.
func (p pattern) contains(word string) bool {
	places := []int{0}
	for _, part := range p {
		var next []int
		for _, at := range places {
			if part.items == nil {
				if strings.HasPrefix(word[at:], part.text) {
					next = append(next, at+len(part.text))
				}
				continue
			}
			for end := at + 1; end <= len(word); end++ {
				if slices.ContainsFunc(part.items, func(i item) bool { return i.is(word[at:end]) }) {
					next = append(next, end)
				}
			}
		}
		slices.Sort(next)
		places = slices.Compact(next)
	}
	return len(places) > 0 && places[len(places)-1] == len(word)
}

// is tells whether text is one of the values of i.
func (i item) is(text string) bool {
	switch {
	case i.text != "":
		return text == i.text
	case i.letters:
		return isLetter(text) && i.from <= uint64(text[0]) && uint64(text[0]) <= i.to
	case !isDigits(text) || len(text) > maxDigits:
		return false
	}
	n := number(text)
	return i.from <= n && n <= i.to && (n-i.from)%i.step == 0 && len(text) == max(i.width, len(strconv.FormatUint(n, 10)))
}
