package inventory_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/inventory"
	"github.com/shoal-ssh/shoal/sshconfig"
)

// hosts collects what HostsFile yields.
func hosts(t *testing.T, file string) (names []string, err error) {
	t.Helper()
	var errs []error
	for host, err := range inventory.HostsFile(file) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		names = append(names, host)
	}
	return names, errors.Join(errs...)
}

// TestHostsFile reads the files of pssh and pdsh.
func TestHostsFile(t *testing.T) {
	dir := write(t, map[string]string{
		"pssh":          "\uFEFF# all of them\r\nweb1\r\nweb2:2222\n  root@web3 # by hand\nweb4 admin\n[2001:db8::1]:22\n\nweb1\n",
		"pdsh":          "node[01-03],db[1-2]\n#include more/extra\n# include nothing\n#includes nothing\nlast\n",
		"more/extra":    "extra1\n#include third\n",
		"more/third":    "third",
		"loop":          "a\n#include loop2\n",
		"loop2":         "b\n#include loop\n",
		"missing":       "a\n#include nowhere\nb\n",
		"broken":        "a\nb[1-\nc d e\nf\n",
		"self/machines": "x\n#include machines\n",
	})
	in := func(name string) string { return filepath.Join(dir, name) }
	for name, want := range map[string]string{
		"pssh": "web1 web2:2222 root@web3 admin@web4 [2001:db8::1]:22 web1",
		"pdsh": "node01 node02 node03 db1 db2 extra1 third last",
	} {
		got, err := hosts(t, in(name))
		if err != nil {
			t.Error(err)
		}
		equal(t, name, got, want)
	}
	for name, tt := range map[string]struct{ got, err string }{
		"loop":          {"a b", in("loop2") + ":2: #include loop: the file includes itself"},
		"self/machines": {"x", "the file includes itself"},
		"missing":       {"a b", in("missing") + ":2: #include: stat"},
		"broken":        {"a f", in("broken") + ":2: host expression"},
		"more":          {"", "is a folder"},
		"nowhere":       {"", "no such file"},
	} {
		got, err := hosts(t, in(name))
		if err == nil || !strings.Contains(err.Error(), tt.err) && name != "nowhere" {
			t.Errorf("%s: got %v, want %s", name, err, tt.err)
		}
		equal(t, name, got, tt.got)
	}
}

