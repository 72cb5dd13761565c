package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-ssh/shoal/hostlist"
)

// Host is a host with the settings that an Ansible inventory has for it. A zero field
// was not set.
type Host struct {
	Name    string // in the inventory
	Addr    string // ansible_host: the name or address to connect to
	Port    int    // ansible_port
	User    string // ansible_user
	KeyFile string // ansible_ssh_private_key_file, or ansible_private_key_file
	// Jump are the jump hosts, each as [user@]host[:port], the first to connect to
	// first: -J or -o ProxyJump in ansible_ssh_common_args and ansible_ssh_extra_args.
	Jump []string
	// PassedOver are options of ssh in those that have no field here.
	PassedOver []string
	// Vars are all variables that hold for the host, by name: text, numbers,
	// booleans, and lists and maps of them. Passwords of Ansible's own variables
	// (ansible_password and others) are not among them.
	Vars map[string]any
}

// Ansible is the content of Ansible inventories, and a [Source]: hosts, groups of
// them, and variables. It is read by [Open] and then safe for concurrent use.
type Ansible struct {
	hosts    map[string]*ansibleHost
	groups   map[string]*ansibleGroup
	order    []string // of hosts
	warnings []error
}

type ansibleHost struct {
	name   string
	groups []*ansibleGroup // that list the host themselves
	vars   map[string]any
	files  map[string]any // from host_vars
}

type ansibleGroup struct {
	name     string
	hosts    []*ansibleHost // those that it lists itself
	children []*ansibleGroup
	parents  []*ansibleGroup
	vars     map[string]any
	files    map[string]any // from group_vars
	priority int            // among groups of the same depth
	depth    int            // below all, on the longest way; 0 where not known yet
}

func newAnsible() *Ansible {
	a := &Ansible{hosts: make(map[string]*ansibleHost), groups: make(map[string]*ansibleGroup)}
	a.addChild(a.group("all"), a.group("ungrouped"))
	return a
}

// group returns the group of that name, which it makes if need be.
func (a *Ansible) group(name string) *ansibleGroup {
	g := a.groups[name]
	if g == nil {
		g = &ansibleGroup{name: name, vars: make(map[string]any), priority: 1}
		a.groups[name] = g
	}
	return g
}

// addHost puts a host into a group; nil is none.
func (a *Ansible) addHost(name string, port int, g *ansibleGroup) (*ansibleHost, error) {
	if err := checkHostName(name); err != nil {
		return nil, err
	}
	h := a.hosts[name]
	if h == nil {
		h = &ansibleHost{name: name, vars: make(map[string]any)}
		a.hosts[name] = h
		a.order = append(a.order, name)
		if port != 0 {
			h.vars["ansible_port"] = port
		}
	}
	if g != nil && !slices.Contains(h.groups, g) {
		h.groups, g.hosts = append(h.groups, g), append(g.hosts, h)
	}
	return h, nil
}

// checkHostName refuses what is no word of a host expression.
func checkHostName(name string) error {
	if name == "" {
		return errors.New("the name of a host is empty")
	}
	for _, r := range name {
		if r <= ' ' || r == 0x7f || r == '\uFFFD' || strings.ContainsRune("@,!&^()*?/[]#'\"`$;|<>\\{}=", r) {
			return fmt.Errorf("a host cannot have the name %q: it has %q", name, r)
		}
	}
	if _, err := hostlist.Parse(name); err != nil {
		if e, ok := errors.AsType[*hostlist.SyntaxError](err); ok {
			return fmt.Errorf("a host cannot have the name %q: %s", name, e.Msg)
		}
		return err
	}
	return nil
}

// addChild puts a group into another.
func (a *Ansible) addChild(parent, child *ansibleGroup) error {
	if parent == child || slices.Contains(child.within(), parent) {
		return fmt.Errorf("the group %q would be within itself", parent.name)
	}
	if !slices.Contains(parent.children, child) {
		parent.children, child.parents = append(parent.children, child), append(child.parents, parent)
	}
	return nil
}

// within returns g and all groups below it, nearer ones first.
func (g *ansibleGroup) within() []*ansibleGroup {
	return reach(g, func(g *ansibleGroup) []*ansibleGroup { return g.children })
}

func reach(from *ansibleGroup, next func(*ansibleGroup) []*ansibleGroup) []*ansibleGroup {
	all := []*ansibleGroup{from}
	seen := map[*ansibleGroup]bool{from: true}
	for i := 0; i < len(all); i++ {
		for _, g := range next(all[i]) {
			if !seen[g] {
				seen[g] = true
				all = append(all, g)
			}
		}
	}
	return all
}

