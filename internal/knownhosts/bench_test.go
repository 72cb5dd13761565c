package knownhosts

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"math/big"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// fleet is a file of n hosts, each with these types of key (ed25519 and rsa),
// and the key that each of them sends.
type fleet struct {
	path  string
	addrs []string
	keys  []ssh.PublicKey
}

func newFleet(b *testing.B, n int, hash bool, types ...string) fleet {
	b.Helper()
	f := fleet{path: filepath.Join(b.TempDir(), "known_hosts")}
	var text strings.Builder
	for i := range n {
		name := fmt.Sprintf("node%05d.cluster.example.com", i)
		var key ssh.PublicKey
		for _, typ := range types {
			key = randomKey(b, typ)
			hosts := name
			if hash {
				hosts = hashName(name)
			}
			fmt.Fprintf(&text, "%s %s\n", hosts, authorized(key))
		}
		f.addrs, f.keys = append(f.addrs, name+":22"), append(f.keys, key)
	}
	if err := os.WriteFile(f.path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return f
}

// randomKey returns a public key that nobody has the private key of.
func randomKey(b *testing.B, typ string) ssh.PublicKey {
	b.Helper()
	blob := make([]byte, ed25519.PublicKeySize)
	rand.Read(blob)
	wire := ssh.Marshal(struct {
		Name string
		Key  []byte
	}{ssh.KeyAlgoED25519, blob})
	if typ == "rsa" {
		modulus := make([]byte, 256)
		rand.Read(modulus)
		modulus[0] |= 0x80
		modulus[255] |= 1
		wire = ssh.Marshal(struct {
			Name string
			E, N *big.Int
		}{ssh.KeyAlgoRSA, big.NewInt(65537), new(big.Int).SetBytes(modulus)})
	}
	key, err := ssh.ParsePublicKey(wire)
	if err != nil {
		b.Fatal(err)
	}
	return key
}

func (f fleet) shuffle() {
	mrand.Shuffle(len(f.addrs), func(i, j int) {
		f.addrs[i], f.addrs[j] = f.addrs[j], f.addrs[i]
		f.keys[i], f.keys[j] = f.keys[j], f.keys[i]
	})
}

func (f fleet) open(b *testing.B) *DB {
	b.Helper()
	db, err := Open(f.path)
	if err != nil {
		b.Fatal(err)
	}
	return db
}

// BenchmarkFleet is what a run does: for each of 10,000 hosts the algorithms
// to offer and then the check of its key. Time is for the whole fleet, without
// reading the file.
func BenchmarkFleet(b *testing.B) {
	const n = 10_000
	for _, c := range []struct {
		name   string
		hash   bool
		types  []string
		order  bool // hosts in the order of the file
		clone  bool // all hosts have the same key
		unseen bool // hosts that the file does not have
	}{
		{name: "plain", types: []string{"ed25519"}},
		{name: "plain/unknown", types: []string{"ed25519"}, unseen: true},
		{name: "hashed", hash: true, types: []string{"ed25519"}},
		{name: "hashed/two-types", hash: true, types: []string{"rsa", "ed25519"}},
		{name: "hashed/two-types/in-order", hash: true, types: []string{"rsa", "ed25519"}, order: true},
		{name: "hashed/unknown", hash: true, types: []string{"ed25519"}, unseen: true},
	} {
		b.Run(c.name, func(b *testing.B) {
			f := newFleet(b, n, c.hash, c.types...)
			if !c.order {
				f.shuffle()
			}
			for b.Loop() {
				b.StopTimer()
				db := f.open(b)
				b.StartTimer()
				for i, addr := range f.addrs {
					want := "known"
					if c.unseen {
						addr, want = "new-"+addr, "unknown"
					}
					db.Algorithms(addr)
					if got := kind(db.Check(addr, f.keys[i])); got != want {
						b.Fatalf("%s is %s, want %s", addr, got, want)
					}
				}
			}
		})
	}
}

// BenchmarkClones is a fleet installed from one image: all hosts have the same
// key, so that the key does not tell which hashed line is meant.
func BenchmarkClones(b *testing.B) {
	const n = 10_000
	key := randomKey(b, "ed25519")
	var text strings.Builder
	var addrs []string
	for i := range n {
		name := fmt.Sprintf("node%05d.cluster.example.com", i)
		fmt.Fprintf(&text, "%s %s\n", hashName(name), authorized(key))
		addrs = append(addrs, name+":22")
	}
	path := write(b, text.String())
	mrand.Shuffle(n, func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	for b.Loop() {
		b.StopTimer()
		db, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		for _, addr := range addrs {
			if err := db.Check(addr, key); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkOpen reads a file of 10,000 lines.
func BenchmarkOpen(b *testing.B) {
	for _, hash := range []bool{false, true} {
		b.Run(fmt.Sprintf("hashed=%t", hash), func(b *testing.B) {
			f := newFleet(b, 10_000, hash, "ed25519")
			for b.Loop() {
				f.open(b)
			}
		})
	}
}

// BenchmarkHashedLine tries one name against one hashed line.
func BenchmarkHashedLine(b *testing.B) {
	h, err := newHashed(hashName("other"))
	if err != nil {
		b.Fatal(err)
	}
	m := newMAC("node00001.cluster.example.com")
	for b.Loop() {
		if m.matches(h) {
			b.Fatal("matched")
		}
	}
}

// BenchmarkLearn learns a new host.
func BenchmarkLearn(b *testing.B) {
	db, err := Open(filepath.Join(b.TempDir(), "known_hosts"))
	if err != nil {
		b.Fatal(err)
	}
	key := randomKey(b, "ed25519")
	for i := 0; b.Loop(); i++ {
		if err := db.Learn(fmt.Sprintf("node%d:22", i), key); err != nil {
			b.Fatal(err)
		}
	}
}
