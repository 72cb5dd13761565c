package krb5file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const sample = `
text before the first section is passed over
# a comment
[libdefaults]
	default_realm = EXAMPLE.COM
	default_realm = SECOND.WINS.NOT
	; another comment
	dns_lookup_kdc = No
	rdns = perhaps
	ticket_lifetime = 1d 2h
	quoted = "a \"b\" # \\ \n" and more
	plain = a # b
[realms]
	EXAMPLE.COM = {
		kdc = kdc1.example.com
		kdc = [2001:db8::1]:750
		auth_to_local_names = {
			alice = al
		}
		admin_server = kdc1
	}
	OTHER =
	{
		kdc = kdc.other
	}*
[domain_realm]
	.example.com = EXAMPLE.COM
	example.com = EXAMPLE.COM
	deep.example.com = OTHER
	.test = TEST
[realms]
	EXAMPLE.COM = {
		kdc = kdc3.example.com
	}
`

func TestConf(t *testing.T) {
	c, err := ParseConf("krb5.conf", sample)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"default_realm": "EXAMPLE.COM", "quoted": "a \"b\" # \\ \n", "plain": "a # b", "missing": ""} {
		if got := c.Default(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if c.Bool("dns_lookup_kdc", true) || !c.Bool("rdns", true) || c.Bool("missing", false) {
		t.Error("wrong truth values")
	}
	if d, err := c.Duration("ticket_lifetime", 0); d != 26*time.Hour || err != nil {
		t.Errorf("ticket_lifetime: %v, %v", d, err)
	}
	if got, want := c.KDCs("EXAMPLE.COM"), []string{"kdc1.example.com", "[2001:db8::1]:750", "kdc3.example.com"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := c.KDCs("OTHER"); !slices.Equal(got, []string{"kdc.other"}) {
		t.Errorf("got %q", got)
	}
	for host, want := range map[string]string{
		"web.example.com": "EXAMPLE.COM", "example.com": "EXAMPLE.COM", "WEB.Example.COM.": "EXAMPLE.COM", "deep.example.com": "OTHER",
		"a.deep.example.com": "OTHER", "x.test": "TEST", "test": "", "example.org": "", "localhost": "", "": "", ".": "",
	} {
		if got := c.HostRealm(host); got != want {
			t.Errorf("%s: got %q, want %q", host, got, want)
		}
	}
}

func TestConfMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"[libdefaults]\nx\n":         ":2: want name = value",
		"[libdefaults\n":             ":1: want [section]",
		"[a] b\n":                    ":1: want [section]",
		"[a]\n= b\n":                 `:2: "" is not a name`,
		"[a]\nb c = d\n":             `:2: "b c" is not a name`,
		"[a]\n}\n":                   ":2: a } without a {",
		"[a]\nb = {\n":               "a { has no }",
		"[a]\nb = {\n[c]\n":          ":3: a section begins before the }",
		"[a]\nb =\nc = d\n":          ":3: b has no value",
		"[a]\nb =\n":                 "a { has no }",
		"[a]\nb = \"c\n":             ":2: a quoted value has no end",
		"[a]\nb = \"c\\\n":           ":2: a quoted value has no end",
		"module /x.so:y\n":           ":1: module is not supported",
		"include /nowhere/krb5\n":    "/nowhere/krb5",
		"includedir /nowhere/krb5\n": "/nowhere/krb5",
		"[a]\n" + strings.Repeat("b = {\n", 1000):  "sections within sections",
		"[a]\n" + strings.Repeat("b = c\n", 1<<18): "more than",
	} {
		if _, err := ParseConf("name", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %s", text, err, want)
		}
	}
}

// Files name others, and of several the first value wins; a final section is
// not added to.
func TestConfFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("d/b.conf", "[libdefaults]\nfrom = b.conf\nb = 1\n")
	write("d/a-1_x", "[libdefaults]\nfrom = a\n")
	write("d/.hidden.conf", "[libdefaults]\nhidden = 1\n")
	write("d/note.txt", "no krb5.conf at all {{{\n[\n")
	one := write("one", "includedir "+dir+"/d\ninclude "+write("other", "[libdefaults]\nother = 1\n")+"\n[realms]*\nR = {\nkdc = first\n}\n")
	two := write("two", "[libdefaults]\nfrom = two\ntwo = 1\n[realms]\nR = {\nkdc = second\n}\n")
	c, err := ReadConf(one, filepath.Join(dir, "missing"), two)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"from": "a", "b": "1", "other": "1", "two": "1", "hidden": ""} {
		if got := c.Default(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := c.KDCs("R"); !slices.Equal(got, []string{"first"}) {
		t.Errorf("a final section was added to: %q", got)
	}
	if _, err := ReadConf(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that it is not there", err)
	}
	loop := filepath.Join(dir, "loop")
	write("loop", "include "+loop+"\n")
	if _, err := ReadConf(loop); err == nil || !strings.Contains(err.Error(), "files within files") {
		t.Errorf("got %v for a file that includes itself", err)
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"36000": 10 * time.Hour, "10:30": 10*time.Hour + 30*time.Minute, "1:2:3": time.Hour + 2*time.Minute + 3*time.Second,
		"1d2h3m4s": 26*time.Hour + 3*time.Minute + 4*time.Second, "7d": 168 * time.Hour, "1h 30": time.Hour + 30*time.Second, "0": 0,
	} {
		if got, ok := duration(text); !ok || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"x", "1x", "-1", "1:2:3:4", "1:", ":", "d", "99999999999", "4294967295d", "1.5h"} {
		if got, ok := duration(text); ok {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func FuzzConf(f *testing.F) {
	f.Add(sample, "web.example.com", "EXAMPLE.COM")
	f.Add("[a]\nb = {\n c = \"\\\"\n}*\n[a]*\n", "", "")
	f.Fuzz(func(t *testing.T, text, host, realm string) {
		if strings.Contains(text, "include") {
			t.Skip() // may name any file
		}
		c, err := ParseConf("name", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "krb5.conf: name:") {
				t.Errorf("%v names no place", err)
			}
			return
		}
		c.HostRealm(host)
		c.KDCs(realm)
		c.Bool(host, true)
		if d, err := c.Duration("ticket_lifetime", 0); err == nil && (d < 0 || d > maxDuration) {
			t.Errorf("a duration of %v", d)
		}
	})
}
