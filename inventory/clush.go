package inventory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a file, in bytes.
const maxFile = 64 << 20

// ClusterShellFiles returns where ClusterShell looks for its groups.conf, those that
// count more behind: /etc/clustershell, ~/.local/etc/clustershell, the folder
// clustershell in $XDG_CONFIG_HOME (or else in ~/.config), and $CLUSTERSHELL_CFGDIR.
func ClusterShellFiles() []string {
	dirs := []string{"/etc/clustershell"}
	home, err := os.UserHomeDir()
	if err == nil {
		dirs = append(dirs, filepath.Join(home, ".local/etc/clustershell"))
	}
	if config := configHome(home); config != "" {
		dirs = append(dirs, filepath.Join(config, "clustershell"))
	}
	if dir := os.Getenv("CLUSTERSHELL_CFGDIR"); dir != "" {
		dirs = append(dirs, dir)
	}
	for i, dir := range dirs {
		dirs[i] = filepath.Join(dir, "groups.conf")
	}
	return dirs
}

func configHome(home string) string {
	if dir := os.Getenv("XDG_CONFIG_HOME"); dir != "" {
		return dir
	}
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".config")
}

// AddClusterShell adds the sources that ClusterShell has with these groups.conf
// files, of which those may be missing that are: their sections, the files of confdir
// (*.conf) and of autodir (*.yaml). What a later file says counts more, and $CFGDIR is
// the folder of the last. The option default of [Main] becomes the default source. It
// reports whether there was any of the files.
//
// Commands of files that others may write to are not run: see the package's
// documentation. They are refused when they are wanted, so that the other sources
// can be used.
func (v *Inventory) AddClusterShell(files ...string) (found bool, err error) {
	var conf sections
	dir := ""
	for _, file := range files {
		more, err := readSections(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return found, err
		}
		conf.merge(more)
		dir, found = filepath.Dir(file), true
	}
	if !found {
		return false, nil
	}
	main := conf.get("Main")
	confdir := main.options["confdir"]
	if old, ok := main.options["groupsdir"]; ok {
		confdir = old
	}
	if err := eachFile(confdir, dir, "*.conf", func(file string) error {
		more, err := readSections(file)
		if errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if err == nil {
			err = v.addSections(more, filepath.Dir(file))
		}
		return err
	}); err != nil {
		return true, err
	}
	if err := eachFile(main.options["autodir"], dir, "*.yaml", func(file string) error {
		err := v.AddYAML(file)
		if errors.Is(err, fs.ErrPermission) {
			return nil
		}
		return err
	}); err != nil {
		return true, err
	}
	if err := v.addSections(conf, dir); err != nil {
		return true, err
	}
	if name := main.options["default"]; name != "" {
		if v.sources[name] == nil {
			return true, &FileError{File: main.file, Err: fmt.Errorf("the default source of groups %q is not there: there is %s", name, strings.Join(v.Sources(), ", "))}
		}
		v.Default = name
	}
	return true, nil
}

