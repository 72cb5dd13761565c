package shoal_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// newKey makes a private key, and its text.
func newKey(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

// encryptedKey is a key that secret opens, with as few rounds of bcrypt as there
// can be: more of them take long.
func encryptedKey(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	return opened(t, `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABBw1Cy7LW
OZEcKcnt8szdX3AAAAAQAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIB9jyylnbdJ0bZwW
4CYoKh9mKGbLHPpTmti1w3lOzMqbAAAAkMTOk5FHmG58KezExVEHjnNBrSm2gGYb5/oIVf
B/UVeoI7MwYpHlegoX6qcyFvviv0JjOvwdbJFrCLXf60Nw/sgiHMPpFjHM7imUlMMneo98
CiAeSR+7R/mCfIzQZ/7AyK7DeZOw7QaG+yQDRAVLh6BLFvM3pNMW4s/06uiNesnEDAg8PJ
wLqxmiwbCcLGtAkg==
-----END OPENSSH PRIVATE KEY-----
`)
}

// sealedKey is one whose file does not tell the public key.
func sealedKey(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	return opened(t, `-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,BBA26FC88668D88890EC25B135800CAC

neHWUpIZlYx4aJ+Veh39dqxR+PZM1x0Jf16U/yZwwF4w4PmVVWFuP/GIYMmZjMzJ
yBL5rF8RTHRsCE/pcthA634GRAShpaj0bhwb90cKU7tnfjXyTHLNTrLespkpDWRO
4xsHEdT7cYWCGq+L3FesYjJ0JBEfULOFkUdb3q1ISnM=
-----END EC PRIVATE KEY-----
`)
}

func opened(t *testing.T, text string) (ssh.Signer, []byte) {
	t.Helper()
	signer, err := ssh.ParsePrivateKeyWithPassphrase([]byte(text), []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return signer, []byte(text)
}

// foreignKey is an encrypted key that no server of a test accepts.
const foreignKey = `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABA/FQSNaB
2/xPKjn6c0QqkeAAAAAQAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIOfFpEACTJXh/UzB
R1XwSlweOJkMvmqIYnI9Pzqo2aAtAAAAkGfF/B7Sp9nw5DptslPLvitXSl51ECYabynF5j
84lhQ+2i2cbyTpdg40DpDcx9D1cTfm+NoTNpZfBGXLVFwzSCqVHj936/vgQF6IF1XJK8VY
xQuZTIo+f3lHZ8ozNlDSiHUrK098Zg8lzVxgRoJx/tJTVJLVNc5ZuiCAA7KThLDUSgCGvo
wI42ud8eU5hPUz+w==
-----END OPENSSH PRIVATE KEY-----
`

// keyUser may log in with the key.
func keyUser(signer ssh.Signer) []sshtest.User {
	return []sshtest.User{{Name: sshtest.DefaultUser, Keys: []ssh.PublicKey{signer.PublicKey()}}}
}

// newKeys makes n keys.
func newKeys(t *testing.T, n int) (signers []ssh.Signer) {
	t.Helper()
	for range n {
		s, _ := newKey(t)
		signers = append(signers, s)
	}
	return signers
}

// offers are the fingerprints of the keys the server was offered, in order.
func offers(f *sshtest.Fleet) (keys []string) {
	for _, e := range eventsOf(f, sshtest.EventKeyOffer) {
		if len(keys) == 0 || keys[len(keys)-1] != e.Key { // with its signature it comes again
			keys = append(keys, e.Key)
		}
	}
	return keys
}

func fingerprints(signers ...ssh.Signer) (prints []string) {
	for _, s := range signers {
		prints = append(prints, ssh.FingerprintSHA256(s.PublicKey()))
	}
	return prints
}

// setHome makes a folder the user's home, without any agent.
func setHome(t *testing.T, dir string) {
	t.Helper()
	t.Setenv("HOME", dir)
	t.Setenv("USERPROFILE", dir)
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(dir, "no agent"))
}

// A key from a file, from memory and from the program.
func TestKeys(t *testing.T) {
	conform(t, "3.1 test_pkey_from_memory", "3.2 test_pkey_from_memory", "3.4 test_pkey_from_memory", "3.5 test_pkey_from_memory",
		"3.1 test_pssh_client_override_allow_agent_authentication", "3.2 test_manual_auth")
	f, c := memoryFleet(t, sshtest.Config{})
	home := t.TempDir()
	setHome(t, home)
	if err := os.WriteFile(filepath.Join(home, "mykey"), f.ClientKeyPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, auth := range []shoal.Auth{
		shoal.KeyFile(writeFile(t, "key", f.ClientKeyPEM())), shoal.KeyFile("~/mykey"),
		shoal.KeyBytes(f.ClientKeyPEM()), shoal.Key(f.ClientSigner()),
	} {
		h := shoal.Host{Name: fmt.Sprint(auth), Addr: "host0", Auth: []shoal.Auth{auth}}
		r, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "hostname"}))
		if err != nil || r[0].AuthMethod != "publickey" {
			t.Errorf("%v: by %q, %v", auth, r[0].AuthMethod, err)
		}
		if n := len(eventsOf(f, sshtest.EventConnect)); n != i+1 {
			t.Errorf("%v: %d connections, want each way to log in to have its own", auth, n)
		}
	}
}

