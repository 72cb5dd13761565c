// Package glob finds and excludes files by patterns. Each part between slashes is
// a pattern of [path.Match]; a part ** stands for any number of directories, none
// among them.
package glob

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// IsPattern reports whether a name has characters of a pattern.
func IsPattern(name string) bool { return strings.ContainsAny(name, `*?[\`) }

// Unescape takes the backslashes out of a pattern that means one name.
func Unescape(pattern string) (string, bool) {
	if strings.ContainsAny(pattern, "*?[") {
		return "", false
	}
	if !strings.Contains(pattern, `\`) {
		return pattern, true
	}
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '\\' && i+1 < len(pattern) {
			i++
		}
		b.WriteByte(pattern[i])
	}
	return b.String(), true
}

// split takes a pattern apart. A ** behind another is without effect.
func split(pattern string) ([]string, error) {
	parts := strings.FieldsFunc(pattern, func(r rune) bool { return r == '/' })
	for _, part := range parts {
		if part == stars {
			continue
		}
		if _, err := path.Match(part, ""); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", pattern, err)
		}
		if strings.Contains(part, stars) {
			return nil, fmt.Errorf("pattern %q: ** stands for directories and must be alone between slashes", pattern)
		}
	}
	return slices.CompactFunc(parts, func(a, b string) bool { return a == stars && b == stars }), nil
}

const stars = "**"

// match reports whether parts of a name match those of a pattern.
func match(pattern, name []string) bool {
	again, from := []string(nil), []string(nil) // where the last ** may take one more
	for len(name) > 0 || len(pattern) > 0 {
		switch {
		case len(pattern) > 0 && pattern[0] == stars:
			pattern = pattern[1:]
			again, from = pattern, name
			continue
		case len(pattern) > 0 && len(name) > 0:
			if ok, _ := path.Match(pattern[0], name[0]); ok {
				pattern, name = pattern[1:], name[1:]
				continue
			}
		}
		if len(from) == 0 {
			return false
		}
		from = from[1:]
		pattern, name = again, from
	}
	return true
}

// Rules say what is left out. The zero value leaves out nothing.
type Rules []rule

type rule struct {
	parts []string
	dir   bool // matches directories only
}

// Parse reads patterns as those of gitignore(5), without its "!". One without a
// slash, but at its end, matches names at any depth, others match from the top;
// one with a slash at its end matches directories only.
func Parse(patterns []string) (Rules, error) {
	var rules Rules
	for _, p := range patterns {
		if strings.HasPrefix(p, "!") {
			return nil, fmt.Errorf(`pattern %q: nothing is taken back in; a name that begins so is \%[1]s`, p)
		}
		body := strings.TrimRight(p, "/")
		parts, err := split(body)
		if err != nil {
			return nil, err
		}
		if len(parts) == 0 {
			return nil, fmt.Errorf("pattern %q: %w", p, errNothing)
		}
		if !strings.Contains(body, "/") {
			parts = slices.Insert(parts, 0, stars)
		}
		rules = append(rules, rule{parts, body != p})
	}
	return rules, nil
}

var errNothing = errors.New("it matches nothing")

// Match reports whether a name, with slashes and from the top, is left out. What is
// in a directory that is left out is for the caller to leave out too.
func (r Rules) Match(name string, dir bool) bool {
	if len(r) == 0 {
		return false
	}
	parts := strings.Split(name, "/")
	return slices.ContainsFunc(r, func(r rule) bool {
		return (dir || !r.dir) && match(r.parts, parts)
	})
}

// Entry is a file in a directory.
type Entry struct {
	Name string
	Dir  bool // and no link to one
}

// Bounds of [Find].
const (
	MaxDepth = 64      // of directories that ** looks into
	MaxFound = 1 << 20 // names
)

// ErrMany is that a pattern means more than MaxFound names.
var ErrMany = fmt.Errorf("the pattern means more than %d files", MaxFound)

// Find returns the names that a pattern means, beginning with root. Only parts that
// are patterns are looked for: the others need not be there. A leading dot is only
// matched by one. ** at the end means the files in all directories, and follows no
// links anywhere. list returns what is in a directory; its error ends the search.
func Find(root, pattern string, list func(dir string) ([]Entry, error)) ([]string, error) {
	parts, err := split(pattern)
	if err != nil {
		return nil, err
	}
	found := []string{root}
	for i, part := range parts {
		var next []string
		add := func(dir string, e Entry) error {
			if len(next) >= MaxFound {
				return ErrMany
			}
			next = append(next, Join(dir, e.Name))
			return nil
		}
		for _, dir := range found {
			if plain, ok := Unescape(part); ok {
				err = add(dir, Entry{Name: plain})
			} else if part == stars {
				err = below(dir, 0, i == len(parts)-1, list, add)
			} else {
				var entries []Entry
				entries, err = list(dir)
				for _, e := range entries {
					hidden := strings.HasPrefix(e.Name, ".") && !strings.HasPrefix(part, ".")
					if ok, _ := path.Match(part, e.Name); ok && !hidden && err == nil {
						err = add(dir, e)
					}
				}
			}
			if err != nil {
				return nil, err
			}
		}
		if found = next; i > 0 && part == stars {
			slices.Sort(found) // one ** after another finds things twice
			found = slices.Compact(found)
		}
	}
	return found, nil
}

// below adds a directory and all below it, or the files in them.
func below(dir string, depth int, files bool, list func(string) ([]Entry, error), add func(string, Entry) error) error {
	if !files {
		if err := add(dir, Entry{}); err != nil {
			return err
		}
	}
	entries, err := list(dir)
	for _, e := range entries {
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(e.Name, "."):
		case e.Dir && depth < MaxDepth:
			err = below(Join(dir, e.Name), depth+1, files, list, add)
		case !e.Dir && files:
			err = add(dir, e)
		}
	}
	return err
}

// Join joins names by a slash, and changes nothing in them.
func Join(dir, name string) string {
	switch {
	case dir == "":
		return name
	case name == "":
		return dir
	case strings.HasSuffix(dir, "/"):
		return dir + name
	}
	return dir + "/" + name
}
