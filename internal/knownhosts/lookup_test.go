package knownhosts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// keygenFind returns the lines of a file that ssh-keygen -F finds for a name,
// with the marker behind the number. With -l it parses the keys too.
func keygenFind(t *testing.T, path, name string) []string {
	t.Helper()
	cmd := exec.Command(program(t, "ssh-keygen"), "-l", "-F", name, "-f", path)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != 1) {
		t.Fatalf("ssh-keygen: %v", err)
	}
	var found []string
	for _, m := range regexp.MustCompile(`(?m)^# Host .* found: line (\d+)( CA| REVOKED)? *$`).FindAllSubmatch(out, -1) {
		found = append(found, string(m[1])+string(m[2]))
	}
	return found
}

// ourFind is the same by Lookup.
func ourFind(db *DB, addr string) []string {
	var found []string
	for _, k := range db.Lookup(addr) {
		found = append(found, fmt.Sprint(k.Line)+map[Marker]string{Authority: " CA", Revoked: " REVOKED"}[k.Marker])
	}
	return found
}

// lookups are files with addresses and the lines that they have. They are the
// seeds of the fuzz test too.
var lookups = []struct {
	name string
	file string
	want map[string]string // address → lines
}{
	{"empty", "", map[string]string{"web1": ""}},
	{"names", "web1,web2 {ed1}\nweb1 {rsa}\nWEB1 {ed2}\n", map[string]string{"web1": "1,2,3", "web2": "1", "web3": ""}},
	{"blanks", " web1 {ed1}\n\t web1\t{ed1}\nweb1 \t {ed1} \t\nweb1\u00a0{ed1}\nweb1\v{ed1}\n", map[string]string{"web1": "1,2,3"}},
	{"comments", "# web1 {ed1}\n  # x\nweb1 {ed1} a # b\nweb1 #{ed1}\n#web1 {ed1}\n", map[string]string{"web1": "3"}},
	{"crlf", "web1 {ed1}\r\nweb1 {ed1} c\r\n\r\nweb2 {ed1}\r", map[string]string{"web1": "1,2", "web2": "4"}},
	{"nul", "web1 {ed1}\x00junk\n\x00\nweb1 \x00{ed1}\nweb2 {ed1}\n", map[string]string{"web1": "1", "web2": "4"}},
	{"no line end", "web1 {ed1}", map[string]string{"web1": "1"}},
	{"markers", "@revoked web1 {ed1}\n@cert-authority web1 {ed1}\n@other web1 {ed1}\n@revoked @revoked web1 {ed1}\n@ web1 {ed1}\n@revoked\n@revokedx web1 {ed1}\n", map[string]string{"web1": "1 REVOKED,2 CA"}},
	{"case of markers", "@Revoked web1 {ed1}\n@CERT-AUTHORITY web1 {ed1}\n", map[string]string{"web1": ""}},
	{"patterns", "* {ed1}\nweb? {ed1}\nw*1 {ed1}\n*.example {ed1}\n??? {ed1}\nweb1* {ed1}\n** {ed1}\n*w*e*b*1* {ed1}\n", map[string]string{
		"web1": "1,2,3,6,7,8", "web": "1,5,7", "a.example": "1,4,7", "w.1": "1,3,5,7", "web1.example": "1,4,6,7,8", "[web1]:2222": "1,7,8",
	}},
	{"negation", "*,!web1 {ed1}\n!web1,* {ed1}\n!web1 {ed1}\nweb1,!web? {ed1}\nweb1,!web2 {ed1}\n!!web1,* {ed1}\n", map[string]string{"web1": "5,6", "web3": "1,2,6"}},
	{"empty names", ",web1,,web2, {ed1}\n, {ed1}\n!,web1 {ed1}\n", map[string]string{"web1": "1,3", "web2": "1"}},
	{"ports", "[web1]:2222 {ed1}\nweb1:2222 {ed1}\n[web1] {ed1}\n[web1]:22 {ed1}\n[*]:2222 {ed1}\n[web1]:* {ed1}\n[web?]:22?2 {ed1}\n", map[string]string{"[web1]:2222": "1,5,6,7", "web1": "", "[web1]:2223": "6"}},
	{"ipv6", "::1 {ed1}\n[::1]:2222 {ed1}\n2001:db8::1 {ed1}\nfe80::1%eth0 {ed1}\n[fe80::1%eth0]:2222 {ed1}\n", map[string]string{
		"::1": "1", "[::1]:2222": "2", "2001:db8::1": "3", "fe80::1%eth0": "4", "[fe80::1%eth0]:2222": "5", "fe80::1": "",
	}},
	{"hashed", "{web1} {ed1}\n{web1}x {ed1}\n{[web1]:2222} {rsa}\n@revoked {web1} {ed2}\n{web1},web1 {ed1}\n", map[string]string{"web1": "1,4 REVOKED", "[web1]:2222": "3", "web2": ""}},
	{"bad hashes", "|1|AAAA|AAAA {ed1}\n|1| {ed1}\n|2|{web1} {ed1}\n| {ed1}\n|1|||| {ed1}\nweb1 {ed1}\n", map[string]string{"web1": "6"}},
	{"bad keys", "web1\nweb1 \nweb1 ssh-ed25519\nweb1 ssh-ed25519 \nweb1 ssh-ed25519 AAAA\nweb1 ssh-ed25519 ????\nweb1 ssh-foo AAAA\nweb1 ssh-rsa {ed1 blob}\nweb1 1024 35 12345\nweb1 ssh-ed25519 {ed1 blob}=\nweb1 ssh-ed25519 {ed1 blob}AAAA\n", map[string]string{"web1": ""}},
	{"names of types", "web1 rsa-sha2-512 {rsa blob}\nweb1 rsa-sha2-256 {rsa blob}\nweb1 ssh-rsa {rsa blob}\nweb1 rsa {rsa blob}\nweb1 SSH-RSA {rsa blob}\nweb1 ssh-ed25519 {ed1 blob}\nweb1 ecdsa-sha2-nistp384 {ecdsa blob}\nweb1 ecdsa-sha2-nistp256 {ecdsa blob}\n", map[string]string{"web1": "1,2,3,6,8"}},
	{"long lists", strings.Repeat("other,", 5000) + "web1 {ed1}\n" + strings.Repeat("x", 1022) + ",web1 {ed1}\n" + strings.Repeat("x", 1023) + ",web1 {ed1}\nweb1," + strings.Repeat("x", 1023) + " {ed1}\n", map[string]string{"web1": "1,2", "other": "1"}},
	{"bytes that are no text", "\xff\xfeweb1 {ed1}\nweb\xc3\x89 {ed1}\nWEB\xff {ed1}\n\xef\xbb\xbfweb1 {ed1}\nweb1 {ed1} \xff\n", map[string]string{"web1": "5", "web\xff": "3", "web\xc3\x89": "2", "web\xc3\xa9": ""}},
	{"short rsa", "web1 {weak}\n", map[string]string{"web1": "1"}},
}