// The real server and each kind of Auth with a key.
func TestKeysOpenSSH(t *testing.T) {
	conform(t, "3.1 test_pkey_from_memory", "3.4 test_pkey_from_memory")
	c, h, s := openssh(t)
	text, err := os.ReadFile(s.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, auth := range []shoal.Auth{shoal.KeyFile(s.KeyFile), shoal.KeyBytes(text), shoal.Key(s.Signer)} {
		h.Auth = []shoal.Auth{auth}
		r, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "echo ok"}))
		if err != nil || r[0].AuthMethod != "publickey" || r[0].Value.Text() != "ok\n" {
			t.Errorf("%v: %q by %q, %v", auth, r[0].Value.Text(), r[0].AuthMethod, err)
		}
	}
}

// Files that cannot serve are an error of the hosts that need them, which names
// the file; what else there is is tried.
func TestBadKeyFiles(t *testing.T) {
	conform(t, "3.1 test_bad_pkey_path", "3.4 test_bad_pkey_path", "3.2 test_failed_auth")
	t.Parallel()
	f, c := memoryFleet(t, sshtest.Config{})
	good := f.ClientKeyPEM()
	missing := filepath.Join(t.TempDir(), "nowhere", "id")
	paths := map[string]string{
		"missing": missing, "folder": t.TempDir(), "empty": writeFile(t, "k", nil),
		"noise": writeFile(t, "k", []byte("not a key\n")), "cut": writeFile(t, "k", good[:len(good)/2]),
		"public": writeFile(t, "k", f.AuthorizedKey()),
	}
	if runtime.GOOS != "windows" {
		open := writeFile(t, "k", good)
		if err := os.Chmod(open, 0o644); err != nil {
			t.Fatal(err)
		}
		paths["open"] = open
	}
	for name, path := range paths {
		_, err := c.Conn(testContext(t), shoal.Host{Name: "host0", Auth: []shoal.Auth{shoal.KeyFile(path)}})
		he := wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
		if !strings.Contains(he.Error(), filepath.Base(path)) {
			t.Errorf("%s: %q does not name the file", name, he)
		}
		if got := errors.Is(err, fs.ErrNotExist); got != (name == "missing") {
			t.Errorf("%s: %v is fs.ErrNotExist: %v", name, err, got)
		}
		conn, err := c.Conn(testContext(t), shoal.Host{Name: "host0", Auth: []shoal.Auth{shoal.KeyFile(path), shoal.KeyBytes(good)}})
		if err != nil {
			t.Errorf("%s, and a good key behind it: %v", name, err)
			continue
		}
		conn.Close()
	}
	if n := len(offers(f)); n != 1 {
		t.Errorf("%d different keys were offered, want the good one", n)
	}
}

