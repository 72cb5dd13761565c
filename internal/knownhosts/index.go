package knownhosts

import (
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// index finds the lines that match a name. Literal names are in a map and
// patterns in a list. A hashed line has to be tried with each name, so the
// index tries as few as it can:
//
//   - whether a host has a given key asks only the hashed lines with that key;
//   - whether it has a key of some type asks only those with such a key, and
//     only until one matches;
//   - a hashed line whose name was found is never tried again: there is but one
//     name that it matches;
//   - what was found for a name is kept.
//
// Adding needs exclusive use; looking up may go on from several goroutines.
type index struct {
	count    int
	literal  map[string][]*entry
	patterns []*entry
	byKey    map[keyID][]*entry
	hashed   map[class]*hashedList
	found    sync.Map // name → *found; hashed lines only
}

// keyID is a key in one of its roles.
type keyID struct {
	marker Marker
	blob   string
}

// class is what hashed lines are searched by when no key is given.
type class struct {
	marker Marker
	typ    string // of the key
}

// hashedList is the hashed lines of one class.
type hashedList struct {
	lines []*hashed
	next  atomic.Int64 // where to start: after the last hit, since hosts are often looked up in the order of the file
}

// found is what is known about the hashed lines of one name.
type found struct {
	mu   sync.Mutex
	mac  *mac
	hits []*entry
	done map[*hashedList]int // how many lines of a list were tried
}

func newIndex() *index {
	return &index{
		literal: make(map[string][]*entry),
		byKey:   make(map[keyID][]*entry),
		hashed:  make(map[class]*hashedList),
	}
}

func (e *entry) id() keyID { return keyID{e.Marker, e.blob} }

func (e *entry) class() class {
	if e.Marker == Known {
		return class{Known, e.Key.Type()}
	}
	return class{e.Marker, plainKey(e.Key).Type()} // what blob is made of
}

// add adds a line behind those that are there.
func (x *index) add(e *entry) {
	x.count++
	e.seq = x.count
	x.byKey[e.id()] = append(x.byKey[e.id()], e)
	switch {
	case e.hash != nil:
		e.hash.line = e
		list := x.hashed[e.class()]
		if list == nil {
			list = new(hashedList)
			x.hashed[e.class()] = list
		}
		list.lines = append(list.lines, e.hash)
	case isPattern(e.Hosts):
		x.patterns = append(x.patterns, e)
	default:
		for name := range strings.SplitSeq(e.Hosts, ",") {
			if same := x.literal[name]; !slices.Contains(same, e) {
				x.literal[name] = append(same, e)
			}
		}
	}
}

// clear yields the lines that match name and are not hashed.
func (x *index) clear(name string) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for _, e := range x.literal[name] {
			if !yield(e) {
				return
			}
		}
		for _, e := range x.patterns {
			if matchList(name, e.Hosts) && !yield(e) {
				return
			}
		}
	}
}

// find returns a line that matches name and has the key, or nil.
func (x *index) find(name string, id keyID) *entry {
	lines := x.byKey[id]
	if len(lines) == 0 {
		return nil
	}
	for e := range x.clear(name) {
		if e.id() == id {
			return e
		}
	}
	list := x.hashed[lines[0].class()]
	if list == nil {
		return nil
	}
	f := x.lock(name)
	defer f.mu.Unlock()
	for _, e := range f.hits {
		if e.id() == id {
			return e
		}
	}
	if f.done[list] == len(list.lines) {
		return nil
	}
	for _, e := range lines {
		if e.hash != nil && f.try(e.hash) {
			return e
		}
	}
	return nil
}

// hasType reports whether a line of that class matches name, other than those
// for which ignore reports true; ignore must not use the index.
func (x *index) hasType(name string, c class, ignore func(*entry) bool) bool {
	wanted := func(e *entry) bool { return e.class() == c && !ignore(e) }
	for e := range x.clear(name) {
		if wanted(e) {
			return true
		}
	}
	list := x.hashed[c]
	if list == nil {
		return false
	}
	f := x.lock(name)
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.hits, wanted) || f.scan(list, wanted)
}

// all returns every line that matches name and has one of the markers, in the
// order of loading.
func (x *index) all(name string, markers ...Marker) []*entry {
	wanted := func(e *entry) bool { return slices.Contains(markers, e.Marker) }
	var lines []*entry
	for e := range x.clear(name) {
		if wanted(e) {
			lines = append(lines, e)
		}
	}
	if len(x.hashed) > 0 {
		f := x.lock(name)
		defer f.mu.Unlock()
		for c, list := range x.hashed {
			if slices.Contains(markers, c.marker) {
				f.scan(list, func(*entry) bool { return false })
			}
		}
		for _, e := range f.hits {
			if wanted(e) {
				lines = append(lines, e)
			}
		}
	}
	slices.SortFunc(lines, func(a, b *entry) int { return a.seq - b.seq })
	return lines
}

// lock returns what is known about name, locked.
func (x *index) lock(name string) *found {
	f, ok := x.found.Load(name)
	if !ok {
		f, _ = x.found.LoadOrStore(name, &found{mac: newMAC(name), done: make(map[*hashedList]int)})
	}
	known := f.(*found)
	known.mu.Lock()
	return known
}

// scan tries the lines of list that were not tried before, until one matches
// for which enough reports true, and reports whether there was one.
func (f *found) scan(list *hashedList, enough func(*entry) bool) bool {
	lines := list.lines[f.done[list]:]
	if len(lines) == 0 {
		return false
	}
	start := int(list.next.Load()) % len(list.lines)
	for i := range lines {
		at := (start + i) % len(lines)
		if !f.try(lines[at]) {
			continue
		}
		list.next.Store(int64(f.done[list] + at + 1))
		if enough(lines[at].line) {
			return true
		}
	}
	f.done[list] = len(list.lines)
	return false
}

// try tries one hashed line and keeps it when it matches.
func (f *found) try(h *hashed) bool {
	if h.taken.Load() || !f.mac.matches(h) {
		return false
	}
	h.taken.Store(true)
	f.hits = append(f.hits, h.line)
	return true
}
