package knownhosts

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"
)

// model is what the index must agree with: OpenSSH's algorithms, line by line,
// without any index.
type model []*entry

func newModel(text string) model {
	var m model
	for line := range strings.Lines(text) {
		if e, err := parseLine([]byte(strings.TrimSuffix(line, "\n"))); err == nil && e != nil {
			m = append(m, e)
		}
	}
	return m
}

// matching returns the lines that match name, as load_hostkeys.
func (m model) matching(name string, markers ...Marker) []*entry {
	var found []*entry
	for _, e := range m {
		if slices.Contains(markers, e.Marker) && matchesModel(e, name) {
			found = append(found, e)
		}
	}
	return found
}

func matchesModel(e *entry, name string) bool {
	if e.hash == nil {
		return matchList(name, e.Hosts)
	}
	fields := strings.Split(e.Hosts, "|")
	salt, _ := base64.StdEncoding.DecodeString(fields[2])
	h := hmac.New(sha1.New, salt)
	h.Write([]byte(name))
	return base64.StdEncoding.EncodeToString(h.Sum(nil)) == fields[3]
}

func has(lines []*entry, key ssh.PublicKey) bool {
	return slices.ContainsFunc(lines, func(e *entry) bool { return e.blob == string(key.Marshal()) })
}

// check is check_key_in_hostkeys and, for the port, check_host_key.
func (m model) check(n hostName, key ssh.PublicKey) string {
	known := m.matching(n.name, Known)
	switch {
	case has(m.matching(n.name, Revoked), key):
		return "revoked"
	case has(known, key):
		return "known"
	case len(known) > 0:
		return "changed"
	case n.bare != "" && has(m.matching(n.bare, Revoked), key):
		return "revoked"
	case n.bare != "" && has(m.matching(n.bare, Known), key):
		return "known"
	}
	return "unknown"
}

// algorithms is order_hostkeyalgs.
func (m model) algorithms(name string) []string {
	revoked := m.matching(name, Revoked)
	has := func(typ string) bool {
		return slices.ContainsFunc(m.matching(name, Known), func(e *entry) bool {
			return e.Key.Type() == typ && !has(revoked, e.Key)
		})
	}
	all := defaultAlgorithms()
	if has(ssh.KeyAlgoED25519) {
		return all
	}
	var first, last []string
	for _, a := range all {
		typ := strings.Replace(strings.Replace(a, "-cert-v01@openssh.com", "", 1), "rsa-sha2-256", "ssh-rsa", 1)
		typ = strings.Replace(typ, "rsa-sha2-512", "ssh-rsa", 1)
		if has(typ) || strings.Contains(a, "-cert-v01@") && len(m.matching(name, Authority)) > 0 {
			first = append(first, a)
		} else {
			last = append(last, a)
		}
	}
	return append(first, last...)
}

// TestAgainstModel asks an index and the model the same questions in any
// order, while lines are being learned.
func TestAgainstModel(t *testing.T) {
	names := []string{"a", "b", "c", "[a]:2222", "[b]:2222"}
	patterns := []string{"a", "b", "c", "[a]:2222", "a,b", "*", "?", "[*]:2222", "*,!a", "!b,*", "A"}
	keys := []string{"ed1", "ed2", "rsa", "ecdsa"}
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		for range rapid.IntRange(0, 12).Draw(t, "lines") {
			hosts := rapid.SampledFrom(patterns).Draw(t, "hosts")
			if rapid.Bool().Draw(t, "hash") {
				hosts = hashName(rapid.SampledFrom(names).Draw(t, "name"))
			}
			marker := rapid.SampledFrom([]string{"", "", "", "", "@revoked ", "@cert-authority "}).Draw(t, "marker")
			fmt.Fprintf(&text, "%s%s {%s}\n", marker, hosts, rapid.SampledFrom(keys).Draw(t, "key"))
		}
		written := expand(text.String())
		db := &DB{index: newIndex()}
		db.load(&file{path: "known_hosts"}, []byte(written))
		m := newModel(written)
		for range rapid.IntRange(1, 12).Draw(t, "questions") {
			addr := rapid.SampledFrom([]string{"a:22", "b:22", "c:22", "A:2222", "b:2222"}).Draw(t, "addr")
			key := pub(rapid.SampledFrom(keys).Draw(t, "asked"))
			n := parseAddr(addr)
			switch rapid.IntRange(0, 3).Draw(t, "question") {
			case 0:
				if got, want := db.Algorithms(addr), m.algorithms(n.name); !slices.Equal(got, want) {
					t.Fatalf("algorithms for %s:\ngot  %v\nwant %v\n%s", addr, got, want, written)
				}
			case 1:
				if got, want := kind(db.Check(addr, key)), m.check(n, key); got != want {
					t.Fatalf("check of %s: got %s, want %s\n%s", addr, got, want, written)
				}
			case 2:
				want := m.matching(n.name, Known, Authority, Revoked)
				if got := db.Lookup(addr); len(got) != len(want) {
					t.Fatalf("lookup of %s: got %v, want %d lines\n%s", addr, got, len(want), written)
				}
			case 3:
				want := m.check(n, key)
				if got := kind(db.Learn(addr, key)); got != strings.Replace(want, "unknown", "known", 1) {
					t.Fatalf("learn %s: got %s for a key that is %s\n%s", addr, got, want, written)
				}
				if want == "unknown" {
					line := n.name + " " + authorized(key) + "\n"
					written += line
					m = append(m, newModel(line)...)
				}
			}
		}
	})
}
