// Package krb5file reads the files of MIT Kerberos: krb5.conf(5), credential
// caches and keytabs. All of it may be malformed or hostile: nothing read here
// makes the package panic or take more memory than a small multiple of the
// file.
package krb5file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Conf is what is in krb5.conf, of one file or of several. The zero value is
// that of an empty file. Safe for concurrent use.
type Conf struct{ root section }

// section holds relations, each with all its values in order, and subsections.
type section struct {
	values   map[string][]string
	sections map[string]*section
	final    map[string]bool // what is in these is not added to
}

const (
	maxConf    = 1 << 20 // bytes of all files together
	maxInclude = 10      // files within files
	maxNesting = 16      // sections within sections
)

// ReadConf reads the files in order. As in MIT Kerberos, the first value of a
// relation wins, and files that do not exist are passed over as long as there
// is one. Mistakes are errors that name file and line.
func ReadConf(files ...string) (*Conf, error) {
	c := &Conf{}
	r := reader{left: maxConf}
	found := false
	for _, file := range files {
		err := r.file(c, file, 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		found = found || err == nil
	}
	if !found && len(files) > 0 {
		return nil, fmt.Errorf("krb5.conf: %s: %w", strings.Join(files, ", "), fs.ErrNotExist)
	}
	return c, nil
}

// ParseConf reads text as a file of that name.
func ParseConf(name, text string) (*Conf, error) {
	c := &Conf{}
	r := reader{left: maxConf}
	return c, r.text(c, name, text, 0)
}

type reader struct{ left int }

func (r *reader) file(c *Conf, path string, depth int) error {
	if depth > maxInclude {
		return fmt.Errorf("krb5.conf: %s: more than %d files within files", path, maxInclude)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("krb5.conf: %w", err)
	}
	return r.text(c, path, string(text), depth)
}

// folder reads the files that MIT Kerberos reads: names of letters, digits, -
// and _, or that end in .conf.
func (r *reader) folder(c *Conf, path string, depth int) error {
	entries, err := os.ReadDir(path) // sorted
	if err != nil {
		return fmt.Errorf("krb5.conf: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		plain := strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
		if e.IsDir() || strings.HasPrefix(name, ".") || !plain && !strings.HasSuffix(name, ".conf") {
			continue
		}
		if err := r.file(c, filepath.Join(path, name), depth); err != nil {
			return err
		}
	}
	return nil
}

// text parses one file. The grammar is that of MIT's profile library.
func (r *reader) text(c *Conf, name, text string, depth int) error {
	if r.left -= len(text); r.left < 0 {
		return fmt.Errorf("krb5.conf: %s: more than %d bytes", name, maxConf)
	}
	var open []*section // the section and its subsections, the innermost last
	var pending string  // a relation whose { is on the next line
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if err := r.line(c, &open, &pending, line, depth); err != nil {
			return fmt.Errorf("krb5.conf: %s:%d: %w", name, number, err)
		}
	}
	if pending != "" || len(open) > 1 {
		return fmt.Errorf("krb5.conf: %s: a { has no }", name)
	}
	return nil
}

func (r *reader) line(c *Conf, open *[]*section, pending *string, line string, depth int) error {
	if word, arg, ok := cutSpace(line); ok && *pending == "" {
		switch word {
		case "include":
			return r.file(c, arg, depth+1)
		case "includedir":
			return r.folder(c, arg, depth+1)
		case "module":
			return errors.New("module is not supported")
		}
	}
	switch {
	case *pending != "":
		if line != "{" {
			return fmt.Errorf("%s has no value", *pending)
		}
		tag := *pending
		*pending = ""
		return enter(open, tag)
	case line[0] == '[':
		if len(*open) > 1 {
			return errors.New("a section begins before the } of the last one")
		}
		name, rest, ok := strings.Cut(line[1:], "]")
		if rest = strings.TrimSpace(rest); !ok || rest != "" && rest != "*" {
			return errors.New("want [section]")
		}
		s := c.root.section(strings.TrimSpace(name))
		c.root.finish(strings.TrimSpace(name), rest == "*")
		*open = []*section{s}
	case len(*open) == 0:
		// Text before the first section is passed over.
	case line == "}" || line == "}*" || line == "} *":
		if len(*open) == 1 {
			return errors.New("a } without a {")
		}
		*open = (*open)[:len(*open)-1]
	default:
		return relation(open, pending, line)
	}
	return nil
}

// relation reads "tag = value" and "tag = {".
func relation(open *[]*section, pending *string, line string) error {
	tag, value, ok := strings.Cut(line, "=")
	if !ok {
		return errors.New("want name = value")
	}
	tag, value = strings.TrimSpace(tag), strings.TrimSpace(value)
	tag, final := strings.CutSuffix(tag, "*")
	if tag == "" || strings.ContainsAny(tag, " \t") {
		return fmt.Errorf("%q is not a name", tag)
	}
	switch {
	case value == "":
		*pending = tag
		return nil
	case value == "{":
		return enter(open, tag)
	case value[0] == '"':
		var err error
		if value, err = unquote(value); err != nil {
			return err
		}
	}
	s := (*open)[len(*open)-1]
	s.add(tag, value)
	s.finish(tag, final)
	return nil
}

func enter(open *[]*section, tag string) error {
	if len(*open) >= maxNesting {
		return fmt.Errorf("more than %d sections within sections", maxNesting)
	}
	*open = append(*open, (*open)[len(*open)-1].section(tag))
	return nil
}

// unquote reads a value in double quotes; what follows them is passed over.
func unquote(value string) (string, error) {
	var b strings.Builder
	for i := 1; i < len(value); i++ {
		switch c := value[i]; c {
		case '"':
			return b.String(), nil
		case '\\':
			if i++; i == len(value) {
				return "", errors.New("a quoted value has no end")
			}
			switch value[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'b':
				b.WriteByte('\b')
			default:
				b.WriteByte(value[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("a quoted value has no end")
}

func cutSpace(line string) (word, rest string, ok bool) {
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, "", false
	}
	return line[:i], strings.TrimSpace(line[i:]), true
}

// section returns the subsection, making it where it is not there. One that is
// final is not added to: the caller then fills one that nobody reads.
func (s *section) section(name string) *section {
	if s.final[name] {
		return &section{}
	}
	if sub := s.sections[name]; sub != nil {
		return sub
	}
	if s.sections == nil {
		s.sections = map[string]*section{}
	}
	sub := &section{}
	s.sections[name] = sub
	return sub
}

func (s *section) add(name, value string) {
	if s.final[name] {
		return
	}
	if s.values == nil {
		s.values = map[string][]string{}
	}
	s.values[name] = append(s.values[name], value)
}

func (s *section) finish(name string, final bool) {
	if !final {
		return
	}
	if s.final == nil {
		s.final = map[string]bool{}
	}
	s.final[name] = true
}

// find returns all values of a relation.
func (c *Conf) find(path ...string) []string {
	s := &c.root
	for _, name := range path[:len(path)-1] {
		if s = s.sections[name]; s == nil {
			return nil
		}
	}
	return s.values[path[len(path)-1]]
}

// Default returns the first value of a relation of [libdefaults]; empty where
// there is none.
func (c *Conf) Default(name string) string {
	if values := c.find("libdefaults", name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Bool is a truth value of [libdefaults]; what is none of MIT's words counts
// as not set.
func (c *Conf) Bool(name string, otherwise bool) bool {
	switch strings.ToLower(c.Default(name)) {
	case "y", "yes", "true", "t", "1", "on":
		return true
	case "n", "no", "false", "nil", "0", "off":
		return false
	}
	return otherwise
}

// Duration is a time of [libdefaults]: seconds, "h:m[:s]" or "1d2h3m4s".
func (c *Conf) Duration(name string, otherwise time.Duration) (time.Duration, error) {
	text := c.Default(name)
	if text == "" {
		return otherwise, nil
	}
	d, ok := duration(text)
	if !ok {
		return 0, fmt.Errorf("krb5.conf: %s: %q is not a duration such as 36000, 10:00 or 10h30m", name, text)
	}
	return d, nil
}

// maxDuration is far more than any ticket's life and far from overflow.
const maxDuration = 100 * 365 * 24 * time.Hour

func duration(text string) (time.Duration, bool) {
	var sum time.Duration
	add := func(number string, unit time.Duration) bool {
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || time.Duration(n) > maxDuration/unit {
			return false
		}
		sum += time.Duration(n) * unit
		return sum <= maxDuration
	}
	if parts := strings.Split(text, ":"); len(parts) == 2 || len(parts) == 3 {
		units := []time.Duration{time.Hour, time.Minute, time.Second}
		for i, part := range parts {
			if !add(part, units[i]) {
				return 0, false
			}
		}
		return sum, true
	}
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		if i < 0 { // a bare number is seconds, at the end
			return sum, add(text, time.Second)
		}
		unit := map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute, 's': time.Second}[text[i]]
		if unit == 0 || !add(text[:i], unit) {
			return 0, false
		}
		text = text[i+1:]
	}
	return sum, true
}

// KDCs are the addresses of a realm's key distribution centres, as written.
func (c *Conf) KDCs(realm string) []string {
	return slices.Clone(c.find("realms", realm, "kdc"))
}

// HostRealm returns the realm of a host by [domain_realm]: of its name, or of
// the nearest domain above it. Empty where there is none.
func (c *Conf) HostRealm(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for name := host; name != ""; {
		if realm := c.domain(name); realm != "" {
			return realm
		}
		// "web.example.com", ".example.com", "example.com", ".com", "com"
		if rest, ok := strings.CutPrefix(name, "."); ok {
			name = rest
			continue
		}
		i := strings.IndexByte(name, '.')
		if i < 0 {
			break
		}
		name = name[i:]
	}
	return ""
}

func (c *Conf) domain(name string) string {
	if values := c.find("domain_realm", name); len(values) > 0 {
		return values[0]
	}
	return ""
}
