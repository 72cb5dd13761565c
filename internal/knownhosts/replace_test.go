package knownhosts

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// What becomes of the file: what knows web1 by other keys is gone, and nothing
// else is touched, not by a byte.
func TestReplace(t *testing.T) {
	hashed := hashName("web1") + " {ed1}\n"
	for _, tt := range []struct {
		name, file, want string
		keys             string
		removed, added   int
	}{
		{"another key", "web1 {ed1}\n", "web1 {ed2}\n", "ed2", 1, 1},
		{"other hosts", "# mine\n\n web2 {ed1} x \nweb1 {ed1}\n", "# mine\n\n web2 {ed1} x \nweb1 {ed2}\n", "ed2", 1, 1},
		{"other names", "web0,Web1,10.0.0.1\t{ed1} note\n", "web0,10.0.0.1 {ed1} note\nweb1 {ed2}\n", "ed2", 1, 1},
		{"hashed", hashed + "web2 {ed1}\n", "web2 {ed1}\nweb1 {ed2}\n", "ed2", 1, 1},
		{"one of several stays", "web1 {ed1}\nweb1 {ecdsa}\n", "web1 {ecdsa}\nweb1 {ed2}\n", "ed2 ecdsa", 1, 1},
		{"all others go", "web1 {ed1}\nweb1 {ecdsa}\nweb1 {rsa}", "web1 {rsa}", "rsa", 2, 0},
		{"no line end", "web2 {rsa}", "web2 {rsa}\nweb1 {ed2}\n", "ed2", 0, 1},
		{"marked lines stay", "@cert-authority web1 {ca}\nweb1 {ed1}\n", "@cert-authority web1 {ca}\nweb1 {ed2}\n", "ed2", 1, 1},
		{"malformed lines stay", "web1 nonsense\n@what web1 {ed1}\nweb1 {ed1}\n", "web1 nonsense\n@what web1 {ed1}\nweb1 {ed2}\n", "ed2", 1, 1},
		{"only negations left", "web1,!web2 {ed1}\n", "web1 {ed2}\n", "ed2", 1, 1},
		{"nothing to do", "web1 {ed1}\n", "web1 {ed1}\n", "ed1", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.file)
			db, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			var keys []ssh.PublicKey
			for name := range strings.FieldsSeq(tt.keys) {
				keys = append(keys, pub(name))
			}
			removed, added, err := db.Replace("web1:22", keys...)
			if err != nil || removed != tt.removed || added != tt.added {
				t.Errorf("got %d removed, %d added, %v; want %d, %d", removed, added, err, tt.removed, tt.added)
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != expand(tt.want) {
				t.Errorf("got\n%s\nwant\n%s", got, expand(tt.want))
			}
			old, err := os.ReadFile(path + ".old")
			if changed := tt.removed+tt.added > 0; changed != (err == nil) || changed && string(old) != expand(tt.file) {
				t.Errorf("the old text is\n%s%v", old, err)
			}
			if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
			if err := db.Check("web1:22", keys[0]); err != nil {
				t.Errorf("the new key: %v", err)
			}
			if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 1 {
				t.Errorf("files left: %q", left)
			}
		})
	}
}

// Where a line cannot be taken out nothing is changed, and the line is named.
func TestReplaceRefused(t *testing.T) {
	other := write(t, "web1 {ed1}\n")
	for _, tt := range []struct {
		file, want string
		more       []string
	}{
		{"web1 {ed3}\nweb* {ed1}\n", "known_hosts:2", nil},
		{"web1,*1 {ed1}\n", "known_hosts:1", nil},
		{"web1 {ed3}\n", other + ":1", []string{other}},
		{"@revoked web1 {ed2}\nweb1 {ed1}\n", "revoked by", nil},
	} {
		path := write(t, tt.file)
		db, err := Open(append([]string{path}, tt.more...)...)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = db.Replace("web1:22", pub("ed2"))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q in it", tt.file, err, tt.want)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != expand(tt.file) {
			t.Errorf("%q became %q", expand(tt.file), got)
		}
	}
	for _, db := range []*DB{new(DB), open(t, "")} {
		if _, _, err := db.Replace("web1:22"); err == nil {
			t.Error("no keys are no error")
		}
	}
	if _, _, err := open(t, "").Replace("web1:22", pub("weak")); kind(err) != "weak" {
		t.Errorf("a weak key: %v", err)
	}
}

// A link leads to the file that is replaced, and stays one.
func TestReplaceThroughLink(t *testing.T) {
	path := write(t, "web1 {ed1}\n")
	link := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	db, err := Open(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(link), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.Replace("web1:22", pub("ed2")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != expand("web1 {ed2}\n") {
		t.Errorf("the file is %q, %v", got, err)
	}
}
