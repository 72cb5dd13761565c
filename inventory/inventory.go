package inventory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Source is one place where groups of hosts are written down. Members are host
// expressions, which may name groups themselves; a group without a source in them
// is one of the same source.
type Source interface {
	// Group returns the members of a group. One that does not exist is an
	// [*UnknownGroupError].
	Group(ctx context.Context, name string) ([]string, error)
	// All returns every host of the source.
	All(ctx context.Context) ([]string, error)
	// Names returns the names of the groups, sorted.
	Names(ctx context.Context) ([]string, error)
}

// Inventory is sources by name. The zero Inventory has none. It is safe for
// concurrent use once all sources are added.
type Inventory struct {
	// Default names the source that the empty name stands for.
	Default string

	sources  map[string]Source
	ansible  *Ansible
	warnings []error
}

// Add adds a source. The first one becomes the default where there is none yet. A
// name that is taken is an error.
func (v *Inventory) Add(name string, s Source) error {
	if name == "" || strings.ContainsAny(name, "@:,!&^()*?/[] \t") {
		return fmt.Errorf("%q cannot be the name of a source of groups", name)
	}
	if v.sources[name] != nil {
		return fmt.Errorf("there are two sources of groups with the name %q", name)
	}
	if v.sources == nil {
		v.sources = make(map[string]Source)
	}
	v.sources[name] = s
	if v.Default == "" {
		v.Default = name
	}
	return nil
}

// Sources returns the names of the sources, sorted.
func (v *Inventory) Sources() []string { return slices.Sorted(maps.Keys(v.sources)) }

// Warnings returns what was passed over when the inventory was read.
func (v *Inventory) Warnings() []error { return slices.Clone(v.warnings) }

// Group returns the members of a group, each an expression. The empty source is
// the default one. The error is an [*UnknownSourceError], an
// [*UnknownGroupError], or says what kept the source from being read.
func (v *Inventory) Group(ctx context.Context, source, name string) ([]string, error) {
	s, err := v.source(source)
	if err != nil {
		return nil, err
	}
	members, err := s.Group(ctx, name)
	if e, ok := err.(*UnknownGroupError); ok {
		e.Source = source
	}
	return members, err
}

// All returns every host of a source, each an expression; see Group.
func (v *Inventory) All(ctx context.Context, source string) ([]string, error) {
	s, err := v.source(source)
	if err != nil {
		return nil, err
	}
	return s.All(ctx)
}

// Names returns the names of the groups of a source, sorted; see Group.
func (v *Inventory) Names(ctx context.Context, source string) ([]string, error) {
	s, err := v.source(source)
	if err != nil {
		return nil, err
	}
	return s.Names(ctx)
}

// Host returns the settings that Ansible inventories have for a host, by its name
// in them; false where they do not know it. See [Ansible.Host].
func (v *Inventory) Host(name string) (Host, bool, error) {
	if v.ansible == nil {
		return Host{}, false, nil
	}
	return v.ansible.Host(name)
}

func (v *Inventory) source(name string) (Source, error) {
	if name == "" {
		name = v.Default
	}
	if s := v.sources[name]; s != nil {
		return s, nil
	}
	return nil, &UnknownSourceError{Name: name, Known: v.Sources()}
}

// UnknownGroupError is a group that its source does not have.
type UnknownGroupError struct {
	Source string   // as it was asked for; empty is the default one
	Name   string   // of the group
	Known  []string // the names of the groups that there are, where they can be known
}

// Error names the group.
func (e *UnknownGroupError) Error() string {
	if e.Source != "" {
		return fmt.Sprintf("unknown group %q", e.Source+":"+e.Name)
	}
	return fmt.Sprintf("unknown group %q", e.Name)
}

// UnknownSourceError is a source of groups that there is not.
type UnknownSourceError struct {
	Name  string   // empty where there is no default source
	Known []string // the names of the sources that there are
}

// Error names the source.
func (e *UnknownSourceError) Error() string {
	switch {
	case e.Name == "":
		return "there are no groups of hosts"
	case len(e.Known) == 0:
		return fmt.Sprintf("unknown source of groups %q: there is none", e.Name)
	}
	return fmt.Sprintf("unknown source of groups %q: there is %s", e.Name, strings.Join(e.Known, ", "))
}

// FileError is a file that cannot be read as what it is taken for.
type FileError struct {
	File string
	Line int // from 1; 0 where it is the whole file
	Err  error
}

// Error returns the file, the line and what is wrong.
func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns e.Err.
func (e *FileError) Unwrap() error { return e.Err }

// Static is a source whose groups are all known: their members by name. All is
// the group "all", or else the members of every group.
type Static map[string][]string

// Group returns the members of a group.
func (s Static) Group(_ context.Context, name string) ([]string, error) {
	members, ok := s[name]
	if !ok {
		return nil, &UnknownGroupError{Name: name, Known: s.names()}
	}
	return members, nil
}

// All returns every host.
func (s Static) All(context.Context) ([]string, error) {
	if all, ok := s["all"]; ok {
		return all, nil
	}
	var all []string
	for _, name := range s.names() {
		all = append(all, s[name]...)
	}
	return unique(all), nil
}

// Names returns the names of the groups, sorted.
func (s Static) Names(context.Context) ([]string, error) { return s.names(), nil }

func (s Static) names() []string { return slices.Sorted(maps.Keys(s)) }

// unique leaves out what came before.
func unique(words []string) []string {
	seen := make(map[string]bool, len(words))
	return slices.DeleteFunc(words, func(w string) bool {
		was := seen[w]
		seen[w] = true
		return was
	})
}

// split takes text apart at blanks, but not at those around operators.
func split(text string) []string {
	fields := strings.Fields(text)
	var words []string
	open := false // the last word wants another operand
	for _, f := range fields {
		if n := len(words); n > 0 && (open || strings.IndexByte(",!&^", f[0]) >= 0) {
			words[n-1] += f
		} else {
			words = append(words, f)
		}
		open = strings.IndexByte(",!&^", f[len(f)-1]) >= 0
	}
	return words
}