// Keys are offered in the order of Auth, each once, at most five, and after
// them a password still has its turn.
func TestKeyOrder(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, 8)
	auth := func(signers ...ssh.Signer) (list []shoal.Auth) {
		for _, s := range signers {
			list = append(list, shoal.Key(s))
		}
		return list
	}
	var stranger, _ = newKey(t)
	for _, tt := range []struct {
		name   string
		user   sshtest.User
		auth   []shoal.Auth
		offers []string
		want   string
		kind   shoal.Kind
	}{
		{"second", sshtest.User{Keys: []ssh.PublicKey{keys[1].PublicKey()}}, auth(keys[:3]...), fingerprints(keys[:2]...), "publickey", ""},
		{"fifth", sshtest.User{Keys: []ssh.PublicKey{keys[4].PublicKey()}}, auth(keys...), fingerprints(keys[:5]...), "publickey", ""},
		{"sixth", sshtest.User{Keys: []ssh.PublicKey{keys[5].PublicKey()}}, auth(keys...), fingerprints(keys[:5]...), "", shoal.KindTooManyKeys},
		{"none of five", sshtest.User{Keys: []ssh.PublicKey{stranger.PublicKey()}}, auth(keys[:5]...), fingerprints(keys[:5]...), "", shoal.KindAuthFailed},
		{"twice", sshtest.User{Keys: []ssh.PublicKey{keys[1].PublicKey()}}, auth(keys[0], keys[0], keys[1]), fingerprints(keys[:2]...), "publickey", ""},
		{"password at last", sshtest.User{ClientKey: true, Password: "x"}, append(auth(keys...), shoal.Password("x")), fingerprints(keys[:5]...), "password", ""},
		{"password first", sshtest.User{ClientKey: true, Password: "x"}, append([]shoal.Auth{shoal.Password("x")}, auth(keys...)...), nil, "password", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, c := authFleet(t, tt.user, tt.auth...)
			method, err := login(t, c)
			if method != tt.want {
				t.Errorf("logged in by %q, want %q; %v", method, tt.want, err)
			}
			if got := offers(f); !slices.Equal(got, tt.offers) {
				t.Errorf("offered %q, want %q", got, tt.offers)
			}
			if tt.kind != "" {
				wantHostError(t, err, shoal.StageAuth, tt.kind)
			}
			if n := len(eventsOf(f, sshtest.EventConnect)); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// The real server ends a connection after six failures; we stop before it does.
func TestKeyOrderOpenSSH(t *testing.T) {
	c, h, s := openssh(t)
	for _, signer := range newKeys(t, 8) {
		h.Auth = append(h.Auth, shoal.Key(signer))
	}
	_, err := c.Conn(testContext(t), h)
	wantHostError(t, err, shoal.StageAuth, shoal.KindTooManyKeys)
	if strings.Contains(s.Log(), "maximum authentication attempts") {
		t.Error("the server ended the connection for too many attempts")
	}
	h.Auth = slices.Insert(h.Auth, 4, shoal.Key(s.Signer))
	conn, err := c.Conn(testContext(t), h)
	if err != nil {
		t.Fatalf("with the right key in fifth place: %v", err)
	}
	conn.Close()
}

// A server that stops counting sooner than we do.
func TestMaxAuthTries(t *testing.T) {
	t.Parallel()
	f, c := memoryFleet(t, sshtest.Config{MaxAuthTries: 2})
	asked := 0
	c.Host.Auth = nil
	for _, s := range newKeys(t, 4) {
		c.Host.Auth = append(c.Host.Auth, shoal.Key(s))
	}
	c.Host.Auth = append(c.Host.Auth, shoal.Ask(func(context.Context, shoal.Question) (string, error) { asked++; return "", nil }))
	_, err := login(t, c)
	if !errors.Is(err, shoal.ErrAuth) || asked != 0 {
		t.Errorf("got %v, asked %d times", err, asked)
	}
	if got := len(offers(f)); got != 2 {
		t.Errorf("%d keys were offered, want 2", got)
	}
}

// Without Auth the default identity files are used, in OpenSSH's order.
func TestIdentities(t *testing.T) {
	conform(t, "3.2 test_identity_auth", "3.5 test_identity_auth", "3.2 test_identity_auth_failure", "3.5 test_identity_auth_failure")
	home := t.TempDir()
	setHome(t, home)
	f, c := memoryFleet(t, sshtest.Config{})
	c.Host.Auth = nil
	_, err := login(t, c)
	if !errors.Is(err, shoal.ErrAuth) {
		t.Errorf("without any identity: %v", err)
	}
	c.Close()

	other, text := newKey(t)
	ecdsa, err := sshtest.GenerateKey("ecdsa")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"id_ed25519": f.ClientKeyPEM(), "id_ecdsa": text, "id_other": text} {
		if err := os.WriteFile(filepath.Join(home, ".ssh", name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c = newClient(t, f)
	c.Dial, c.Host.Auth = f.Dial, nil
	if method, err := login(t, c); method != "publickey" {
		t.Errorf("by %q, %v", method, err)
	}
	if got, want := offers(f), fingerprints(other, f.ClientSigner()); !slices.Equal(got, want) {
		t.Errorf("offered %q, want %q", got, want)
	}
	_, err = c.Conn(testContext(t), shoal.Host{Name: "host0", Auth: []shoal.Auth{}})
	if !errors.Is(err, shoal.ErrAuth) {
		t.Errorf("an empty Auth does not turn the identities off: %v", err)
	}
	_, err = c.Conn(testContext(t), shoal.Host{Name: "host0", Auth: []shoal.Auth{shoal.Key(ecdsa)}})
	if !errors.Is(err, shoal.ErrAuth) {
		t.Errorf("a key of the host's own is not the only one: %v", err)
	}
	for _, key := range fingerprints(ecdsa) {
		if got := offers(f); got[len(got)-1] != key || len(got) != 3 {
			t.Errorf("offered %q", got)
		}
	}
}

// An encrypted key with its passphrase, a wrong one and none.
func TestEncryptedKey(t *testing.T) {
	conform(t, "3.7 encrypted keys")
	t.Parallel()
	signer, text := encryptedKey(t)
	_, c := memoryFleet(t, sshtest.Config{Users: keyUser(signer)})
	path := writeFile(t, "key", text)
	for _, auth := range []shoal.Auth{shoal.KeyFile(path, secret), shoal.KeyBytes(text, secret)} {
		c.Host.Auth = []shoal.Auth{auth}
		if method, err := login(t, c); method != "publickey" {
			t.Errorf("%v: by %q, %v", auth, method, err)
		}
	}
	for _, auth := range []shoal.Auth{
		shoal.KeyFile(path, "wrong"), shoal.KeyBytes(text, "wrong"), shoal.KeyFile(path), shoal.KeyBytes(text),
	} {
		c.Host.Auth = []shoal.Auth{auth}
		_, err := login(t, c)
		he := wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
		if text := he.Error(); !strings.Contains(text, "passphrase") || strings.Contains(text, "c4n4ry") {
			t.Errorf("%v: got %q", auth, he)
		}
	}
}

// A person is asked for a passphrase once for all hosts, and only where a
// server wants the key.
func TestEncryptedKeyAsk(t *testing.T) {
	t.Parallel()
	for _, key := range []func(*testing.T) (ssh.Signer, []byte){encryptedKey, sealedKey} {
		signer, text := key(t)
		testEncryptedKeyAsk(t, signer, text)
	}
}

func testEncryptedKeyAsk(t *testing.T, signer ssh.Signer, text []byte) {
	f, c := memoryFleet(t, sshtest.Config{Hosts: 10, Users: keyUser(signer)})
	path := writeFile(t, "key", text)
	a := &asker{answers: []string{"wrong", secret}}
	c.Host.Auth = []shoal.Auth{shoal.KeyFile(writeFile(t, "foreign", []byte(foreignKey))), shoal.KeyFile(path), shoal.Ask(a.ask)}
	results, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "true"}))
	if err != nil || len(results) != 10 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	if len(a.asked) != 2 {
		t.Fatalf("asked %d times, want once wrongly and once rightly", len(a.asked))
	}
	for i, q := range a.asked {
		if q.Kind != shoal.AskPassphrase || q.Path != path || q.Attempt != i+1 || q.Echo || !strings.Contains(q.Prompt, path) {
			t.Errorf("question %d: %+v", i, q)
		}
	}
}

// Three wrong passphrases are enough, for all hosts; then comes the next way.
func TestEncryptedKeyAskWrong(t *testing.T) {
	t.Parallel()
	signer, text := encryptedKey(t)
	users := keyUser(signer)
	users[0].Password = "x"
	f, c := memoryFleet(t, sshtest.Config{Hosts: 3, Users: users})
	path := writeFile(t, "key", text)
	a := &asker{answers: slices.Repeat([]string{"wrong"}, 10)}
	c.Host.Auth = []shoal.Auth{shoal.KeyFile(path), shoal.Password("x"), shoal.Ask(a.ask)}
	results, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "true"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.AuthMethod != "password" {
			t.Errorf("%s: by %q", r.Host.Name, r.AuthMethod)
		}
	}
	if len(a.asked) != 3 {
		t.Errorf("asked %d times", len(a.asked))
	}
}

