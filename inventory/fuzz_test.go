package inventory

import (
	"slices"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/hostlist"
)

// checkAnsible: whatever was read can be asked for, and every host is one word of an
// expression.
func checkAnsible(t *testing.T, a *Ansible, err error) {
	if err != nil {
		return
	}
	a.settle()
	for _, name := range a.names() {
		members, err := a.Group(t.Context(), name)
		if err != nil {
			t.Error(err)
		}
		for _, m := range members {
			if e, err := hostlist.Parse(m); err != nil || e.Len() != 1 {
				t.Errorf("the host %q: %v", m, err)
			}
			if _, found, _ := a.Host(m); !found {
				t.Errorf("the host %q is not found", m)
			}
		}
	}
	all, _ := a.All(t.Context())
	group, _ := a.Group(t.Context(), "all")
	if !slices.Equal(all, group) {
		t.Errorf("all are %q, and in the group %q", all, group)
	}
}

func FuzzINI(f *testing.F) {
	for _, s := range []string{"a\nb[01:09:2] x=1 y='2 3' # c\n[g:children]\nh\n[h]\n[a:f]:22\n[h:vars]\nz = {{ q }}\n", "[::1]:22\n", "a ansible_host=\"{{ a }}\" a=\"{{ a }}\"\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "[") > 8 {
			return // ranges of ranges: time, not faults
		}
		a := newAnsible()
		checkAnsible(t, a, a.readINI("f", text))
	})
}

func FuzzYAML(f *testing.F) {
	for _, s := range []string{"all:\n  hosts:\n    a[1:3]: {x: 1}\n  children:\n    g: {vars: &v {y: yes}}\n    h: {vars: {<<: *v}}\n", "a: &a\n  children: *a\n", "s:\n  g: [a, 'b,c']\n  h: a ! b\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "[") > 8 {
			return
		}
		root, err := parseYAML("f", text)
		if err != nil {
			return
		}
		a := newAnsible()
		checkAnsible(t, a, a.readYAML("f", root))
		names, sources, err := parseGroupsYAML("f", text)
		if err == nil && len(names) != len(sources) {
			t.Errorf("%d names of %d sources", len(names), len(sources))
		}
		vars := make(variables)
		for k, v := range pairs(root) {
			a.setYAML(vars.set, "f", k, v)
		}
	})
}

func FuzzJSON(f *testing.F) {
	f.Add(`{"g": {"hosts": ["a"], "children": ["h"], "vars": {"x": 1e3}}, "h": ["b"], "_meta": {"hostvars": {"a": {"ansible_port": 22}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		a := newAnsible()
		_, err := a.readJSON("f", []byte(text))
		checkAnsible(t, a, err)
	})
}

func FuzzGroupsConf(f *testing.F) {
	f.Add("[Main]\ndefault: a\n[a,b]\nmap = x\n  y\n; c\nlist: $GROUP\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseSections("f", text)
		if err != nil {
			return
		}
		for _, s := range all {
			if s.options == nil || s.line == 0 {
				t.Errorf("%+v", s)
			}
		}
		(&Inventory{}).addSections(all, "/")
	})
}

func FuzzHostsFile(f *testing.F) {
	f.Add("a\nroot@b:22 # c\nd[1-2] e\n#include x\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "#include") && strings.ContainsAny(text, "./~") {
			return // of files outside of the test
		}
		for host, err := range ReadHostsFile("f", strings.NewReader(text)) {
			if err == nil && host == "" {
				t.Error("an empty host")
			}
		}
	})
}

// Whatever a name is, what a shell gets of it is one word, or nothing.
func FuzzUpcall(f *testing.F) {
	f.Add("echo '$GROUP' \"${GROUP}\" $GROUPS $$ $CFGDIR", "g1")
	f.Fuzz(func(t *testing.T, command, value string) {
		u := NewUpcalls(Upcalls{Source: "s", Dir: "/d"})
		u.expand(command, "GROUP", value)
		const before, behind = "echo '", "' x"
		line, err := u.expand(before+"$GROUP"+behind, "GROUP", value)
		if err == nil && (line != before+value+behind || strings.ContainsAny(value, "'\"\\$`;&|<>()* \t\r\n#~!/") || value == "" || value[0] == '-') {
			t.Errorf("%q became %q", value, line)
		}
	})
}

func FuzzShellWords(f *testing.F) {
	f.Add(`a "b \" c" 'd' e\ f # g`)
	f.Fuzz(func(t *testing.T, text string) {
		words, err := shellWords(text, true)
		if err != nil {
			return
		}
		for _, w := range words {
			if len(w) > len(text) {
				t.Errorf("%q of %q", w, text)
			}
		}
		split(text)
		literal(text)
	})
}
