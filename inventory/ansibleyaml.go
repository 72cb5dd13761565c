package inventory

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// errPlugin refuses the configuration of inventory plugins.
var errPlugin = errors.New("this is the configuration of an inventory plugin, which only Ansible can run: save what ansible-inventory --list prints with it, and read that")

// readYAML reads an inventory as Ansible's plugin "yaml" does.
func (a *Ansible) readYAML(file string, root *yaml.Node) error {
	for k, v := range pairs(root) {
		if k.Value == "plugin" && v.Kind == yaml.ScalarNode {
			return yamlError(file, k, errPlugin)
		}
	}
	for k, v := range pairs(root) {
		if _, err := a.yamlGroup(file, k, v, 0); err != nil {
			return err
		}
	}
	return nil
}

// maxGroupDepth bounds how many groups may be within each other.
const maxGroupDepth = 1000

func (a *Ansible) yamlGroup(file string, name, body *yaml.Node, depth int) (*ansibleGroup, error) {
	switch {
	case name.Kind != yaml.ScalarNode || name.Tag != "!!str" || name.Value == "":
		return nil, yamlError(file, name, errors.New("the name of a group has to be text: put it in quotes"))
	case depth > maxGroupDepth:
		return nil, yamlError(file, name, fmt.Errorf("more than %d groups within each other", maxGroupDepth))
	}
	g := a.group(name.Value)
	if isNull(body) {
		return g, nil
	}
	if body.Kind != yaml.MappingNode {
		return nil, yamlError(file, body, fmt.Errorf("the group %q: want hosts, children or vars below it", name.Value))
	}
	for k, v := range pairs(body) {
		if v.Kind == yaml.ScalarNode && v.Tag == "!!str" && k.Value != "vars" { // one name alone
			v = &yaml.Node{Kind: yaml.MappingNode, Line: v.Line, Content: []*yaml.Node{v, {Kind: yaml.ScalarNode, Tag: "!!null"}}}
		}
		if isNull(v) {
			continue
		}
		known := k.Value == "vars" || k.Value == "hosts" || k.Value == "children"
		if known && v.Kind != yaml.MappingNode {
			return nil, yamlError(file, v, fmt.Errorf("the %s of the group %q have to be a mapping, with a colon behind each name", k.Value, name.Value))
		}
		switch k.Value {
		case "vars":
			for k, v := range pairs(v) {
				a.setYAML(g.set, file, k, v)
			}
		case "children":
			for k, v := range pairs(v) {
				child, err := a.yamlGroup(file, k, v, depth+1)
				if err == nil {
					if err = a.addChild(g, child); err != nil {
						err = yamlError(file, k, err)
					}
				}
				if err != nil {
					return nil, err
				}
			}
		case "hosts":
			for k, v := range pairs(v) {
				if err := a.yamlHost(file, k, v, g); err != nil {
					return nil, err
				}
			}
		default:
			a.warnings = append(a.warnings, yamlError(file, k, fmt.Errorf("the group %q: %q is none of hosts, children and vars; passed over", name.Value, k.Value)))
		}
	}
	return g, nil
}

func (a *Ansible) yamlHost(file string, name, body *yaml.Node, g *ansibleGroup) error {
	if name.Kind != yaml.ScalarNode || name.Tag != "!!str" {
		return yamlError(file, name, errors.New("the name of a host has to be text: put it in quotes"))
	}
	if !isNull(body) && body.Kind != yaml.MappingNode {
		return yamlError(file, body, fmt.Errorf("the host %q: want variables below it, or nothing", name.Value))
	}
	vars := make(variables)
	for k, v := range pairs(body) {
		a.setYAML(vars.set, file, k, v)
	}
	if err := a.addHosts(name.Value, vars, g); err != nil {
		return yamlError(file, name, err)
	}
	return nil
}

// variables are values by name.
type variables map[string]any

func (v variables) set(name string, value any) { v[name] = value }

// setYAML sets a variable. What is encrypted stays unset.
func (a *Ansible) setYAML(set func(string, any), file string, k, v *yaml.Node) {
	if v.Tag == "!vault" || v.Tag == "!vault-encrypted" {
		a.warnings = append(a.warnings, yamlError(file, v, fmt.Errorf("%s is encrypted by ansible-vault; passed over", k.Value)))
		return
	}
	set(k.Value, yamlValue(v))
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// yamlValue is text, a number, a boolean, nil, or a list or map of such.
func yamlValue(n *yaml.Node) any {
	n = deref(n)
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any)
		for k, v := range pairs(n) {
			m[k.Value] = yamlValue(v)
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = yamlValue(c)
		}
		return list
	}
	if n.Tag == "!!str" && n.Style == 0 { // YAML 1.1, as Ansible reads it
		switch strings.ToLower(n.Value) {
		case "yes", "on":
			return true
		case "no", "off":
			return false
		}
	}
	switch n.Tag {
	case "!!null":
		return nil
	case "!!int":
		var i int
		if n.Decode(&i) == nil {
			return i
		}
	case "!!float":
		var f float64
		if n.Decode(&f) == nil {
			return f
		}
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	}
	return n.Value
}
