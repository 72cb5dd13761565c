package hostlist

import (
	"math"
	"slices"
	"strings"
)

// maxCompared is how many operands Count holds against each other.
const maxCompared = 64

// Count returns how many different hosts All has. It makes them only where brackets or
// operands overlap, or where it cannot tell whether they do.
func (e *Expr) Count() int {
	if e.set != nil {
		return e.set.Len()
	}
	if e.isDistinct() {
		return e.Len()
	}
	return NewSet(e.All()).Len()
}

// isDistinct tells whether no host appears twice for sure.
func (e *Expr) isDistinct() bool {
	if len(e.operands) > maxCompared {
		return false
	}
	grids := make([]grid, len(e.operands))
	for i, p := range e.operands {
		g, ok := p.grid()
		if !ok || slices.ContainsFunc(grids[:i], g.mayOverlap) {
			return false
		}
		grids[i] = g
	}
	return true
}

// grid is a pattern as text with numbers in it, as [Fold] sees names: words with
// different texts or different numbers are different.
type grid struct {
	texts   string
	numbers [][]item
}

// grid returns p as a grid, and false where p is none: letters in brackets, brackets
// next to digits or other brackets, or numbers that may be there twice.
func (p pattern) grid() (grid, bool) {
	var g grid
	var texts strings.Builder
	joined := false // to a number that has just ended
	for _, part := range p {
		if part.items == nil {
			for i := 0; i < len(part.text); {
				n := i
				for n < len(part.text) && isDigit(part.text[n]) {
					n++
				}
				if n == i {
					texts.WriteByte(part.text[i])
					i, joined = i+1, false
					continue
				}
				if joined {
					return g, false
				}
				texts.WriteString(hole)
				g.numbers = append(g.numbers, []item{{text: part.text[i:n]}})
				i, joined = n, true
			}
			continue
		}
		if joined {
			return g, false
		}
		for i, a := range part.items {
			if a.letters || a.text != "" && !isDigits(a.text) || slices.ContainsFunc(part.items[:i], a.mayEqual) {
				return g, false
			}
		}
		texts.WriteString(hole)
		g.numbers = append(g.numbers, part.items)
		joined = true
	}
	g.texts = texts.String()
	return g, true
}

// mayOverlap is false where no word is of both grids for sure.
func (g grid) mayOverlap(h grid) bool {
	if g.texts != h.texts {
		return false
	}
	for d := range g.numbers {
		if !slices.ContainsFunc(g.numbers[d], func(a item) bool { return slices.ContainsFunc(h.numbers[d], a.mayEqual) }) {
			return false
		}
	}
	return true
}

// mayEqual is false where no number is in both a and b for sure.
func (a item) mayEqual(b item) bool {
	if a.text != "" && b.text != "" {
		return a.text == b.text
	}
	aFrom, aTo := a.bounds()
	bFrom, bTo := b.bounds()
	return aFrom <= bTo && bFrom <= aTo
}

// bounds returns the least and the largest number of i.
func (i item) bounds() (from, to uint64) {
	switch {
	case i.text == "":
		return i.from, i.to
	case len(i.text) > maxDigits:
		return math.MaxUint64, math.MaxUint64 // more than any range has
	}
	return number(i.text), number(i.text)
}
