package main

import (
	"testing"

	"github.com/shoal-ssh/shoal"
)

func TestSplitRemote(t *testing.T) {
	for _, tt := range []struct{ word, hosts, name string }{
		{"web1:/a", "web1", "/a"},
		{"web[1-3]:a:b", "web[1-3]", "a:b"},
		{"web1:", "web1", ""},
		{"root@web1:2222:/a", "root@web1:2222", "/a"},
		{"web1:2222,web2:22:a", "web1:2222,web2:22", "a"},
		{"[::1]:/a", "[::1]", "/a"},
		{"[fe80::1%eth0]:22:~/a", "[fe80::1%eth0]:22", "~/a"},
		{"web1:12monkeys", "web1", "12monkeys"},
		{"@web:/a", "@web", "/a"},
		{"@web:a:b/c", "@web:a", "b/c"},
		{"@src:web:/a", "@src:web", "/a"},
		{"@src:web[1-2],@old!@src:down:a", "@src:web[1-2],@old!@src:down", "a"},
		{"@src:*:a", "@src:*", "a"},
		{"(@all ! @down):/a:b", "(@all ! @down)", "/a:b"},
		{"web1:2222", "", ""},
		{"web1", "", ""},
		{"/a:b", "", ""},
		{":/a", "", ""},
	} {
		hosts, name, ok := splitRemote(tt.word)
		if !ok {
			hosts, name = "", ""
		}
		if ok != (tt.hosts != "") || hosts != tt.hosts || name != tt.name {
			t.Errorf("%s: %q and %q, %v", tt.word, hosts, name, ok)
		}
	}
}

func TestLocalNames(t *testing.T) {
	for _, tt := range []struct{ template, source, want string }{
		{"{host}/{path}", "/var/log/a.log", "d/web1/var/log/a.log"},
		{"{host}/{path}", "/var/log/*.log", "d/web1/var/log/"},
		{"{host}.{name}", "/etc/hosts", "d/web1.hosts"},
		{"{host}/{name}", "logs/*", "d/web1/"},
		{"{path}/{host}", "~/a/b/", "d/a/b/web1"},
		{"../{host}", "/a", "d/web1"},
		{"{name}", "/a", ""},
		{"{host}/x", "/a/*", ""},
		{"{host}/{path}", "/*/a*", ""},
	} {
		f := copyFlags{dir: "d", name: tt.template}
		name, err := f.namer(tt.source)
		switch {
		case err != nil:
			if tt.want != "" {
				t.Errorf("%s of %s: %v", tt.template, tt.source, err)
			}
		case name(shoal.Host{Name: "web1"}) != tt.want:
			t.Errorf("%s of %s: %q, want %q", tt.template, tt.source, name(shoal.Host{Name: "web1"}), tt.want)
		}
	}
}

func TestRate(t *testing.T) {
	for text, want := range map[string]int64{"500": 500, "10K": 10 << 10, "1.5M": 3 << 19, "2g": 2 << 30, "": 0, "0": 0, "-1": 0, "1T": 0, "1MK": 0} {
		var f rateFlag
		if err := f.Set(text); (err == nil) != (want > 0) || f.n != want {
			t.Errorf("%q: %d, %v", text, f.n, err)
		}
	}
}