// A caller who leaves while the passphrase is asked for does not spoil the key
// for the next.
func TestEncryptedKeyAskCancelled(t *testing.T) {
	t.Parallel()
	signer, text := encryptedKey(t)
	_, c := memoryFleet(t, sshtest.Config{Users: keyUser(signer)})
	path := writeFile(t, "key", text)
	var asked atomic.Int32
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	c.Host.Auth = []shoal.Auth{shoal.KeyFile(path), shoal.Ask(func(ctx context.Context, _ shoal.Question) (string, error) {
		if asked.Add(1) > 1 {
			return secret, nil
		}
		cancel()
		<-ctx.Done()
		return "", ctx.Err()
	})}
	_, err := c.Conn(ctx, shoal.Host{Name: "host0"})
	if !errors.Is(err, shoal.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	if method, err := login(t, c); method != "publickey" {
		t.Errorf("the next caller: by %q, %v", method, err)
	}
}

// certify signs the key for the fleet's user.
func certify(t *testing.T, ca, key ssh.Signer, user string, before time.Time) *ssh.Certificate {
	t.Helper()
	cert := &ssh.Certificate{
		Key: key.PublicKey(), CertType: ssh.UserCert, KeyId: "test", ValidPrincipals: []string{user},
		ValidAfter: 1, ValidBefore: uint64(before.Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": ""}},
	}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	return cert
}

// A certificate is used from the file beside the key and from the program, and
// where it is no good the plain key is.
func TestCertificate(t *testing.T) {
	conform(t, "3.4 test_cert_auth")
	t.Parallel()
	keys := newKeys(t, 1)
	ca := keys[0]
	key, text := newKey(t)
	later, long := time.Now().Add(time.Hour), time.Unix(1e9, 0)
	for _, tt := range []struct {
		name string
		user sshtest.User
		cert *ssh.Certificate
		want []string // fingerprints offered; the last one let us in
		fail bool
	}{
		{"good", sshtest.User{CAs: []ssh.PublicKey{ca.PublicKey()}}, certify(t, ca, key, sshtest.DefaultUser, later), []string{"cert"}, false},
		{"expired", sshtest.User{CAs: []ssh.PublicKey{ca.PublicKey()}}, certify(t, ca, key, sshtest.DefaultUser, long), []string{"cert", "key"}, true},
		{"another user's", sshtest.User{CAs: []ssh.PublicKey{ca.PublicKey()}}, certify(t, ca, key, "root", later), []string{"cert", "key"}, true},
		{"plain key behind it", sshtest.User{Keys: []ssh.PublicKey{key.PublicKey()}}, certify(t, ca, key, sshtest.DefaultUser, later), []string{"cert", "key"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := writeFile(t, "id", text)
			if err := os.WriteFile(path+"-cert.pub", ssh.MarshalAuthorizedKey(tt.cert), 0o644); err != nil {
				t.Fatal(err)
			}
			signer, err := ssh.NewCertSigner(tt.cert, key)
			if err != nil {
				t.Fatal(err)
			}
			print := map[string]string{"cert": ssh.FingerprintSHA256(tt.cert), "key": ssh.FingerprintSHA256(key.PublicKey())}
			var want []string
			for _, name := range tt.want {
				want = append(want, print[name])
			}
			for _, auth := range [][]shoal.Auth{{shoal.KeyFile(path)}, {shoal.Key(signer), shoal.Key(key)}} {
				f, c := authFleet(t, tt.user, auth...)
				_, err := login(t, c)
				if (err != nil) != tt.fail {
					t.Errorf("%v: %v", auth, err)
				}
				if got := offers(f); !slices.Equal(got, want) {
					t.Errorf("%v: offered %q, want %q", auth, got, want)
				}
			}
		})
	}
}

// The real server trusts a certificate by its authority alone.
func TestCertificateOpenSSH(t *testing.T) {
	conform(t, "3.4 test_cert_auth")
	ca, _ := newKey(t)
	trusted := writeFile(t, "ca.pub", ssh.MarshalAuthorizedKey(ca.PublicKey()))
	c, h, s := openssh(t, "TrustedUserCAKeys "+trusted)
	key, text := newKey(t)
	path := writeFile(t, "id", text)
	h.Auth = []shoal.Auth{shoal.KeyFile(path)}
	_, err := c.Conn(testContext(t), h)
	wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
	cert := certify(t, ca, key, s.User, time.Now().Add(time.Hour))
	if err := os.WriteFile(path+"-cert.pub", ssh.MarshalAuthorizedKey(cert), 0o644); err != nil {
		t.Fatal(err)
	}
	again := &shoal.Client{Host: c.Host} // files are read once
	defer again.Close()
	r, err := shoal.Gather(again.Run(testContext(t), seq(h), shoal.Command{Line: "echo ok"}))
	if err != nil || r[0].Value.Text() != "ok\n" {
		t.Errorf("%q, %v", r[0].Value.Text(), err)
	}
	if !strings.Contains(s.Log(), "ED25519-CERT") {
		t.Error("the server did not see a certificate")
	}
}

// A key file is read once for all hosts, also when it changes meanwhile.
func TestKeyFileReadOnce(t *testing.T) {
	t.Parallel()
	f, c := memoryFleet(t, sshtest.Config{Hosts: 2})
	path := writeFile(t, "key", f.ClientKeyPEM())
	c.Host.Auth = []shoal.Auth{shoal.KeyFile(path)}
	for _, name := range []string{"host0", "host1"} {
		conn, err := c.Conn(testContext(t), shoal.Host{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if err := os.Remove(path); err != nil && name == "host0" {
			t.Fatal(err)
		}
	}
}
