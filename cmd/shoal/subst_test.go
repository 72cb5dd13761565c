package main

import (
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal"
)

func TestSubst(t *testing.T) {
	hosts := []shoal.Host{
		{Name: "web1", Addr: "10.0.0.1", User: "me", Port: 23, Vars: map[string]any{"rack": "it's 4", "n": 7, "a.b": "x"}},
		{Name: "root@[2001:db8::1]:2222", Addr: "2001:db8::1", User: "root", Port: 2222},
	}
	for _, c := range []struct {
		line string
		host int
		want string
	}{
		{"%{name} %{host} %{user} %{port} %{index}/%{count}", 0, "web1 web1 me 23 0/2"},
		{"%{host} %{user} %{port} %{index}", 1, "2001:db8::1 root 2222 1"},
		{"%{raw:name}", 1, "root@[2001:db8::1]:2222"},
		{"%{var.rack}|%{raw:var.rack}|%{var.n}|%{var.a.b}", 0, `'it'\''s 4'|it's 4|7|x`},
		{"date +%F; 100% {host} %%d", 0, "date +%F; 100% {host} %%d"},
		{"%%{host} %%%{host} %%{", 0, "%{host} %%{host} %{"},
		{"%{host}%{host}", 0, "web1web1"},
	} {
		cmd := shoal.Command{Line: c.line}
		f := substFlags{on: true}
		some := hosts
		if strings.Contains(c.line, "var.") {
			some = hosts[:1]
		}
		if err := f.apply(&connectFlags{file: "none"}, some, &cmd); err != nil {
			t.Errorf("%q: %v", c.line, err)
			continue
		}
		if got, err := cmd.For(hosts[c.host]); err != nil || got != c.want {
			t.Errorf("%q: got %q, %v, want %q", c.line, got, err, c.want)
		}
	}
}

func TestSubstErrors(t *testing.T) {
	host := []shoal.Host{{Name: "web1"}}
	for line, want := range map[string]string{
		"%{}":             "unknown %{}",
		"%{hosts}":        `unknown %{hosts} (did you mean "host"?)`,
		"%{var.}":         "unknown %{var.}",
		"%{raw:x}":        "unknown %{x}",
		"a %{host":        `"%{host" has no }`,
		"%{var.rack}":     `host web1: it has no variable "rack"`,
		"%{host} %{HOST}": "unknown %{HOST}",
	} {
		f := substFlags{on: true}
		err := f.apply(&connectFlags{file: "none"}, host, &shoal.Command{Line: line})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", line, err, want)
		}
	}
}

// A line without places is what it was, and one of raw places has only the names
// put in.
func FuzzTemplate(f *testing.F) {
	for _, line := range []string{"", "%", "%%", "%{host}", "%{raw:host}x%%{", "%{", "%{var.x}", "a%%%{name}%{index"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		parsed, err := parseTemplate(line)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, p := range parsed {
			switch {
			case p.raw:
				again.WriteString("%{raw:" + p.name + "}")
			case p.name != "":
				again.WriteString("%{" + p.name + "}")
			default:
				again.WriteString(strings.ReplaceAll(p.text, "%{", "%%{"))
			}
		}
		if again.String() != line {
			t.Errorf("%q: got %q back", line, again.String())
		}
	})
}
