package inventory_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/inventory"
)

// TestAnsible compares all groups and all variables of all hosts with what
// ansible-inventory makes of the same files.
func TestAnsible(t *testing.T) {
	opensshtest.Need(t, "ansible-inventory")
	for _, sources := range []string{"site.ini", "site.yml", "folder", "script.sh", "old-script.sh site.yml site.ini"} {
		t.Run(sources, func(t *testing.T) {
			var paths, args []string
			for name := range strings.FieldsSeq(sources) {
				path := filepath.Join("testdata", "ansible", name)
				paths, args = append(paths, path), append(args, "-i", "./"+path)
			}
			cmd := exec.Command("ansible-inventory", append(args, "--list")...)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "ANSIBLE_LOCALHOST_WARNING=0", "HOME="+t.TempDir())
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			if err := json.Unmarshal(out, &want); err != nil {
				t.Fatal(err)
			}
			inv := ok[*inventory.Inventory](t)(inventory.Open(t.Context(), paths...))
			compareHosts(t, inv, want["_meta"].(map[string]any)["hostvars"].(map[string]any))
			compareGroups(t, inv, want)
		})
	}
}

func compareHosts(t *testing.T, inv *inventory.Inventory, want map[string]any) {
	t.Helper()
	all := ok[[]string](t)(inv.All(t.Context(), ""))
	if len(all) == 0 {
		t.Error("no hosts")
	}
	for _, name := range all {
		h, _, err := inv.Host(name)
		if err != nil {
			t.Error(err)
		}
		text, err := json.Marshal(h.Vars)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		wanted, _ := want[name].(map[string]any)
		if len(got)+len(wanted) > 0 && !reflect.DeepEqual(got, wanted) {
			t.Errorf("%s: got %v, want %v", name, got, wanted)
		}
	}
	for name := range want {
		if !slices.Contains(all, name) {
			t.Errorf("%s is missing", name)
		}
	}
}

func compareGroups(t *testing.T, inv *inventory.Inventory, want map[string]any) {
	t.Helper()
	var members func(group string) []string
	members = func(group string) (hosts []string) {
		body, _ := want[group].(map[string]any)
		list, _ := body["hosts"].([]any)
		for _, h := range list {
			hosts = append(hosts, h.(string))
		}
		children, _ := body["children"].([]any)
		for _, c := range children {
			hosts = append(hosts, members(c.(string))...)
		}
		slices.Sort(hosts)
		return slices.Compact(hosts)
	}
	names := ok[[]string](t)(inv.Names(t.Context(), ""))
	for _, name := range names {
		got := ok[[]string](t)(inv.Group(t.Context(), "", name))
		slices.Sort(got)
		if !slices.Equal(got, members(name)) {
			t.Errorf("group %s: got %q, want %q", name, got, members(name))
		}
	}
	for name := range want {
		if name != "_meta" && !slices.Contains(names, name) {
			t.Errorf("the group %s is missing", name)
		}
	}
}