// TestDSH reads the folders of dsh; the first one hides the second.
func TestDSH(t *testing.T) {
	dir := write(t, map[string]string{
		"home/group/web":    "w[1-2]\n#include db\n",
		"small/group/1":     "a\nb\n",
		"small/group/2":     "b\nc\n",
		"home/group/.x":     "hidden",
		"home/group/web~":   "old",
		"etc/group/web":     "other",
		"etc/group/db":      "# databases\nroot@d1\n",
		"etc/machines.list": "w1\nw2\nd1\nm1\n",
	})
	d := inventory.DSH{filepath.Join(dir, "home"), filepath.Join(dir, "etc")}
	equal(t, "names", ok[[]string](t)(d.Names(t.Context())), "db web")
	equal(t, "web", ok[[]string](t)(d.Group(t.Context(), "web")), "w1 w2 root@d1")
	equal(t, "all", ok[[]string](t)(d.All(t.Context())), "w1 w2 d1 m1")
	equal(t, "all of the groups", ok[[]string](t)(inventory.DSH{filepath.Join(dir, "small")}.All(t.Context())), "a b c")
	for _, name := range []string{"wbe", "../group/web", ".x", "web~", "", "."} {
		_, err := d.Group(t.Context(), name)
		if e, ok := errors.AsType[*inventory.UnknownGroupError](err); !ok || len(e.Known) != 2 {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

// TestSSHAliases are the Host lines without patterns.
func TestSSHAliases(t *testing.T) {
	dir := write(t, map[string]string{"config": "Host web1 web2 *.example.com !no\n User www\nHost db?\nHost gate\n"})
	s := inventory.SSHAliases{Load: func() (*sshconfig.Config, error) {
		return sshconfig.Load(sshconfig.Options{File: filepath.Join(dir, "config")})
	}}
	equal(t, "all", ok[[]string](t)(s.All(context.Background())), "web1 web2 gate")
	if _, err := s.Group(context.Background(), "web1"); err == nil {
		t.Error("a group was found")
	}
}

// TestOpen tells forms apart by their content.
func TestOpen(t *testing.T) {
	dir := write(t, map[string]string{
		"plain":       "web1\nweb2\n",
		"pssh":        "web1:22 root\nroot@web2\n[2001:db8::1]:2222 admin\n",
		"pdsh":        "node[1-2],node5\n",
		"ini":         "[web]\nweb1\n",
		"ansible":     "all:\n  hosts:\n    web1:\n",
		"groups":      "src:\n  hosts: web1\n  others: [web2]\n",
		"conf":        "# comment\n\n[x]\nlist: echo a\nmap: echo web1\n",
		"list":        `{"web": {"hosts": ["web1"]}, "_meta": {"hostvars": {}}}`,
		"json":        `{"all": {"hosts": {"web1": {"ansible_port": 22}}}}`,
		"empty":       "",
		"bad":         "web1\nweb[3-1]\n",
		"sub/hosts":   "[db]\ndb1\n",
		"none/x.txt":  "web1\n",
		"two/a":       "[web]\nweb1 ansible_port=1\n",
		"two/b.yml":   "web:\n  hosts:\n    web1:\n      ansible_port: 2\n",
		"vault":       "$ANSIBLE_VAULT;1.1;AES256\n31\n",
		"quoted.yaml": "\"all\":\n  hosts:\n    'web1':\n",
	})
	for name, want := range map[string]string{
		"plain": "inventory: web1 web2", "pssh": "inventory: web1 web2 2001:db8::1", "pdsh": "inventory: node1 node2 node5",
		"ini": "inventory: web1", "ansible": "inventory: web1", "groups": "src: web1 web2", "list": "inventory: web1", "json": "inventory: web1",
		"empty": "inventory:", "sub": "inventory: db1", "two": "inventory: web1", "quoted.yaml": "inventory: web1",
	} {
		inv, err := inventory.Open(t.Context(), filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		equal(t, name, append([]string{inv.Default + ":"}, ok[[]string](t)(inv.All(t.Context(), ""))...), want)
	}
	inv := ok[*inventory.Inventory](t)(inventory.Open(t.Context(), filepath.Join(dir, "pssh")))
	if h, _, _ := inv.Host("2001:db8::1"); h.User != "admin" || h.Port != 2222 {
		t.Errorf("got %+v", h)
	}
	inv = ok[*inventory.Inventory](t)(inventory.Open(t.Context(), filepath.Join(dir, "two")))
	if h, _, _ := inv.Host("web1"); h.Port != 2 {
		t.Errorf("got %+v", h)
	}
	inv = ok[*inventory.Inventory](t)(inventory.Open(t.Context(), filepath.Join(dir, "conf")))
	equal(t, "conf", inv.Sources(), "x")
	inv = ok[*inventory.Inventory](t)(inventory.Open(t.Context(), filepath.Join(dir, "ini"), filepath.Join(dir, "sub"), filepath.Join(dir, "groups")))
	equal(t, "several", append(inv.Sources(), ok[[]string](t)(inv.All(t.Context(), ""))...), "inventory src web1 db1")
	for name, want := range map[string]string{
		"bad":   "bad: the content is in no known form: as an Ansible inventory in INI, line 2: the range [3-1]: want begin:end or begin:end:step; as a hosts file of pssh or pdsh, line 2: host expression",
		"none":  "there is no inventory in the folder",
		"vault": "the file is encrypted by ansible-vault",
	} {
		if _, err := inventory.Open(t.Context(), filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
