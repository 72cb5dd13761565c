package knownhosts

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshCases are what OpenSSH's client does, and what Check must do.
var sshCases = []struct {
	name string
	file string // {key} stands for a key
	addr string
	key  string  // of the server, ed1 unless given
	cert *certOf // its certificate
	want string
	ssh  string // what ssh does where we are stricter on purpose
}{
	{name: "known", file: "web1 {ed1}\n", addr: "web1:22", want: "known"},
	{name: "unknown", file: "web2 {ed1}\n", addr: "web1:22", want: "unknown"},
	{name: "changed", file: "web1 {ed2}\n", addr: "web1:22", want: "changed"},
	{name: "other key type only", file: "web1 {rsa}\n", addr: "web1:22", want: "changed"},
	{name: "other ecdsa only", file: "web1 {ecdsa}\n", addr: "web1:22", want: "changed"},
	{name: "several keys", file: "web1 {rsa}\nweb1 {ecdsa}\nweb1 {ed2}\nweb1 {ed1}\n", addr: "web1:22", want: "known"},
	{name: "rsa key known", file: "web1 {rsa}\n", addr: "web1:22", key: "rsa", want: "known"},
	{name: "ecdsa key known", file: "web1 {ecdsa}\n", addr: "web1:22", key: "ecdsa", want: "known"},
	{name: "rsa and ecdsa known", file: "web1 {ecdsa}\nweb1 {rsa}\n", addr: "web1:22", key: "rsa", want: "known"},
	{name: "upper case", file: "WEB1 {ed1}\n", addr: "Web1:22", want: "known"},
	{name: "name list", file: "a,web1,b {ed1}\n", addr: "web1:22", want: "known"},
	{name: "star", file: "* {ed1}\n", addr: "web1:22", want: "known"},
	{name: "star and port", file: "* {ed1}\n", addr: "web1:2222", want: "known"},
	{name: "star for nothing", file: "web1* {ed1}\n", addr: "web1:22", want: "known"},
	{name: "question mark", file: "web? {ed1}\n", addr: "web1:22", want: "known"},
	{name: "negation", file: "web*,!web1 {ed1}\n", addr: "web1:22", want: "unknown"},
	{name: "negation alone", file: "!web2 {ed1}\n", addr: "web1:22", want: "unknown"},
	{name: "port", file: "[web1]:2222 {ed1}\n", addr: "web1:2222", want: "known"},
	{name: "port in upper case", file: "[WEB1]:2222 {ed1}\n", addr: "web1:2222", want: "known"},
	{name: "port falls back", file: "web1 {ed1}\n", addr: "web1:2222", want: "known"},
	{name: "fall back to another key", file: "web1 {ed2}\n", addr: "web1:2222", want: "unknown"},
	{name: "port changed, no fall back", file: "[web1]:2222 {ed2}\nweb1 {ed1}\n", addr: "web1:2222", want: "changed"},
	{name: "another port", file: "[web1]:2223 {ed1}\n", addr: "web1:2222", want: "unknown"},
	{name: "port line, port 22", file: "[web1]:2222 {ed1}\n", addr: "web1:22", want: "unknown"},
	{name: "brackets with port 22", file: "[web1]:22 {ed1}\n", addr: "web1:22", want: "unknown"},
	{name: "ipv4", file: "127.0.0.1 {ed1}\n", addr: "127.0.0.1:22", want: "known"},
	{name: "ipv6", file: "::1 {ed1}\n", addr: "[::1]:22", want: "known"},
	{name: "ipv6 port", file: "[::1]:2222 {ed1}\n", addr: "[::1]:2222", want: "known"},
	{name: "ipv6 in long", file: "2001:db8::1 {ed1}\n", addr: "[2001:DB8:0:0:0:0:0:01]:22", want: "known"},
	{name: "ipv6 zone", file: "fe80::1%lo {ed1}\n", addr: "[fe80::1%lo]:22", want: "known"},
	{name: "ipv6 zone and port", file: "[fe80::1%lo]:2222 {ed1}\n", addr: "[fe80::1%lo]:2222", want: "known"},
	{name: "ipv6 without its zone", file: "fe80::1 {ed1}\n", addr: "[fe80::1%lo]:22", want: "unknown"},
	{name: "revoked", file: "@revoked web1 {ed1}\n", addr: "web1:22", want: "revoked"},
	{name: "known and revoked", file: "web1 {ed1}\n@revoked * {ed1}\n", addr: "web1:22", want: "revoked"},
	{name: "revoked elsewhere", file: "web1 {ed1}\n@revoked other {ed1}\n", addr: "web1:22", want: "known"},
	{name: "another revoked", file: "web1 {ed1}\n@revoked * {ed2}\n", addr: "web1:22", want: "known"},
	{name: "changed and revoked", file: "web1 {ed2}\n@revoked * {ed1}\n", addr: "web1:22", want: "revoked"},
	{name: "revoked with port", file: "@revoked [web1]:2222 {ed1}\nweb1 {ed1}\n", addr: "web1:2222", want: "revoked"},
	{name: "revoked without port", file: "@revoked web1 {ed1}\n", addr: "web1:2222", want: "revoked", ssh: "unknown"},
	{name: "rsa first after ed25519 was revoked", file: "@revoked web1 {ed1}\nweb1 {ed1}\nweb1 {rsa}\n", addr: "web1:22", key: "rsa", want: "known"},
	{name: "ca only, plain key", file: "@cert-authority * {ca}\n", addr: "web1:22", want: "unknown"},
	{name: "ca key as host key", file: "@cert-authority * {ed1}\n", addr: "web1:22", want: "unknown"},
	{name: "ca with another key known", file: "@cert-authority * {ca}\nweb1 {ed2}\n", addr: "web1:22", want: "changed"},
	{name: "certificate", file: "@cert-authority * {ca}\n", addr: "web1:22", cert: &certOf{}, want: "known"},
	{name: "certificate in upper case", file: "@cert-authority * {ca}\n", addr: "WEB1:22", cert: &certOf{}, want: "known"},
	{name: "certificate, host pattern", file: "@cert-authority *.example {ca}\n", addr: "web1:22", cert: &certOf{}, want: "unknown"},
	{name: "certificate, port", file: "@cert-authority [web1]:2222 {ca}\n", addr: "web1:2222", cert: &certOf{}, want: "known"},
	{name: "certificate, port falls back", file: "@cert-authority web1 {ca}\n", addr: "web1:2222", cert: &certOf{}, want: "known"},
	{name: "certificate, port has another ca", file: "@cert-authority [web1]:2222 {ca2}\n@cert-authority web1 {ca}\n", addr: "web1:2222", cert: &certOf{}, want: "known"},
	{name: "certificate over a changed key", file: "@cert-authority * {ca}\nweb1 {ed2}\n", addr: "web1:22", cert: &certOf{}, want: "known"},
	{name: "certificate by another ca", file: "@cert-authority * {ca2}\n", addr: "web1:22", cert: &certOf{}, want: "unknown"},
	{name: "certificate by another ca, key known", file: "@cert-authority * {ca2}\nweb1 {ed1}\n", addr: "web1:22", cert: &certOf{}, want: "known"},
	{name: "certificate without ca, key changed", file: "web1 {ed2}\n", addr: "web1:22", cert: &certOf{}, want: "changed"},
	{name: "certificate for another name", file: "@cert-authority * {ca}\n", addr: "web1:22", cert: &certOf{name: "web2"}, want: "unknown"},
	{name: "certificate for all names", file: "@cert-authority * {ca}\n", addr: "web1:22", cert: &certOf{name: "-"}, want: "known"},
	{name: "certificate with a pattern", file: "@cert-authority * {ca}\n", addr: "web1:22", cert: &certOf{name: "web*"}, want: "unknown"},
	{name: "certificate expired", file: "@cert-authority * {ca}\n", addr: "web1:22", cert: &certOf{until: -1}, want: "unknown"},
	{name: "certificate expired, key known", file: "@cert-authority * {ca}\nweb1 {ed1}\n", addr: "web1:22", cert: &certOf{until: -1}, want: "known"},
	{name: "certificate expired, key changed", file: "@cert-authority * {ca}\nweb1 {ed2}\n", addr: "web1:22", cert: &certOf{until: -1}, want: "changed"},
	{name: "certificate of the future", file: "@cert-authority * {ca}\n", addr: "web1:22", cert: &certOf{from: 1}, want: "unknown"},
	{name: "certificate of a user", file: "@cert-authority * {ca}\n", addr: "web1:22", cert: &certOf{user: true}, want: "unknown"},
	{name: "certificate with an option", file: "@cert-authority * {ca}\n", addr: "web1:22", cert: &certOf{option: "force-command"}, want: "unknown"},
	{name: "certificate, ca revoked", file: "@cert-authority * {ca}\n@revoked * {ca}\n", addr: "web1:22", cert: &certOf{}, want: "revoked"},
	{name: "certificate, ca revoked elsewhere", file: "@cert-authority * {ca}\n@revoked other {ca}\n", addr: "web1:22", cert: &certOf{}, want: "known"},
	{name: "certificate, key revoked", file: "@cert-authority * {ca}\n@revoked * {ed1}\n", addr: "web1:22", cert: &certOf{}, want: "revoked"},
	{name: "certificate of an unknown ca, revoked", file: "web1 {ed1}\n@revoked web1 {ca}\n", addr: "web1:22", cert: &certOf{}, want: "revoked"},
	{name: "certificate of an rsa key", file: "@cert-authority * {ca}\n", addr: "web1:22", key: "rsa", cert: &certOf{}, want: "known"},
	{name: "short rsa key", file: "web1 {weak}\n", addr: "web1:22", key: "weak", want: "weak", ssh: "known"},
	{name: "malformed lines around", file: "x\nweb1 ssh-foo AAAA\n web1  ssh-ed25519 AAAA\nweb1\t{ed1}\n@what web1 {ed2}\n", addr: "web1:22", want: "known"},
	{name: "crlf", file: "# c\r\n\r\nweb1 {ed1}\r\n", addr: "web1:22", want: "known"},
}

