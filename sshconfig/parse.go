package sshconfig

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds on what is read.
const (
	maxDepth = 16      // of Include, as in OpenSSH
	maxSize  = 4 << 20 // bytes of one file
)

// directive is one line of a file.
type directive struct {
	file string
	line int
	name string // in lower case
	args []string
	rest string       // of the line, unsplit
	body []*directive // of the files of an Include
}

// Error is a mistake in a file. It names file, line and keyword.
type Error struct {
	File    string
	Line    int
	Keyword string // as in the file
	Err     error
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d: %s: %v", e.File, e.Line, e.Keyword, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// parser reads files.
type parser struct {
	home     string
	system   bool // relative Includes belong to /etc/ssh
	owned    bool // the file must be the user's or root's, and no one else may write to it
	known    map[string]keyword
	warnings []error
	unknown  []string // patterns of IgnoreUnknown
}

// file reads a file and what it includes.
func (p *parser) file(path string, depth int) ([]*directive, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a folder", path)
	}
	if depth > 0 || p.owned {
		if err := checkOwner(info); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSize {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, maxSize>>20)
	}
	return p.text(path, string(text), depth)
}

func (p *parser) text(path, text string, depth int) ([]*directive, error) {
	var all []*directive
	n := 0
	for l := range strings.Lines(text) {
		n++
		d, err := p.directive(path, n, l)
		if err != nil {
			return nil, err
		}
		if d == nil {
			continue
		}
		if d.name == "include" {
			if d.body, err = p.include(d, depth); err != nil {
				return nil, err
			}
		}
		all = append(all, d)
	}
	return all, nil
}

// directive reads one line; nil stands for none.
func (p *parser) directive(path string, n int, l string) (*directive, error) {
	l = strings.Trim(l, " \t\r\n\f")
	if l == "" || l[0] == '#' {
		return nil, nil
	}
	end := strings.IndexAny(l, " \t\r\n\f=\"")
	if end < 0 {
		end = len(l)
	}
	name := l[:end]
	if l[0] == '"' { // keywords may be quoted
		close := strings.IndexByte(l[1:], '"')
		if close < 0 {
			return nil, &Error{path, n, l, errors.New("no closing quote")}
		}
		name, end = l[1:close+1], close+2
	}
	rest := strings.TrimLeft(l[end:], " \t\r\n\f")
	if strings.HasPrefix(rest, "=") {
		rest = strings.TrimLeft(rest[1:], " \t\r\n\f")
	}
	d := &directive{file: path, line: n, name: alias(strings.ToLower(name)), rest: rest}
	var err error
	k, known := p.known[d.name]
	if d.args, err = split(rest); err != nil && k.kind != line {
		return nil, &Error{path, n, name, err}
	}
	switch {
	case d.name == "host" || d.name == "match" || d.name == "include":
		if len(d.args) == 0 {
			return nil, &Error{path, n, name, errors.New("a value is missing")}
		}
		return d, nil
	case d.name == "ignoreunknown":
		p.unknown = append(p.unknown, strings.Split(strings.ToLower(rest), ",")...)
		return nil, nil
	case !known:
		if !slices.ContainsFunc(p.unknown, func(pattern string) bool { return wildcard(pattern, d.name) }) {
			p.warnings = append(p.warnings, &Error{path, n, name, errors.New("unknown keyword; ignored")})
		}
		return nil, nil
	}
	if k.kind == line {
		d.args = nil
	}
	if d.args, err = k.read(d.args, rest); err != nil {
		return nil, &Error{path, n, name, err}
	}
	if d.args == nil {
		return nil, nil
	}
	return d, nil
}

// include reads the files of an Include.
func (p *parser) include(d *directive, depth int) ([]*directive, error) {
	if depth >= maxDepth {
		return nil, &Error{d.file, d.line, "Include", fmt.Errorf("more than %d files within each other", maxDepth)}
	}
	var all []*directive
	for _, pattern := range d.args {
		switch {
		case strings.HasPrefix(pattern, "~/"):
			pattern = filepath.Join(p.home, pattern[2:])
		case filepath.IsAbs(pattern):
		case p.system:
			pattern = filepath.Join(filepath.Dir(SystemFile()), pattern)
		default:
			pattern = filepath.Join(p.home, ".ssh", pattern)
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, &Error{d.file, d.line, "Include", err}
		}
		for _, file := range files {
			body, err := p.file(file, depth+1)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
				continue // as OpenSSH does
			}
			if err != nil {
				return nil, err
			}
			// A file's Host lines end with it.
			all = append(all, &directive{name: "include", file: file, body: body})
		}
	}
	return all, nil
}

// split takes a line apart at blanks, outside of quotes, up to a comment.
func split(s string) ([]string, error) {
	var args []string
	for i := 0; i < len(s); {
		if s[i] == ' ' || s[i] == '\t' {
			i++
			continue
		}
		if s[i] == '#' {
			break
		}
		var arg strings.Builder
		quote := byte(0)
		for ; i < len(s); i++ {
			c := s[i]
			switch {
			case c == '\\' && i+1 < len(s) && (s[i+1] == '\'' || s[i+1] == '"' || s[i+1] == '\\' || quote == 0 && s[i+1] == ' '):
				i++
				arg.WriteByte(s[i])
				continue
			case quote == 0 && (c == ' ' || c == '\t'):
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
				continue
			case quote != 0 && c == quote:
				quote = 0
				continue
			default:
				arg.WriteByte(c)
				continue
			}
			break
		}
		if quote != 0 {
			return nil, errors.New("no closing quote")
		}
		args = append(args, arg.String())
	}
	return args, nil
}