// settle completes the tree of groups once everything is read.
func (a *Ansible) settle() {
	all, ungrouped := a.groups["all"], a.groups["ungrouped"]
	for _, name := range slices.Sorted(maps.Keys(a.groups)) {
		if g := a.groups[name]; g != all && len(g.parents) == 0 {
			a.addChild(all, g)
		}
	}
	ungrouped.hosts = nil
	for _, name := range a.order {
		h := a.hosts[name]
		h.groups = slices.DeleteFunc(h.groups, func(g *ansibleGroup) bool { return g == ungrouped })
		if !slices.ContainsFunc(h.groups, func(g *ansibleGroup) bool { return g != all }) {
			h.groups, ungrouped.hosts = append(h.groups, ungrouped), append(ungrouped.hosts, h)
		}
	}
	for _, g := range a.groups {
		g.setDepth()
	}
}

func (g *ansibleGroup) setDepth() int {
	if g.depth == 0 {
		for _, p := range g.parents {
			g.depth = max(g.depth, p.setDepth()+1)
		}
	}
	return g.depth
}

// Group returns the hosts of a group and of those below it.
func (a *Ansible) Group(ctx context.Context, name string) ([]string, error) {
	g := a.groups[name]
	switch {
	case g == nil:
		return nil, &UnknownGroupError{Name: name, Known: a.names()}
	case name == "all":
		return a.All(ctx)
	}
	var names []string
	for _, g := range g.within() {
		for _, h := range g.hosts {
			names = append(names, h.name)
		}
	}
	return unique(names), nil
}

// All returns every host.
func (a *Ansible) All(context.Context) ([]string, error) { return slices.Clone(a.order), nil }

// Names returns the names of the groups, all and ungrouped among them, sorted.
func (a *Ansible) Names(context.Context) ([]string, error) { return a.names(), nil }

func (a *Ansible) names() []string { return slices.Sorted(maps.Keys(a.groups)) }

// Host returns the settings of a host; false where it is not in the inventory. A
// setting that is a template is an error, unless it is made of names of variables
// only, as in "{{ inventory_hostname }}.example.com"; so is a host that is not
// reached by SSH (ansible_connection).
func (a *Ansible) Host(name string) (Host, bool, error) {
	h := a.hosts[name]
	if h == nil {
		return Host{}, false, nil
	}
	out := Host{Name: name, Vars: a.vars(h)}
	err := out.fill()
	for _, secret := range secretVars {
		delete(out.Vars, secret)
	}
	if err != nil {
		return out, true, fmt.Errorf("host %q: %w", name, err)
	}
	return out, true, nil
}

// secretVars are variables of Ansible's that hold secrets.
var secretVars = []string{
	"ansible_password", "ansible_ssh_pass", "ansible_ssh_password", "ansible_become_pass", "ansible_become_password",
	"ansible_sudo_pass", "ansible_su_pass", "ansible_private_key_passphrase", "ansible_ssh_private_key_passphrase",
}

// vars returns the variables that hold for a host, by Ansible's precedence: those of
// all, of its groups from above to below (then by ansible_group_priority and name),
// group_vars in the same order, the host's own, host_vars.
func (a *Ansible) vars(h *ansibleHost) map[string]any {
	all := a.groups["all"]
	above := make(map[*ansibleGroup]bool)
	for _, g := range h.groups {
		for _, g := range reach(g, func(g *ansibleGroup) []*ansibleGroup { return g.parents }) {
			above[g] = true
		}
	}
	delete(above, all)
	groups := slices.SortedFunc(maps.Keys(above), func(x, y *ansibleGroup) int {
		return cmp.Or(cmp.Compare(x.depth, y.depth), cmp.Compare(x.priority, y.priority), cmp.Compare(x.name, y.name))
	})
	vars := maps.Clone(all.vars)
	for _, g := range groups {
		maps.Copy(vars, g.vars)
	}
	maps.Copy(vars, all.files)
	for _, g := range groups {
		maps.Copy(vars, g.files)
	}
	maps.Copy(vars, h.vars)
	maps.Copy(vars, h.files)
	return vars
}

// set sets a variable.
func (g *ansibleGroup) set(name string, value any) {
	if name == "ansible_group_priority" {
		if n, err := strconv.Atoi(fmt.Sprint(value)); err == nil {
			g.priority = n
		}
		return
	}
	g.vars[name] = value
}

