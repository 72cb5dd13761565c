package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

var errEncrypted = errors.New("the file is encrypted by ansible-vault; passed over")

// AnsibleSource is the name of the source that Ansible inventories become.
const AnsibleSource = "inventory"

// Options say how an inventory is opened. The zero value is ready.
type Options struct {
	// Timeout bounds each run of an inventory script; 0 means [DefaultTimeout].
	Timeout time.Duration
}

// Open is [Options.Open] with the zero Options.
func Open(ctx context.Context, paths ...string) (*Inventory, error) {
	return Options{}.Open(ctx, paths...)
}

// Open reads inventories, each in the form that its content shows:
//
//   - a program that prints JSON for --list, or a file with such JSON
//   - an Ansible inventory in INI or YAML
//   - a folder of these, with group_vars and host_vars
//   - ClusterShell's groups.conf, a folder that has one, or a file of its groups.d
//   - a hosts file of pssh or pdsh, whose hosts are in no group
//
// Several Ansible inventories and hosts files become one, the source [AnsibleSource],
// which is the default source where there is one; what comes later counts more. A file
// in none of these forms is a [*FormatError].
func (o Options) Open(ctx context.Context, paths ...string) (*Inventory, error) {
	r := &reader{Options: o, ctx: ctx}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		switch {
		case !info.IsDir():
			err = r.file(path)
		case isFile(filepath.Join(path, "groups.conf")):
			_, err = r.inv.AddClusterShell(filepath.Join(path, "groups.conf"))
		default:
			err = r.folder(path)
		}
		if err != nil {
			return nil, err
		}
	}
	return &r.inv, r.settle()
}

// reader reads inventories.
type reader struct {
	Options
	ctx  context.Context
	inv  Inventory
	dirs []string // where group_vars and host_vars may be
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func (r *reader) ansible() *Ansible {
	if r.inv.ansible == nil {
		r.inv.ansible = newAnsible()
	}
	return r.inv.ansible
}

// settle completes what Ansible inventories say.
func (r *reader) settle() error {
	a := r.inv.ansible
	if a == nil {
		return nil
	}
	a.settle()
	for _, dir := range r.dirs {
		if err := a.readVarsFolder(dir); err != nil {
			return err
		}
	}
	r.inv.warnings = append(r.inv.warnings, a.warnings...)
	if err := r.inv.Add(AnsibleSource, a); err != nil {
		return err
	}
	r.inv.Default = AnsibleSource
	return nil
}

// ignored are files of a folder that Ansible takes no notice of.
var ignored = regexp.MustCompile(`^\.|^host_vars$|^group_vars$|^vars_plugins$|(\.pyc|\.pyo|\.swp|\.bak|~|\.rpm|\.md|\.txt|\.rst|\.orig|\.ini|\.cfg|\.retry)$`)

// folder reads the inventories in a folder.
func (r *reader) folder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	r.noteDir(dir)
	found := false
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if ignored.MatchString(e.Name()) {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		found = true
		if info.IsDir() {
			err = r.folder(path)
		} else {
			err = r.file(path)
		}
		if err != nil {
			return err
		}
	}
	if !found {
		return &FileError{File: dir, Err: errors.New("there is no inventory in the folder; files that end with .ini, .cfg, .txt and the like are passed over in one, as Ansible does")}
	}
	return nil
}

// noteDir notes a folder for group_vars and host_vars.
func (r *reader) noteDir(dir string) {
	if !slices.Contains(r.dirs, dir) {
		r.dirs = append(r.dirs, dir)
	}
}

// FormatError is a file whose content is in no form that [Open] reads.
type FormatError struct {
	File  string
	Tried []error // what each form has against it
}

// Error lists what was tried.
func (e *FormatError) Error() string {
	texts := make([]string, len(e.Tried))
	for i, err := range e.Tried {
		if f, ok := errors.AsType[*FileError](err); ok && f.File == e.File {
			texts[i] = strings.Replace(err.Error(), fmt.Sprintf("%s:%d: ", f.File, f.Line), fmt.Sprintf("line %d: ", f.Line), 1)
			continue
		}
		texts[i] = err.Error()
	}
	return fmt.Sprintf("%s: the content is in no known form: %s", e.File, strings.Join(texts, "; "))
}

// Unwrap returns e.Tried.
func (e *FormatError) Unwrap() []error { return e.Tried }

