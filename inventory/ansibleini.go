package inventory

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-ssh/shoal/hostlist"
)

// readINI reads an inventory as Ansible's plugin "ini" does.
func (a *Ansible) readINI(file, text string) error {
	p := &iniParser{Ansible: a, group: a.groups["ungrouped"], kind: "hosts"}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if err := p.line(line, n); err != nil {
			return &FileError{file, n, err}
		}
	}
	for _, w := range p.wanted {
		if a.groups[w.name] == nil || w.vars && !p.declared[w.name] && len(a.groups[w.name].parents) == 0 {
			return &FileError{file, w.line, fmt.Errorf("there is no group %q", w.name)}
		}
		if w.parent != nil {
			if err := a.addChild(w.parent, a.groups[w.name]); err != nil {
				return &FileError{file, w.line, err}
			}
		}
	}
	return nil
}

// iniParser reads the lines of one file.
type iniParser struct {
	*Ansible
	group    *ansibleGroup
	kind     string // of the section
	declared map[string]bool
	wanted   []wantedGroup
}

// wantedGroup is a group that is named and may be declared further down.
type wantedGroup struct {
	name   string
	line   int
	parent *ansibleGroup // that it is a child of
	vars   bool          // it has variables only
}

var (
	iniSection   = regexp.MustCompile(`(?m)^\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?$`)
	iniGroupName = regexp.MustCompile(`^([^:\]\s]+)\s*(?:#.*)?$`)
)

func (p *iniParser) line(line string, n int) error {
	if m := iniSection.FindStringSubmatch(line); m != nil {
		return p.section(m[1], m[2], n)
	}
	if line[0] == '[' && strings.HasSuffix(line, "]") {
		return fmt.Errorf("%q is no section: want [group], [group:vars] or [group:children], without blanks", line)
	}
	switch p.kind {
	case "vars":
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return fmt.Errorf("%q: want variable=value", line)
		}
		p.group.set(strings.TrimSpace(key), literal(strings.TrimSpace(value)))
		return nil
	case "children":
		m := iniGroupName.FindStringSubmatch(line)
		if m == nil {
			return fmt.Errorf("%q: want the name of a group", line)
		}
		p.wanted = append(p.wanted, wantedGroup{name: m[1], line: n, parent: p.group})
		return nil
	}
	return p.hostLine(line)
}

func (p *iniParser) section(name, kind string, n int) error {
	if kind == "" {
		kind = "hosts"
	}
	if !slices.Contains([]string{"hosts", "vars", "children"}, kind) {
		return fmt.Errorf("the section [%s:%s] has an unknown kind: want [%s], [%s:vars] or [%s:children]", name, kind, name, name, name)
	}
	if p.declared == nil {
		p.declared = map[string]bool{"all": true, "ungrouped": true}
	}
	if kind == "vars" {
		if p.groups[name] == nil {
			p.wanted = append(p.wanted, wantedGroup{name: name, line: n, vars: true})
		}
	} else {
		p.declared[name] = true
	}
	p.group, p.kind = p.Ansible.group(name), kind
	return nil
}

// hostLine is a host, or a range of them, and variables.
func (p *iniParser) hostLine(line string) error {
	words, err := shellWords(line, true)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return nil
	}
	vars := make(map[string]any)
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			return fmt.Errorf("%q: want variable=value behind a host", w)
		}
		vars[key] = literal(value)
	}
	return p.addHosts(words[0], vars, p.group)
}

// addHosts adds the hosts of a pattern, with variables.
func (a *Ansible) addHosts(pattern string, vars map[string]any, g *ansibleGroup) error {
	names, port, err := expandHosts(pattern)
	if err != nil {
		return err
	}
	for _, name := range names {
		h, err := a.addHost(name, port, g)
		if err != nil {
			return err
		}
		maps.Copy(h.vars, vars)
	}
	return nil
}

var (
	bracketedPort = regexp.MustCompile(`^\[(.+)\]:([0-9]+)$`)
	plainPort     = regexp.MustCompile(`^((?:[^:\[\]]|\[[^\]]*\])*):([0-9]+)$`)
)

