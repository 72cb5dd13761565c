package knownhosts

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestErrorTexts(t *testing.T) {
	fingerprint := func(name string) string { return ssh.FingerprintSHA256(pub(name)) }
	for _, c := range []struct {
		name, file, addr string
		key              ssh.PublicKey
		want             []string // parts of the text
	}{
		{"unknown", "web7,web8 {ed1}\n", "web1:22", pub("ed1"), []string{
			"host key for web1:22 is unknown: no key for it in FILE; the server sent ssh-ed25519 " + fingerprint("ed1"),
			"which is known for other hosts at FILE:1; compare the fingerprint with one from a trusted source",
		}},
		{"changed", "\nweb1 {ed2}\n", "web1:22", pub("ed1"), []string{
			"host key for web1:22 changed: FILE:2 (ssh-ed25519 " + fingerprint("ed2") + ") but the server sent ssh-ed25519 " + fingerprint("ed1"),
			"if you expected the change remove the old line with: ssh-keygen -f FILE -R web1",
		}},
		{"changed, several lines", strings.Repeat("[web1]:2222 {rsa}\n", 9), "web1:2222", pub("ed1"), []string{
			"FILE:1 (ssh-rsa " + fingerprint("rsa") + ") and FILE:2, FILE:3, FILE:4, 5 more but",
			"-R '[web1]:2222'",
		}},
		{"revoked", "@revoked * {ed1}\n", "web1:22", pub("ed1"), []string{
			"host key for web1:22 is revoked by FILE:1: the server sent ssh-ed25519 " + fingerprint("ed1") + ";",
		}},
		{"ca revoked", "@revoked * {ca}\n", "web1:22", certificate(t, "ed1", "ca", nil), []string{
			"revoked by FILE:1: the server sent ssh-ed25519 " + fingerprint("ed1") + " in a certificate by the CA ssh-ed25519 " + fingerprint("ca"),
		}},
		{"weak", "", "web1:22", pub("weak"), []string{"too weak: ssh-rsa " + fingerprint("weak") + ", 1024 bits"}},
		{"certificate", "@cert-authority * {ca}\n", "web2:22", certificate(t, "ed1", "ca", nil), []string{
			"host key for web2:22 is unknown",
			`certificate "host of a test" of web2:22, by the CA at FILE:1, refused: ssh: principal "web2" not in the set of valid principals`,
		}},
		{"escapes", "", "web1\x1b[31m:22", pub("ed1"), []string{`host key for "web1\x1b[31m:22" is unknown`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, c.file)
			db, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			err = db.Check(c.addr, c.key)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if want = strings.ReplaceAll(want, "FILE", path); !strings.Contains(err.Error(), want) {
					t.Errorf("got  %s\nwant … %s …", err, want)
				}
			}
		})
	}
}

func TestErrorsCarryWhatIsKnown(t *testing.T) {
	db := open(t, "web1 {ed2}\n@cert-authority * {ca}\nweb1 {rsa}\nother {ed1}\n")
	cert := certificate(t, "ed1", "ca", func(c *ssh.Certificate) { c.ValidBefore = 1 })
	err := db.Check("web1:22", cert)
	changed, ok := errors.AsType[*ChangedError](err)
	if !ok {
		t.Fatalf("got %v, want a ChangedError", err)
	}
	if len(changed.Known) != 2 || changed.Known[0].Line != 1 || changed.Known[1].Line != 3 {
		t.Errorf("got known keys %v, want lines 1 and 3", changed.Known)
	}
	if refused, ok := errors.AsType[*CertificateError](err); !ok || refused.CA.Line != 2 || refused.Cert != cert {
		t.Errorf("got certificate error %v, want one by the CA of line 2", refused)
	}
	err = db.Check("web2:22", pub("ed1"))
	unknown, ok := errors.AsType[*UnknownError](err)
	if !ok {
		t.Fatalf("got %v, want an UnknownError", err)
	}
	if len(unknown.SameKey) != 1 || unknown.SameKey[0].Hosts != "other" || unknown.SameKey[0].Line != 4 {
		t.Errorf("got lines with the same key %v, want line 4 of other", unknown.SameKey)
	}
	if _, ok := errors.AsType[*CertificateError](err); ok {
		t.Error("a certificate error without a certificate")
	}
}

func TestHostKeyAlias(t *testing.T) {
	db := open(t, "cluster {ed1}\n[cluster]:2222 {ed2}\n2001:db8::1 {ed3}\n@cert-authority * {ca}\n")
	for _, c := range []struct {
		alias string
		key   ssh.PublicKey
	}{
		{"cluster", pub("ed1")}, {"Cluster", pub("ed1")}, {"[cluster]:2222", pub("ed2")},
		{"2001:db8::1", pub("ed3")}, {"[2001:db8::1]", pub("ed3")},
		{"web1", certificate(t, "ecdsa", "ca", nil)},
	} {
		if err := db.Check(c.alias, c.key); err != nil {
			t.Errorf("%s: %v", c.alias, err)
		}
	}
}