// expandLookup is expand with hashed names, {web1}, and bare keys, {ed1 blob}.
func expandLookup(text string) string {
	text = regexp.MustCompile(`\{((?:\[web1\]:\d+|web1))\}`).ReplaceAllStringFunc(text, func(s string) string {
		return hashName(strings.Trim(s, "{}"))
	})
	for name, key := range testKeys() {
		_, blob, _ := strings.Cut(key.line(), " ")
		text = strings.ReplaceAll(text, "{"+name+" blob}", blob)
	}
	return expand(text)
}

func TestLookup(t *testing.T) {
	for _, c := range lookups {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, expandLookup(c.file))
			db, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			for addr, lines := range c.want {
				var want []string
				if lines != "" {
					want = strings.Split(lines, ",")
				}
				if got := ourFind(db, addr); !slices.Equal(got, want) {
					t.Errorf("%q: got lines %v, want %v", addr, got, want)
				}
			}
		})
	}
}

func TestLookupAgainstSSHKeygen(t *testing.T) {
	program(t, "ssh-keygen")
	for _, c := range lookups {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, expandLookup(c.file))
			db, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			for addr := range c.want {
				if got, want := ourFind(db, addr), keygenFind(t, path, addr); !slices.Equal(got, want) {
					t.Errorf("%q: got lines %v, ssh-keygen -F has %v", addr, got, want)
				}
			}
		})
	}
}

// TestHashedBySSHKeygen reads what ssh-keygen -H made of a file.
func TestHashedBySSHKeygen(t *testing.T) {
	path := write(t, "web1,web2 {ed1}\n[web1]:2222 {rsa}\n@revoked web3 {ed2}\n")
	if out, err := exec.Command(program(t, "ssh-keygen"), "-H", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ addr, key, want string }{
		{"web1:22", "ed1", "known"}, {"web2:22", "ed1", "known"}, {"web2:22", "ed2", "changed"},
		{"web1:2222", "rsa", "known"}, {"web3:22", "ed2", "revoked"}, {"web4:22", "ed2", "unknown"},
	} {
		if got := kind(db.Check(c.addr, pub(c.key))); got != c.want {
			t.Errorf("%s with %s: got %s, want %s", c.addr, c.key, got, c.want)
		}
	}
}

func TestTabAfterMarker(t *testing.T) {
	db := open(t, "@revoked\tweb1 {ed1}\n@cert-authority\tweb1 {ca} a comment\n")
	if got, want := ourFind(db, "web1"), []string{"1 REVOKED", "2 CA"}; !slices.Equal(got, want) {
		t.Errorf("got lines %v, want %v", got, want)
	}
}