// certOf describes the certificate of a case, by the CA {ca}.
type certOf struct {
	name        string // its principal, web1 unless given, "-" for none
	from, until int    // hours from now
	user        bool
	option      string
}

func (c *certOf) make(t *testing.T, key string) *ssh.Certificate {
	if c == nil {
		return nil
	}
	return certificate(t, key, "ca", func(cert *ssh.Certificate) {
		switch c.name {
		case "":
		case "-":
			cert.ValidPrincipals = nil
		default:
			cert.ValidPrincipals = []string{c.name}
		}
		if c.from != 0 {
			cert.ValidAfter = uint64(time.Now().Add(time.Duration(c.from) * time.Hour).Unix())
		}
		if c.until != 0 {
			cert.ValidBefore = uint64(time.Now().Add(time.Duration(c.until) * time.Hour).Unix())
		}
		if c.user {
			cert.CertType = ssh.UserCert
		}
		if c.option != "" {
			cert.CriticalOptions = map[string]string{c.option: "x"}
		}
	})
}

func TestCheck(t *testing.T) {
	for _, c := range sshCases {
		t.Run(c.name, func(t *testing.T) {
			key := ssh.PublicKey(pub(keyName(c.key)))
			if cert := c.cert.make(t, keyName(c.key)); cert != nil {
				key = cert
			}
			err := open(t, c.file).Check(c.addr, key)
			if got := kind(err); got != c.want {
				t.Errorf("got %s, want %s: %v", got, c.want, err)
			}
			// The same with hashed names wherever a name can be hashed.
			err = open(t, hashNames(c.file)).Check(c.addr, key)
			if got := kind(err); got != c.want {
				t.Errorf("hashed: got %s, want %s: %v", got, c.want, err)
			}
		})
	}
}

