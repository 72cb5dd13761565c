package inventory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// readJSON reads what an inventory script prints for --list. It returns the hosts
// whose variables are not in it.
func (a *Ansible) readJSON(file string, text []byte) (bare []string, err error) {
	top, err := decodeJSON(text)
	if err != nil {
		return nil, &FileError{File: file, Err: err}
	}
	fail := func(format string, args ...any) ([]string, error) {
		return nil, &FileError{File: file, Err: fmt.Errorf(format, args...)}
	}
	listed := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(top)) {
		if name == "_meta" {
			continue
		}
		body, isMap := top[name].(map[string]any)
		if !isMap {
			body = map[string]any{"hosts": top[name]}
		} else if body["hosts"] == nil && body["vars"] == nil && body["children"] == nil && len(body) > 0 {
			body = map[string]any{"hosts": []any{name}, "vars": body} // a host with variables
		}
		g := a.group(name)
		hosts, ok := stringList(body["hosts"])
		if !ok {
			return fail("the hosts of the group %q are no list of names", name)
		}
		for _, host := range hosts {
			if _, err := a.addHost(host, 0, g); err != nil {
				return fail("the group %q: %w", name, err)
			}
			listed[host] = true
		}
		vars, ok := body["vars"].(map[string]any)
		if !ok && body["vars"] != nil {
			return fail("the vars of the group %q are no object", name)
		}
		for name, value := range vars {
			g.set(name, value)
		}
		children, ok := stringList(body["children"])
		if !ok {
			return fail("the children of the group %q are no list of names", name)
		}
		for _, child := range children {
			if err := a.addChild(g, a.group(child)); err != nil {
				return fail("%w", err)
			}
		}
	}
	meta, _ := top["_meta"].(map[string]any)
	all, hasVars := meta["hostvars"]
	if !hasVars {
		return slices.Sorted(maps.Keys(listed)), nil
	}
	hostvars, ok := all.(map[string]any)
	if !ok && all != nil {
		return fail("_meta.hostvars is no object")
	}
	for host := range listed {
		vars, ok := hostvars[host].(map[string]any)
		if !ok && hostvars[host] != nil {
			return fail("the variables of the host %q are no object", host)
		}
		maps.Copy(a.hosts[host].vars, vars)
	}
	return nil, nil
}

// readScript runs an inventory script.
func (a *Ansible) readScript(ctx context.Context, path string, limit time.Duration) error {
	text, err := run(ctx, limit, "", path, "--list")
	if err != nil {
		return err
	}
	bare, err := a.readJSON(path+" --list", text)
	if err != nil {
		return err
	}
	for _, host := range bare {
		name := path + " --host " + host
		if host[0] == '-' {
			return &FileError{File: name, Err: errors.New("the name of a host cannot begin with -")}
		}
		text, err := run(ctx, limit, "", path, "--host", host)
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		vars, err := decodeJSON(text)
		if err != nil {
			return &FileError{File: name, Err: err}
		}
		maps.Copy(a.hosts[host].vars, vars)
	}
	return nil
}

// decodeJSON returns an object with ints where it has whole numbers.
func decodeJSON(text []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var top map[string]any
	if err := d.Decode(&top); err != nil {
		if err == io.EOF {
			err = errors.New("it is empty")
		}
		return nil, fmt.Errorf("no JSON object: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is something behind the JSON object")
	}
	return jsonValue(top).(map[string]any), nil
}

func jsonValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = jsonValue(e)
		}
	case []any:
		for i, e := range v {
			v[i] = jsonValue(e)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		f, _ := v.Float64()
		return f
	}
	return v
}

func stringList(v any) ([]string, bool) {
	list, ok := v.([]any)
	if !ok {
		return nil, v == nil
	}
	var names []string
	for _, e := range list {
		name, ok := e.(string)
		if !ok {
			return nil, false
		}
		names = append(names, name)
	}
	return names, true
}