func TestWarnings(t *testing.T) {
	path := write(t, "web1 {ed1}\n\n# x\nweb1 ssh-ed25519 !\nbad\n@what a {ed1}\n"+strings.Repeat("y", maxLine+1)+" {ed1}\nweb1 \x1b[31mkey AAAA\n")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, w := range db.Warnings() {
		e, ok := errors.AsType[*LineError](w)
		if !ok || e.File != path || !strings.HasPrefix(w.Error(), fmt.Sprintf("%s:%d: line skipped: ", path, e.Line)) {
			t.Fatalf("got %v, want a LineError of %s", w, path)
		}
		if strings.Contains(w.Error(), "\x1b") {
			t.Errorf("%q has an escape", w.Error())
		}
		got = append(got, e.Line)
	}
	if want := []int{4, 5, 6, 7, 8}; !slices.Equal(got, want) {
		t.Errorf("got warnings for lines %v, want %v", got, want)
	}
	many := open(t, strings.Repeat("bad\n", 250)).Warnings()
	if len(many) != maxWarnings+1 || !strings.Contains(many[maxWarnings].Error(), "150 more") {
		t.Errorf("got %d warnings, the last %v", len(many), many[len(many)-1])
	}
}

func TestOpenErrors(t *testing.T) {
	folder := t.TempDir()
	if db, err := Open(filepath.Join(folder, "missing"), write(t, "web1 {ed1}\n")); err != nil {
		t.Errorf("missing file: %v", err)
	} else if err := db.Check("web1:22", pub("ed1")); err != nil {
		t.Errorf("second file: %v", err)
	}
	if _, err := Open(folder); err == nil || !strings.Contains(err.Error(), folder) {
		t.Errorf("a folder: got %v, want an error that names it", err)
	}
	huge := filepath.Join(folder, "huge")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(huge); err == nil || !strings.Contains(err.Error(), huge) {
		t.Errorf("a huge file: got %v, want an error that names it", err)
	}
	if runtime.GOOS != "windows" && os.Getuid() != 0 {
		secret := write(t, "")
		if err := os.Chmod(secret, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(secret); err == nil || !strings.Contains(err.Error(), secret) {
			t.Errorf("no permission: got %v, want an error that names it", err)
		}
	}
}

func TestSeveralFiles(t *testing.T) {
	user, global := write(t, "web1 {ed1}\n"), write(t, "web2 {ed2}\n@revoked * {ed3}\nweb1 {rsa}\n")
	db, err := Open(user, global)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ addr, key, want string }{
		{"web1:22", "ed1", "known"}, {"web1:22", "rsa", "known"}, {"web1:22", "ed3", "revoked"},
		{"web2:22", "ed2", "known"}, {"web2:22", "ed1", "changed"}, {"web3:22", "ed1", "unknown"},
	} {
		if got := kind(db.Check(c.addr, pub(c.key))); got != c.want {
			t.Errorf("%s with %s: got %s, want %s", c.addr, c.key, got, c.want)
		}
	}
	if err := db.Learn("web3:22", pub("ed1")); err != nil {
		t.Fatal(err)
	}
	if got := len(lines(t, user)); got != 2 {
		t.Errorf("the first file has %d lines after Learn, want 2", got)
	}
}

// TestGeneratedAgainstSSHKeygen puts lines together from good and bad parts.
func TestGeneratedAgainstSSHKeygen(t *testing.T) {
	program(t, "ssh-keygen")
	path := filepath.Join(t.TempDir(), "known_hosts")
	parts := [][]string{
		{"", "", "", "", " ", "\t", "@revoked ", "@cert-authority ", "@revoked  ", "@ ", "# ", "@revoked @revoked ", "@x "},
		{
			"web1", "WEB1", "web*", "!web1,*", "*,!web2", "web2,web1", "[web1]:22", "", ",", "?eb1", "**1", "|1|", "|1|x|y", "#web1", "\r", "web1\r",
			"{web1}", "{web1}", "{web1},", "{web1}=", "@web1", "\"web1\"", "wéb1", "\u00a0web1", "w?b1,*!",
		},
		{" ", " ", " ", "\t", "  ", " \t", "", "\u00a0", "\v", " #"},
		{"ssh-ed25519", "ssh-ed25519", "ssh-ed25519", "ssh-rsa", "rsa-sha2-512", "ecdsa-sha2-nistp256", "ssh-dss", "1024", "", "ED25519", "ssh-ed25519-cert-v01@openssh.com"},
		{" ", " ", " ", "\t", "  ", ""},
		{"{ed1 blob}", "{ed1 blob}", "{ed1 blob}", "{rsa blob}", "{ecdsa blob}", "{ed1 blob}=", "{ed1 blob}#", "{ed1 blob}A", "AAAA", "", "35 1234", "#{ed1 blob}"},
		{"", "", "", "\r", " ", " comment", "\tcomment # x\r", "\v"},
		{"\n", "\n", "\n", "\n", "\r\n", "\n\n", "\r"},
	}
	rapid.Check(t, func(t1 *rapid.T) {
		var text strings.Builder
		for range rapid.IntRange(1, 30).Draw(t1, "lines") {
			for _, choices := range parts {
				text.WriteString(rapid.SampledFrom(choices).Draw(t1, "part"))
			}
		}
		if err := os.WriteFile(path, []byte(expandLookup(text.String())), 0o600); err != nil {
			t1.Fatal(err)
		}
		db, err := Open(path)
		if err != nil {
			t1.Fatal(err)
		}
		if got, want := ourFind(db, "web1"), keygenFind(t, path, "web1"); !slices.Equal(got, want) {
			t1.Errorf("got lines %v, ssh-keygen -F has %v", got, want)
		}
	})
}