// TestAnsibleHost is how a host is reached.
func TestAnsibleHost(t *testing.T) {
	dir := write(t, map[string]string{"hosts": `
web1 ansible_host=192.0.2.1 ansible_port=2222 ansible_user=www ansible_ssh_private_key_file=~/key ansible_password=secret
web2 ansible_ssh_host=old ansible_host=new ansible_ssh_port=23 ansible_port=24
web3:2200 ansible_host="{{ inventory_hostname_short }}.{{ domain }}" domain=example.com
[::1]:2022
far1 ansible_ssh_common_args='-o ProxyJump=gate,root@inner:2222 -o "StrictHostKeyChecking no" -C' ansible_ssh_extra_args='-J other'
far2 ansible_ssh_common_args='-Jgate'
far3 ansible_ssh_common_args='-o ProxyCommand="ssh -W %h:%p gate"'
tpl ansible_user="{{ lookup('env', 'USER') }}"
here ansible_connection=local
port ansible_port=ssh
`})
	inv := ok[*inventory.Inventory](t)(inventory.Open(t.Context(), filepath.Join(dir, "hosts")))
	for _, want := range []inventory.Host{
		{Name: "web1", Addr: "192.0.2.1", Port: 2222, User: "www", KeyFile: "~/key"},
		{Name: "web2", Addr: "old", Port: 23},
		{Name: "web3", Addr: "web3.example.com", Port: 2200},
		{Name: "::1", Port: 2022},
		{Name: "far1", Jump: []string{"gate", "root@inner:2222"}, PassedOver: []string{"-o StrictHostKeyChecking no", "-C"}},
		{Name: "far2", Jump: []string{"gate"}},
	} {
		got, found, err := inv.Host(want.Name)
		if err != nil || !found {
			t.Fatal(want.Name, found, err)
		}
		if got.Vars["ansible_password"] != nil {
			t.Error("a password is among the variables")
		}
		got.Vars = nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	for host, want := range map[string]string{
		"tpl":  `host "tpl": ansible_user: "{{ lookup('env', 'USER') }}" is a template, which only Ansible can expand`,
		"far3": `host "far3": ansible_ssh_common_args has a ProxyCommand, which is not taken from an inventory: say it in ssh_config(5)`,
		"here": `host "here": it is reached by ansible_connection=local and not by SSH`,
		"port": `host "port": ansible_port "ssh" is not a number from 1 to 65535`,
	} {
		if _, _, err := inv.Host(host); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, found, err := inv.Host("web4"); found || err != nil {
		t.Error(found, err)
	}
}

// TestAnsibleMistakes are errors that name the file and the line.
func TestAnsibleMistakes(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"child.ini":    {"[a:children]\nb\n", `:2: there is no group "b"`},
		"vars.ini":     {"[a:vars]\nx=1\n", `:1: there is no group "a"`},
		"kind.ini":     {"[a:hots]\n", `the section [a:hots] has an unknown kind`},
		"loop.ini":     {"[a:children]\nb\n[b:children]\na\n", `:4: the group "b" would be within itself`},
		"range.ini":    {"[a]\nx[3:1] y=1\n", `the range [3:1]: it ends before it begins`},
		"pad.ini":      {"[a]\nx[01:100] y=1\n", `with zeros in front both ends have to be equally long`},
		"many.ini":     {"[a]\nx[1:2000][1:2000] y=1\n", `more than 1000000 hosts`},
		"quote.ini":    {"[a]\nx y='1\n", `no closing quotation mark`},
		"name.ini":     {"[a]\nx@y z=1\n", `a host cannot have the name "x@y"`},
		"list.yml":     {"all:\n  hosts: [a, b]\n", `:2: the hosts of the group "all" have to be a mapping`},
		"seq.yml":      {"- a\n", `:1: want a mapping`},
		"syntax.yml":   {"all: {\n", `did not find expected node content`},
		"plugin.yml":   {"plugin: aws_ec2\nregions: [x]\n", `save what ansible-inventory --list prints`},
		"number.yml":   {"all:\n  hosts:\n    5:\n", `:3: the name of a host has to be text: put it in quotes`},
		"loop.yml":     {"a: &a\n  children:\n    b: *a\n", `its aliases make it endless`},
		"broken.json":  {"{\"a\": ", `no JSON object`},
		"members.json": {`{"a": {"hosts": "x"}}`, `the hosts of the group "a" are no list of names`},
		"fails":        {"#!/bin/sh\necho sorry >&2; exit 3\n", `saying "sorry": exit status 3`},
		"nothing":      {"#!/bin/sh\n", `no JSON object: it is empty`},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(tt.text, "#!") && runtime.GOOS == "windows" {
				t.Skip("no shell scripts on Windows")
			}
			dir := write(t, map[string]string{name: tt.text})
			_, err := inventory.Open(t.Context(), filepath.Join(dir, name))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestVault passes over what is encrypted, and says so.
func TestVault(t *testing.T) {
	dir := write(t, map[string]string{
		"hosts.yml":            "all:\n  hosts:\n    a:\n      x: !vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        3132\n      y: 1\n",
		"group_vars/all/vault": "$ANSIBLE_VAULT;1.1;AES256\n3132\n",
	})
	inv := ok[*inventory.Inventory](t)(inventory.Open(t.Context(), filepath.Join(dir, "hosts.yml")))
	h, _, err := inv.Host("a")
	if err != nil || !reflect.DeepEqual(h.Vars, map[string]any{"y": 1}) {
		t.Errorf("got %v, %v", h.Vars, err)
	}
	if w := inv.Warnings(); len(w) != 2 || !strings.Contains(errors.Join(w...).Error(), "hosts.yml:4: x is encrypted") {
		t.Errorf("got %v", w)
	}
}

// TestScript bounds a script's time and refuses one that anybody may write to.
func TestScript(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no shell scripts on Windows")
	}
	dir := write(t, map[string]string{"slow": "#!/bin/sh\nsleep 600 & wait\n", "open": "#!/bin/sh\necho '{}'\n", "plain": "#!/bin/sh\necho '{}'\n"})
	began := time.Now()
	_, err := inventory.Options{Timeout: 100 * time.Millisecond}.Open(t.Context(), filepath.Join(dir, "slow"))
	if err == nil || !strings.Contains(err.Error(), "took longer than 100ms") || time.Since(began) > time.Minute {
		t.Errorf("got %v", err)
	}
	open := filepath.Join(dir, "open")
	if err := os.Chmod(open, 0o757); err != nil {
		t.Fatal(err)
	}
	_, err = inventory.Open(t.Context(), open)
	if _, unsafe := errors.AsType[*inventory.UnsafeFileError](err); !unsafe {
		t.Errorf("got %v", err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.Chmod(plain, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err = inventory.Open(t.Context(), plain); err == nil || !strings.Contains(err.Error(), "chmod +x it") {
		t.Errorf("got %v", err)
	}
}
