package hostlist

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// Slice returns the names at the places that ranges gives, counted from 0, in the
// order of names: "0" is the first, "0-9,20" has the first ten and the 21st, "0-99/10"
// every tenth. Places behind the end have nothing. The error is a [*SyntaxError].
func Slice(names []string, ranges string) ([]string, error) {
	s := scanner{src: ranges}
	items, err := s.items(0, len(ranges))
	if err != nil {
		return nil, err
	}
	chosen := make([]bool, len(names))
	for _, i := range items {
		if !isDigits(i.text) && (i.text != "" || i.letters) {
			return nil, s.errorf(0, len(ranges), "write 0-9 or 0,5", "places are numbers")
		}
		if i.text != "" {
			if len(i.text) > maxDigits {
				continue
			}
			i.from, i.to, i.step = number(i.text), number(i.text), 1
		}
		for at := i.from; at <= i.to && at < uint64(len(names)); at += i.step {
			chosen[at] = true
		}
	}
	var out []string
	for i, name := range names {
		if chosen[i] {
			out = append(out, name)
		}
	}
	return out, nil
}

// Split yields names in n parts, one after the other: each has as many as the others,
// the first ones one more where it does not come out even. There are fewer parts where
// there are fewer names, and none where n is not positive.
func Split(names []string, n int) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for n = min(n, len(names)); n > 0; n-- {
			size := (len(names) + n - 1) / n
			if !yield(names[:size:size]) {
				return
			}
			names = names[size:]
		}
	}
}

// Pick returns n of names at random, each choice equally likely, in the order of
// names; all where there are not more. A nil random is the generator of math/rand/v2,
// one with a seed makes the choice again.
func Pick(names []string, n int, random *rand.Rand) []string {
	draw := rand.IntN
	if random != nil {
		draw = random.IntN
	}
	var out []string
	for i, name := range names {
		if left := len(names) - i; draw(left) < n-len(out) {
			out = append(out, name)
		}
	}
	return out
}

// Regroup writes names with the groups of a source that are in it as a whole, as in
// @rack[1-2],node9. Large groups come first, and no host is in two of those written;
// hosts of no such group stand at the end. This is nodeset's -r.
func (p Parser) Regroup(ctx context.Context, source string, names iter.Seq[string]) (string, error) {
	if p.Groups == nil {
		return FoldSeq(names), nil
	}
	all := NewSet(names)
	groups, err := p.fullGroups(ctx, source, all)
	if err != nil {
		return "", err
	}
	rest, found := all, folder{}
	for _, g := range groups {
		if g.hosts.in(rest) {
			found.add(g.name)
			rest = rest.filter(func(name string) bool { return !g.hosts.Contains(name) })
		}
	}
	text := found.fold(math.MaxInt, groupName{source: source}.String())
	if text != "" && rest.Len() > 0 {
		text += ","
	}
	return text + rest.String(), nil
}

// namedSet is a group.
type namedSet struct {
	name  string
	hosts *Set
}

// fullGroups returns the groups of which all hosts are in set, large ones first. Names
// that no expression can write are left out.
func (p Parser) fullGroups(ctx context.Context, source string, set *Set) ([]namedSet, error) {
	names, err := p.Groups.Names(ctx, source)
	if err != nil {
		return nil, fmt.Errorf("the names of groups: %w", err)
	}
	v := p.evaluation(ctx)
	var groups []namedSet
	for _, name := range names {
		s := scanner{src: groupName{source, name}.String()}
		operands, err := s.expr()
		if err != nil || len(operands) != 1 || operands[0].kind != group || operands[0].wild {
			continue
		}
		hosts, err := v.list(&s, operands, "", nil)
		if err != nil {
			return nil, err
		}
		if hosts.Len() > 0 && hosts.in(set) {
			groups = append(groups, namedSet{name, hosts})
		}
	}
	slices.SortFunc(groups, func(a, b namedSet) int {
		return cmp.Or(cmp.Compare(b.hosts.Len(), a.hosts.Len()), strings.Compare(a.name, b.name))
	})
	return groups, nil
}