func TestClock(t *testing.T) {
	db := open(t, "@cert-authority * {ca}\n")
	cert := certificate(t, "ed1", "ca", func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = 1000, 2000 })
	for _, c := range []struct {
		now  int64
		want string
	}{{999, "unknown"}, {1000, "known"}, {1999, "known"}, {2000, "unknown"}} {
		db.Now = func() time.Time { return time.Unix(c.now, 0) }
		if got := kind(db.Check("web1:22", cert)); got != c.want {
			t.Errorf("at %d: got %s, want %s", c.now, got, c.want)
		}
	}
}

// sha1Signer signs as CAs did before OpenSSH 8.2.
type sha1Signer struct{ ssh.AlgorithmSigner }

func (s sha1Signer) Algorithms() []string { return []string{ssh.KeyAlgoRSA} }

func TestCertificatesRefused(t *testing.T) {
	signed := func(ca ssh.Signer) *ssh.Certificate {
		cert := certificate(t, "ed1", "ca", nil)
		if err := cert.SignCert(rand.Reader, ca); err != nil {
			t.Fatal(err)
		}
		return cert
	}
	forged := certificate(t, "ed1", "ca", nil)
	forged.ValidPrincipals = []string{"web1", "web2"}
	unsigned := certificate(t, "ed1", "ca", nil)
	unsigned.Signature = nil
	nested := certificate(t, "ed1", "ca", nil)
	nested.SignatureKey = certificate(t, "ca", "ca2", nil)

	for _, c := range []struct {
		name, file string
		cert       *ssh.Certificate
		want       string // a part of the error
	}{
		{"sha1 signature", "@cert-authority * {rsa}\n", signed(sha1Signer{testKeys()["rsa"].Signer.(ssh.AlgorithmSigner)}), "signed with ssh-rsa, which is too weak"},
		{"short rsa ca", "@cert-authority * {weak}\n", signed(testKeys()["weak"]), "too weak"},
		{"forged", "@cert-authority * {ca}\n", forged, "signature does not verify"},
		{"unsigned", "@cert-authority * {ca}\n", unsigned, "without a signature"},
		{"nested", "@cert-authority * {ca}\n", nested, "unknown"},
		{"weak key", "@cert-authority * {ca}\n", certificate(t, "weak", "ca", nil), "too weak"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := open(t, c.file).Check("web1:22", c.cert)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want … %s …", err, c.want)
			}
		})
	}
	if err := open(t, "@cert-authority * {rsa}\n").Check("web1:22", signed(testKeys()["rsa"].Signer)); err != nil {
		t.Errorf("signed with rsa-sha2: %v", err)
	}
}

func TestWeakKeys(t *testing.T) {
	short, err := ssh.NewPublicKey(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 2046, 1), E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	line := "web1 " + authorized(short) + "\n"
	if got := kind(open(t, line).Check("web1:22", short)); got != "weak" {
		t.Errorf("2047 bits: got %s, want weak", got)
	}
	if err := open(t, "").Check("web1:22", nil); err == nil {
		t.Error("no key at all is accepted")
	}
}

// TestConcurrent looks up and learns from many goroutines. Hashed lines that
// one name has taken must not be missed by another.
func TestConcurrent(t *testing.T) {
	const n = 300
	var text strings.Builder
	names := []string{"ed1", "rsa", "ecdsa"}
	for i := range n {
		fmt.Fprintf(&text, "%s {%s}\n", hashName(fmt.Sprintf("web%d", i)), names[i%3])
	}
	db := open(t, text.String())
	var wg sync.WaitGroup
	for start := range 4 {
		wg.Go(func() {
			for i := range n {
				i = (i*7 + start*n/4) % n
				addr := fmt.Sprintf("web%d:22", i)
				first := formatOf(db.Algorithms(addr)[0])
				if key := names[i%3]; key == "rsa" && first != ssh.CertAlgoRSAv01 {
					t.Errorf("%s is offered %s first", addr, first)
				}
				if err := db.Check(addr, pub(names[i%3])); err != nil {
					t.Error(err)
				}
				if got := kind(db.Check(addr, pub("ed2"))); got != "changed" {
					t.Errorf("%s with another key: got %s, want changed", addr, got)
				}
				if got := kind(db.Check("new-"+addr, pub("ed1"))); got != "unknown" && got != "known" {
					t.Errorf("new-%s: got %s", addr, got)
				}
				if err := db.Learn("new-"+addr, pub("ed1")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