func keyName(name string) string {
	if name == "" {
		return "ed1"
	}
	return name
}

// hashNames hashes the names of a file as ssh-keygen -H does: a line for each
// name, lines with patterns as they are.
func hashNames(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		marker, rest := "", strings.TrimLeft(line, " ")
		if strings.HasPrefix(rest, "@") {
			marker, rest, _ = strings.Cut(rest, " ")
			marker += " "
		}
		i := strings.IndexAny(rest, " \t")
		if i < 0 || strings.HasPrefix(rest, "#") || isPattern(rest[:i]) {
			b.WriteString(line)
			continue
		}
		for name := range strings.SplitSeq(rest[:i], ",") {
			b.WriteString(marker + hashName(lower(name)) + rest[i:])
		}
	}
	return b.String()
}

// TestAgainstSSH lets the real client meet the same servers.
func TestAgainstSSH(t *testing.T) {
	program(t, "ssh")
	for _, c := range sshCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := write(t, c.file)
			key := keyName(c.key)
			want := c.want
			if c.ssh != "" {
				want = c.ssh
			}
			outcome, algorithms := runSSH(t, path, c.addr, testKeys()[key], c.cert.make(t, key))
			if outcome != want {
				t.Errorf("ssh says %s, the table %s", outcome, want)
			}
			db, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := db.Algorithms(c.addr); !slices.Equal(got, algorithms) {
				t.Errorf("got  algorithms %v\nssh's algorithms %v", got, algorithms)
			}
		})
	}
}
