package inventory

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// readVarsFolder reads group_vars and host_vars in a folder.
func (a *Ansible) readVarsFolder(dir string) error {
	for _, name := range a.names() {
		vars, err := a.readVarsOf(filepath.Join(dir, "group_vars"), name)
		if err != nil {
			return err
		}
		if g := a.groups[name]; g.files == nil {
			g.files = vars
		} else {
			maps.Copy(g.files, vars)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "host_vars")); err != nil {
		return nil // and not a look for each of many hosts
	}
	for _, name := range a.order {
		vars, err := a.readVarsOf(filepath.Join(dir, "host_vars"), name)
		if err != nil {
			return err
		}
		if h := a.hosts[name]; h.files == nil {
			h.files = vars
		} else {
			maps.Copy(h.files, vars)
		}
	}
	return nil
}

// varsEndings are tried in this order; a folder may be meant.
var varsEndings = []string{"", ".yml", ".yaml", ".json"}

func (a *Ansible) readVarsOf(dir, name string) (map[string]any, error) {
	if name != filepath.Base(name) || name == "." || name == ".." {
		return nil, nil
	}
	for _, ending := range varsEndings {
		path := filepath.Join(dir, name+ending)
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		vars := make(variables)
		if !info.IsDir() {
			return vars, a.readVarsFile(vars, path)
		}
		return vars, a.readVarsIn(vars, path)
	}
	return nil, nil
}

// readVarsIn reads the files in a folder and below it.
func (a *Ansible) readVarsIn(vars variables, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, path := e.Name(), filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil || strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") {
			continue
		}
		ending := filepath.Ext(name)
		switch {
		case info.IsDir() && ending == "":
			err = a.readVarsIn(vars, path)
		case !info.IsDir() && slices.Contains(varsEndings, ending):
			err = a.readVarsFile(vars, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *Ansible) readVarsFile(vars variables, file string) error {
	text, _, err := readFile(file)
	if err != nil {
		return err
	}
	if strings.HasPrefix(text, "$ANSIBLE_VAULT;") {
		a.warnings = append(a.warnings, &FileError{File: file, Err: errEncrypted})
		return nil
	}
	root, err := parseYAML(file, text)
	if err != nil {
		return err
	}
	for k, v := range pairs(root) {
		a.setYAML(vars.set, file, k, v)
	}
	return nil
}