// fill sets the fields from Vars.
func (h *Host) fill() error {
	if err := h.sshArgs(); err != nil {
		return err
	}
	connection, err := h.setting("ansible_connection")
	if err != nil {
		return err
	}
	switch connection[strings.LastIndexByte(connection, '.')+1:] {
	case "", "smart", "ssh", "paramiko", "paramiko_ssh", "libssh":
	default:
		return fmt.Errorf("it is reached by ansible_connection=%s and not by SSH", connection)
	}
	// The last one that is set counts.
	for _, s := range []struct {
		to    *string
		names []string
	}{
		{&h.Addr, []string{"ansible_host", "ansible_ssh_host"}},
		{&h.User, []string{"ansible_user", "ansible_ssh_user"}},
		{&h.KeyFile, []string{"ansible_private_key_file", "ansible_ssh_private_key_file"}},
	} {
		if *s.to, err = h.setting(s.names...); err != nil {
			return err
		}
	}
	port, err := h.setting("ansible_port", "ansible_ssh_port")
	if err != nil || port == "" {
		return err
	}
	if h.Port, err = strconv.Atoi(port); err != nil || h.Port < 1 || h.Port > 65535 {
		h.Port = 0
		return fmt.Errorf("ansible_port %q is not a number from 1 to 65535", port)
	}
	return nil
}

// sshArgs reads arguments of ssh. A ProxyCommand is an error, since without it the
// host is not reached or another one is.
func (h *Host) sshArgs() error {
	jump := ""
	for _, name := range []string{"ansible_ssh_common_args", "ansible_ssh_extra_args"} {
		text, err := h.setting(name)
		if err != nil {
			return err
		}
		words, err := shellWords(text, false)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for i := 0; i < len(words); i++ {
			flag, value := words[i], ""
			switch {
			case !strings.HasPrefix(flag, "-"):
				h.PassedOver = append(h.PassedOver, flag)
				continue
			case len(flag) > 2:
				flag, value = flag[:2], flag[2:]
			case strings.Contains("BbcDEeFIiJLlmOoPpQRSWw", flag[1:]) && i+1 < len(words):
				i++
				value = words[i]
			}
			keyword, argument := "", value
			if flag == "-o" {
				end := max(strings.IndexAny(value, "= \t"), 0)
				keyword, argument = strings.ToLower(value[:end]), strings.TrimLeft(value[end:], "= \t")
			}
			switch {
			case jump == "" && (flag == "-J" || keyword == "proxyjump"):
				jump = argument // the first one counts, as for ssh
			case keyword == "proxycommand":
				return fmt.Errorf("%s has a ProxyCommand, which is not taken from an inventory: say it in ssh_config(5)", name)
			case flag != "-J" && keyword != "proxyjump":
				h.PassedOver = append(h.PassedOver, strings.TrimSpace(flag+" "+value))
			}
		}
	}
	if jump != "" && jump != "none" {
		h.Jump = strings.Split(jump, ",")
	}
	return nil
}

// setting returns the value of the last of the variables that is set.
func (h *Host) setting(names ...string) (string, error) {
	for _, name := range slices.Backward(names) {
		if v := h.Vars[name]; v != nil {
			text, err := h.expand(fmt.Sprint(v), 0)
			if err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
			return text, nil
		}
	}
	return "", nil
}

// expand replaces {{ name }} by the variable.
func (h *Host) expand(text string, depth int) (string, error) {
	var out strings.Builder
	for rest := text; ; {
		before, inner, ok := strings.Cut(rest, "{{")
		if strings.Contains(before, "{%") {
			return "", fmt.Errorf("%q is a template, which only Ansible can expand", text)
		}
		out.WriteString(before)
		if !ok {
			return out.String(), nil
		}
		name, behind, _ := strings.Cut(inner, "}}")
		name, rest = strings.TrimSpace(name), behind
		value, ok := h.Vars[name]
		switch {
		case name == "inventory_hostname":
			value = h.Name
		case name == "inventory_hostname_short":
			value, _, _ = strings.Cut(h.Name, ".")
		case !ok || depth > 8:
			return "", fmt.Errorf("%q is a template, which only Ansible can expand", text)
		}
		switch value.(type) {
		case map[string]any, []any, nil:
			return "", fmt.Errorf("%q: the variable %s is no text", text, name)
		}
		one, err := h.expand(fmt.Sprint(value), depth+1)
		if err != nil {
			return "", err
		}
		out.WriteString(one)
	}
}