// eachFile calls do for the files in folders, which the value of an option lists.
func eachFile(folders, cfgdir, pattern string, do func(string) error) error {
	seen := make(map[string]bool)
	words, err := shellWords(folders, false)
	if err != nil {
		return err
	}
	for _, folder := range words {
		folder = strings.NewReplacer("${CFGDIR}", cfgdir, "$CFGDIR", cfgdir).Replace(folder)
		folder = filepath.Clean(folder)
		if seen[folder] {
			continue
		}
		seen[folder] = true
		info, err := os.Stat(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && !info.IsDir() {
			err = errors.New("is no folder")
		}
		if err != nil {
			return &FileError{File: folder, Err: err}
		}
		entries, err := os.ReadDir(folder) // sorted
		if err != nil {
			return &FileError{File: folder, Err: err}
		}
		for _, e := range entries {
			if ok, _ := filepath.Match(pattern, e.Name()); ok && !strings.HasPrefix(e.Name(), ".") {
				if err := do(filepath.Join(folder, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// addSections adds the sources that sections define.
func (v *Inventory) addSections(all sections, dir string) error {
	for _, s := range all {
		if s.name == "Main" || s.name == "DEFAULT" {
			continue
		}
		if s.options["map"] == "" {
			return &FileError{File: s.file, Line: s.line, Err: fmt.Errorf("the section [%s] has no map, the command that prints a group", s.name)}
		}
		cache, err := seconds(s.options["cache_time"])
		if err != nil {
			return &FileError{File: s.file, Line: s.line, Err: fmt.Errorf("the section [%s]: cache_time: %w", s.name, err)}
		}
		for name := range strings.SplitSeq(s.name, ",") {
			u := NewUpcalls(Upcalls{
				Map: s.options["map"], AllOf: s.options["all"], List: s.options["list"], Reverse: s.options["reverse"],
				Source: strings.TrimSpace(name), Dir: dir, CacheTime: cache,
			})
			var source Source = u
			if s.unsafe != nil {
				source = refused{s.unsafe}
			}
			if err := v.Add(u.Source, source); err != nil {
				return &FileError{File: s.file, Line: s.line, Err: err}
			}
		}
	}
	return nil
}

func seconds(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n < 1e9) {
		return 0, fmt.Errorf("%q is no number of seconds", text)
	}
	if n == 0 {
		return -1, nil
	}
	return time.Duration(n * float64(time.Second)), nil
}

// section is a section of a file as Python's configparser reads it.
type section struct {
	name    string
	file    string
	line    int
	unsafe  error // why its commands are not run
	options map[string]string
}

type sections []*section

func (s sections) get(name string) *section {
	if i := slices.IndexFunc(s, func(s *section) bool { return s.name == name }); i >= 0 {
		return s[i]
	}
	return &section{}
}

// merge adds what more says; it counts more.
func (s *sections) merge(more sections) {
	for _, m := range more {
		old := s.get(m.name)
		if old.name == "" {
			*s = append(*s, m)
			continue
		}
		maps.Copy(old.options, m.options)
		old.file, old.line = m.file, m.line
		if old.unsafe == nil {
			old.unsafe = m.unsafe
		}
	}
}

// refused is a source whose commands are not run.
type refused struct{ err error }

// Group returns the error.
func (r refused) Group(context.Context, string) ([]string, error) { return nil, r.err }

// All returns the error.
func (r refused) All(context.Context) ([]string, error) { return nil, r.err }

// Names returns the error.
func (r refused) Names(context.Context) ([]string, error) { return nil, r.err }

func readSections(file string) (sections, error) {
	text, info, err := readFile(file)
	if err != nil {
		return nil, err
	}
	all, err := parseSections(file, text)
	if err != nil {
		return nil, err
	}
	unsafe := checkOwner(file, info)
	for _, s := range all {
		s.unsafe = unsafe
	}
	return all, nil
}

// parseSections reads "[section]", "key: value" or "key = value", and lines that are
// indented and go on with a value. # and ; begin a comment at the start of a line.
func parseSections(file, text string) (sections, error) {
	var all sections
	var s *section
	key, n := "", 0
	for line := range strings.Lines(text) {
		n++
		trimmed := strings.TrimSpace(line)
		indented := trimmed != "" && (line[0] == ' ' || line[0] == '\t')
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case indented && s != nil && key != "":
			s.options[key] += "\n" + trimmed
		case trimmed[0] == '[' && strings.HasSuffix(trimmed, "]"):
			name := trimmed[1 : len(trimmed)-1]
			if all.get(name).options != nil {
				return nil, &FileError{file, n, fmt.Errorf("the section [%s] is there twice", name)}
			}
			s, key = &section{name: name, file: file, line: n, options: make(map[string]string)}, ""
			all = append(all, s)
		case s == nil:
			return nil, &FileError{file, n, errors.New("there is no [section] above it")}
		default:
			i := strings.IndexAny(trimmed, ":=")
			if i <= 0 {
				return nil, &FileError{file, n, errors.New("want key: value")}
			}
			key = strings.ToLower(strings.TrimSpace(trimmed[:i]))
			if _, ok := s.options[key]; ok {
				return nil, &FileError{file, n, fmt.Errorf("%s is there twice in [%s]", key, s.name)}
			}
			s.options[key] = strings.TrimSpace(trimmed[i+1:])
		}
	}
	return all, nil
}

// AddYAML adds the sources of a file as in ClusterShell's groups.d: each has its
// groups, and a group an expression or a list of them. The group "all" stands for
// every host of its source.
func (v *Inventory) AddYAML(file string) error {
	text, _, err := readFile(file)
	if err != nil {
		return err
	}
	names, sources, err := parseGroupsYAML(file, text)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := v.Add(name, sources[name]); err != nil {
			return &FileError{File: file, Err: err}
		}
	}
	return nil
}

func parseGroupsYAML(file, text string) (names []string, sources map[string]Static, err error) {
	root, err := parseYAML(file, text)
	if err != nil {
		return nil, nil, err
	}
	sources = make(map[string]Static)
	for name, groups := range pairs(root) {
		if name.Tag != "!!str" {
			return nil, nil, yamlError(file, name, fmt.Errorf("the name of the source %s is no text: put it in quotes", name.Value))
		}
		if groups.Kind != yaml.MappingNode {
			return nil, nil, yamlError(file, groups, fmt.Errorf("the source %q has no groups: want group: hosts below it", name.Value))
		}
		if sources[name.Value] != nil {
			return nil, nil, yamlError(file, name, fmt.Errorf("the source %q is there twice", name.Value))
		}
		s := make(Static)
		for group, members := range pairs(groups) {
			if group.Tag != "!!str" {
				return nil, nil, yamlError(file, group, fmt.Errorf("the name of the group %s is no text: put it in quotes", group.Value))
			}
			if _, ok := s[group.Value]; ok {
				return nil, nil, yamlError(file, group, fmt.Errorf("the group %q is there twice", group.Value))
			}
			s[group.Value], err = yamlMembers(file, members)
			if err != nil {
				return nil, nil, err
			}
		}
		names = append(names, name.Value)
		sources[name.Value] = s
	}
	return names, sources, nil
}

// yamlMembers are those of one group.
func yamlMembers(file string, n *yaml.Node) ([]string, error) {
	list := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		list = n.Content
	}
	members := []string{}
	for _, m := range list {
		m = deref(m)
		switch {
		case m.Kind != yaml.ScalarNode:
			return nil, yamlError(file, m, errors.New("want hosts, or a list of them"))
		case m.Tag != "!!null":
			members = append(members, split(m.Value)...)
		}
	}
	return members, nil
}
