package hostlist

import (
	"iter"
	"slices"
	"strings"
)

// Set is a set of hosts: each once, in the order in which they came. Hosts are equal
// where they are written alike: root@web1, web1 and web01 are three. The zero Set is
// empty and ready to use. Any number of goroutines may read a Set as long as none
// adds to it; the sets that go into Union and the like stay as they are.
type Set struct {
	names []string
	index map[string]struct{}
}

// NewSet returns the set of names.
func NewSet(names iter.Seq[string]) *Set {
	s := new(Set)
	s.addAll(names)
	return s
}

// makeSet returns an empty set with room for n hosts.
func makeSet(n int) *Set {
	return &Set{names: make([]string, 0, n), index: make(map[string]struct{}, n)}
}

// Add puts name into s, and reports whether it is new there.
func (s *Set) Add(name string) bool {
	if s.Contains(name) {
		return false
	}
	if s.index == nil {
		s.index = make(map[string]struct{})
	}
	s.index[name] = struct{}{}
	s.names = append(s.names, name)
	return true
}

func (s *Set) addAll(names iter.Seq[string]) {
	for name := range names {
		s.Add(name)
	}
}

// Len returns how many hosts s has.
func (s *Set) Len() int { return len(s.names) }

// Contains reports whether name is in s.
func (s *Set) Contains(name string) bool {
	_, ok := s.index[name]
	return ok
}

// All returns the hosts in the order in which they came.
func (s *Set) All() iter.Seq[string] { return slices.Values(s.names) }

// String returns the set as [Fold] writes it.
func (s *Set) String() string { return Fold(s.names) }

// Union returns the hosts that are in s or in t: those of s come first.
func (s *Set) Union(t *Set) *Set {
	u := makeSet(s.Len() + t.Len())
	u.addAll(s.All())
	u.addAll(t.All())
	return u
}

// Intersection returns the hosts of s that are in t too.
func (s *Set) Intersection(t *Set) *Set { return s.filter(t.Contains) }

// Difference returns the hosts of s that are not in t. A host of t without a user and
// a port stands for the host with any of them: to leave out web1 leaves out
// root@web1:2222 too, since to leave out too much is safer than too little.
func (s *Set) Difference(t *Set) *Set {
	return s.filter(func(name string) bool { return !t.Contains(name) && !t.Contains(bare(name)) })
}

// SymmetricDifference returns the hosts that are in one of s and t only: those of s
// come first.
func (s *Set) SymmetricDifference(t *Set) *Set {
	u := s.filter(func(name string) bool { return !t.Contains(name) })
	for name := range t.All() {
		if !s.Contains(name) {
			u.Add(name)
		}
	}
	return u
}

// in tells whether all hosts of s are in t.
func (s *Set) in(t *Set) bool {
	for _, name := range s.names {
		if !t.Contains(name) {
			return false
		}
	}
	return true
}

func (s *Set) filter(keep func(string) bool) *Set {
	names := make([]string, 0, len(s.names))
	for name := range s.All() {
		if keep(name) {
			names = append(names, name)
		}
	}
	u := makeSet(len(names))
	u.addAll(slices.Values(names))
	return u
}

// bare returns name without its user and its port, an IPv6 address without brackets.
func bare(name string) string {
	host := name[strings.LastIndexByte(name, '@')+1:]
	if strings.HasPrefix(host, "[") {
		host, _, _ = strings.Cut(host[1:], "]")
		return host
	}
	if strings.Count(host, ":") == 1 {
		host, _, _ = strings.Cut(host, ":")
	}
	return host
}
