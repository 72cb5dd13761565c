package knownhosts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzFile reads any bytes as a file and looks up any address in it. With
// SHOAL_FUZZ_ORACLE set it compares the lines found with ssh-keygen -F.
func FuzzFile(f *testing.F) {
	for _, c := range lookups {
		for addr := range c.want {
			f.Add([]byte(expandLookup(c.file)), addr)
		}
	}
	for _, c := range sshCases {
		f.Add([]byte(expand(c.file)), c.addr)
	}
	oracle := os.Getenv("SHOAL_FUZZ_ORACLE") != ""
	f.Fuzz(func(t *testing.T, data []byte, addr string) {
		db := &DB{index: newIndex()}
		read := &file{path: "known_hosts"}
		db.load(read, data)
		if read.size != int64(len(data)) {
			t.Errorf("read %d of %d bytes", read.size, len(data))
		}
		found := db.Lookup(addr)
		for _, k := range found {
			if err := db.Check(addr, k.Key); k.Marker == Revoked && kind(err) != "revoked" && kind(err) != "weak" {
				t.Errorf("the revoked key of line %d is %s", k.Line, kind(err))
			} else if k.Marker == Known && kind(err) == "unknown" && plainKey(k.Key) == k.Key {
				t.Errorf("the known key of line %d is unknown", k.Line)
			}
		}
		if got := slices.Sorted(slices.Values(db.Algorithms(addr))); !slices.Equal(got, slices.Sorted(slices.Values(defaultAlgorithms()))) {
			t.Errorf("algorithms are not those of the default: %v", got)
		}
		if oracle && sameQuestion(data, addr) {
			path := filepath.Join(t.TempDir(), "known_hosts")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, want := ourFind(db, addr), keygenFind(t, path, addr); !slices.Equal(got, want) {
				t.Errorf("%q: got lines %v, ssh-keygen -F has %v in\n%q", addr, got, want, data)
			}
		}
	})
}

// sameQuestion leaves out what ssh-keygen is asked in another way or answers
// differently on purpose.
func sameQuestion(data []byte, addr string) bool {
	text := string(data)
	return parseAddr(addr).name == addr && addr != "" && !strings.HasPrefix(addr, "-") && !strings.ContainsAny(addr, "\x00\n") &&
		!strings.ContainsRune(text, 0) && !strings.Contains(text, "@revoked\t") && !strings.Contains(text, "@cert-authority\t")
}