// file reads a file in the form that its content shows.
func (r *reader) file(path string) error {
	text, info, err := readFile(path)
	if err != nil {
		return err
	}
	switch {
	case isProgram(path, info):
		if err := checkOwner(path, info); err != nil {
			return err
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		r.noteDir(filepath.Dir(path))
		return r.ansible().readScript(r.ctx, abs, cmp.Or(r.Timeout, DefaultTimeout))
	case strings.HasPrefix(text, "#!"):
		return &FileError{File: path, Err: errors.New("the file looks like a script, but is not executable: chmod +x it")}
	case strings.HasPrefix(text, "$ANSIBLE_VAULT;"):
		return &FileError{File: path, Err: errors.New("the file is encrypted by ansible-vault")}
	case strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{"):
		return r.json(path, text)
	case looksLikeYAML(path, text):
		return r.yaml(path, text)
	case looksLikeGroupsConf(path, text):
		_, err := r.inv.AddClusterShell(path)
		return err
	}
	return r.lines(path, text)
}

// looksLikeGroupsConf reports whether the text has the sections of ClusterShell's
// groups.conf: [Main], and others with a map.
func looksLikeGroupsConf(path, text string) bool {
	all, err := parseSections(path, text)
	return err == nil && len(all) > 0 && !slices.ContainsFunc(all, func(s *section) bool {
		return s.name != "Main" && s.options["map"] == "" || strings.Contains(s.name, ":")
	})
}

var yamlKey = regexp.MustCompile(`^(?:"[^"]*"|'[^']*'|[^\s#\[:"'][^#:]*):(?:\s|$)`)

// looksLikeYAML reports whether the first line that says something begins a YAML
// mapping.
func looksLikeYAML(path, text string) bool {
	if ext := filepath.Ext(path); ext == ".yml" || ext == ".yaml" {
		return true
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		switch {
		case line == "" || line[0] == '#':
		case line == "---" || strings.HasPrefix(line, "%YAML"):
			return true
		default:
			return yamlKey.MatchString(line)
		}
	}
	return false
}

// json reads what an inventory script printed, or YAML in the form of JSON.
func (r *reader) json(path, text string) error {
	top, err := decodeJSON([]byte(text))
	if err != nil {
		return &FileError{File: path, Err: err}
	}
	for _, v := range top {
		body, ok := v.(map[string]any)
		if _, mapping := body["hosts"].(map[string]any); ok && mapping {
			return r.yaml(path, text)
		}
	}
	r.noteDir(filepath.Dir(path))
	_, err = r.ansible().readJSON(path, []byte(text))
	return err
}

// yaml reads groups of ClusterShell's or an Ansible inventory: in the former groups
// are hosts, in the latter they have hosts, children and vars below them.
func (r *reader) yaml(path, text string) error {
	root, err := parseYAML(path, text)
	if err != nil {
		return err
	}
	clush := len(root.Content) > 0
	for _, groups := range pairs(root) {
		if clush = clush && groups.Kind == yaml.MappingNode && len(groups.Content) > 0; !clush {
			break
		}
		other := false
		for key, members := range pairs(groups) {
			other = other || !slices.Contains([]string{"hosts", "children", "vars"}, key.Value)
			clush = clush && members.Kind != yaml.MappingNode
		}
		clush = clush && other
	}
	if clush {
		return r.inv.AddYAML(path)
	}
	r.noteDir(filepath.Dir(path))
	return r.ansible().readYAML(path, root)
}

// lines reads an Ansible inventory in INI or a hosts file.
func (r *reader) lines(path, text string) error {
	trial := newAnsible()
	iniErr := trial.readINI(path, text)
	if iniErr == nil {
		r.noteDir(filepath.Dir(path))
		if r.inv.ansible == nil {
			r.inv.ansible = trial
			return nil
		}
		return r.inv.ansible.readINI(path, text)
	}
	if iniSection.MatchString(text) {
		return iniErr
	}
	var hosts []string
	for host, err := range HostsFile(path) {
		if err == nil && strings.Contains(host, "=") { // of variables
			return iniErr
		}
		if err != nil {
			return &FormatError{File: path, Tried: []error{
				fmt.Errorf("as an Ansible inventory in INI, %w", iniErr),
				fmt.Errorf("as a hosts file of pssh or pdsh, %w", err),
			}}
		}
		hosts = append(hosts, host)
	}
	for _, host := range hosts {
		if err := r.ansible().addWord(host); err != nil {
			return &FileError{File: path, Err: err}
		}
	}
	return nil
}

// addWord adds a host given as [user@]host[:port].
func (a *Ansible) addWord(word string) error {
	user, pattern := "", word
	if i := strings.LastIndexByte(word, '@'); i >= 0 {
		user, pattern = word[:i], word[i+1:]
	}
	names, port, err := expandHosts(strings.TrimSuffix(strings.TrimPrefix(pattern, "["), "]"))
	if strings.Contains(pattern, "]:") {
		names, port, err = expandHosts(pattern)
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		h, err := a.addHost(name, port, nil)
		if err != nil {
			return err
		}
		if user != "" {
			h.vars["ansible_user"] = user
		}
	}
	return nil
}