// expandHosts reads a host as Ansible does: a name with ranges such as [01:50],
// [a:f] or [1:9:2] in it, and behind a colon the port.
func expandHosts(pattern string) (names []string, port int, err error) {
	for _, re := range []*regexp.Regexp{bracketedPort, plainPort} {
		if m := re.FindStringSubmatch(pattern); m != nil {
			pattern = m[1]
			if port, err = strconv.Atoi(m[2]); err != nil || port < 1 || port > 65535 {
				return nil, 0, fmt.Errorf("the port %q is not a number from 1 to 65535", m[2])
			}
			break
		}
	}
	if strings.HasSuffix(pattern, ":") && !strings.HasSuffix(pattern, "::") {
		return nil, 0, fmt.Errorf("%q: no port is behind the colon", pattern)
	}
	if pattern == "---" {
		return nil, 0, errors.New("--- begins a YAML file")
	}
	names, err = expandRanges(nil, "", pattern)
	return names, port, err
}

// expandRanges appends the names that head with any of tail's ranges behind it stands
// for.
func expandRanges(names []string, head, tail string) ([]string, error) {
	before, inner, ok := strings.Cut(tail, "[")
	if !ok {
		if len(names) >= hostlist.DefaultLimit {
			return nil, fmt.Errorf("the ranges stand for more than %d hosts", hostlist.DefaultLimit)
		}
		return append(names, head+tail), nil
	}
	text, behind, ok := strings.Cut(inner, "]")
	if !ok {
		return nil, fmt.Errorf("%q: the bracket is not closed", tail)
	}
	values, err := rangeValues(text)
	if err != nil {
		return nil, fmt.Errorf("the range [%s]: %w", text, err)
	}
	for _, v := range values {
		if names, err = expandRanges(names, head+before+v, behind); err != nil {
			return nil, err
		}
	}
	return names, nil
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// rangeValues are those of from:to or from:to:step.
func rangeValues(text string) ([]string, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return nil, errors.New("want begin:end or begin:end:step")
	}
	from, to, step := parts[0], parts[1], 1
	if from == "" {
		from = "0"
	}
	if len(parts) == 3 {
		var err error
		if step, err = strconv.Atoi(parts[2]); err != nil || step < 1 {
			return nil, fmt.Errorf("the step %q is not a number from 1", parts[2])
		}
	}
	var values []string
	if i, j := strings.Index(letters, from), strings.Index(letters, to); len(from) == 1 && len(to) == 1 && i >= 0 && j >= 0 {
		if i > j {
			return nil, errors.New("it ends before it begins")
		}
		for ; i <= j; i += step {
			values = append(values, letters[i:i+1])
		}
		return values, nil
	}
	width := 0
	if len(from) > 1 && from[0] == '0' {
		if width = len(from); len(to) != width {
			return nil, errors.New("with zeros in front both ends have to be equally long")
		}
	}
	i, err := strconv.ParseUint(from, 10, 32)
	j, err2 := strconv.ParseUint(to, 10, 32)
	switch {
	case err != nil || err2 != nil:
		return nil, errors.New("want two numbers or two letters")
	case i > j:
		return nil, errors.New("it ends before it begins")
	case (j-i)/uint64(step) >= hostlist.DefaultLimit:
		return nil, fmt.Errorf("it stands for more than %d hosts", hostlist.DefaultLimit)
	}
	for ; i <= j; i += uint64(step) {
		values = append(values, fmt.Sprintf("%0*d", width, i))
	}
	return values, nil
}

var (
	pythonInt   = regexp.MustCompile(`^[-+]?(?:0(?:_?0)*|[1-9](?:_?[0-9])*|0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+)$`)
	pythonFloat = regexp.MustCompile(`^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$`)
)

// literal reads a value as Ansible does: as a literal of Python where it is one, else
// as text. Lists and dictionaries stay text.
func literal(text string) any {
	word, comment := text, ""
	if i := strings.IndexByte(text, '#'); i >= 0 && !strings.ContainsAny(text[:i], `'"`) {
		word, comment = strings.TrimSpace(text[:i]), text[i:]
	}
	switch word {
	case "True":
		return true
	case "False":
		return false
	case "None":
		return nil
	}
	if pythonInt.MatchString(word) {
		if n, err := strconv.ParseInt(strings.ReplaceAll(word, "_", ""), base(word), 0); err == nil {
			return int(n)
		}
	} else if strings.ContainsAny(word, ".eE") && pythonFloat.MatchString(word) {
		if f, err := strconv.ParseFloat(word, 64); err == nil {
			return f
		}
	}
	if n := len(word); comment == "" && n >= 2 && (word[0] == '\'' || word[0] == '"') && word[n-1] == word[0] &&
		!strings.ContainsAny(word[1:n-1], "\\\n"+word[:1]) {
		return word[1 : n-1]
	}
	return text
}

// base is 10 for what begins with zeros only, and else for ParseInt to find out.
func base(number string) int {
	if strings.Trim(number, "+-0_") == "" {
		return 10
	}
	return 0
}
