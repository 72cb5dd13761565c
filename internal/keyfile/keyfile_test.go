package keyfile

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const passphrase = "correct horse"

// answer answers every question for a passphrase.
func answer(text string) Passphrase {
	return func(int) ([]byte, error) { return []byte(text), nil }
}

// wrongOnce answers wrong and then not at all, which saves time.
func wrongOnce(attempt int) ([]byte, error) { return []byte([]string{"wrong", ""}[attempt-1]), nil }

// tool runs an outside program, the oracle of a test.
func tool(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	opensshtest.Need(t, program)
	cmd := exec.Command(program, args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, complaint.Bytes())
	}
	return out
}

// keygen makes a key with ssh-keygen and returns its file.
func keygen(t *testing.T, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "id")
	tool(t, "ssh-keygen", append([]string{"-q", "-a", "1", "-C", "a comment", "-f", path}, args...)...)
	return path
}

// checkKey loads an encrypted or plain key and compares it with its .pub file.
func checkKey(t *testing.T, path string, ask Passphrase) {
	t.Helper()
	want, err := readPublic(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := Load(path, ask)
	if err != nil {
		t.Fatal(err)
	}
	checkSigner(t, signer, want)
}

// checkSigner signs with all algorithms of a key, of which none may use SHA-1.
func checkSigner(t *testing.T, signer ssh.Signer, want ssh.PublicKey) {
	t.Helper()
	if !equal(signer.PublicKey(), want) {
		t.Fatalf("got the key %s, want %s", ssh.FingerprintSHA256(signer.PublicKey()), ssh.FingerprintSHA256(want))
	}
	multi := signer.(ssh.MultiAlgorithmSigner)
	data := []byte("what to sign")
	for _, algorithm := range append(multi.Algorithms(), "") {
		sig, err := multi.SignWithAlgorithm(rand.Reader, data, algorithm)
		if err != nil {
			t.Fatal(err)
		}
		if err := want.Verify(data, sig); err != nil {
			t.Errorf("with %q: %v", algorithm, err)
		}
		if sig.Format == ssh.KeyAlgoRSA || algorithm != "" && sig.Format != algorithm {
			t.Errorf("with %q: the signature is %s", algorithm, sig.Format)
		}
	}
	if sig, err := signer.Sign(rand.Reader, data); err != nil || sig.Format != multi.Algorithms()[0] {
		t.Errorf("Sign: got %v, %v", sig, err)
	}
	if _, err := multi.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSA); err == nil {
		t.Error("signs with ssh-rsa, which is SHA-1")
	}
}

func TestLoadFormats(t *testing.T) {
	types := map[string][]string{
		"rsa":      {"-t", "rsa", "-b", "2048"},
		"ecdsa256": {"-t", "ecdsa", "-b", "256"},
		"ecdsa384": {"-t", "ecdsa", "-b", "384"},
		"ecdsa521": {"-t", "ecdsa", "-b", "521"},
		"ed25519":  {"-t", "ed25519"},
	}
	for name, args := range types {
		for _, format := range []string{"RFC4716", "PEM", "PKCS8"} {
			if name == "ed25519" && format != "RFC4716" {
				continue // ssh-keygen knows that one form only
			}
			args := slices.Clip(slices.Concat(args, []string{"-m", format})) // two add to it at once
			t.Run(name+"/"+format, func(t *testing.T) {
				t.Parallel()
				checkKey(t, keygen(t, append(args, "-N", "")...), nil)
			})
			t.Run(name+"/"+format+"/encrypted", func(t *testing.T) {
				t.Parallel()
				path := keygen(t, append(args, "-N", passphrase)...)
				checkKey(t, path, answer(passphrase))
				if name == "ecdsa256" {
					checkPassphrases(t, path)
				}
			})
		}
	}
}

// checkPassphrases loads a key with all but the right passphrase.
func checkPassphrases(t *testing.T, path string) {
	t.Helper()
	var asked []int
	_, err := Load(path, func(attempt int) ([]byte, error) {
		asked = append(asked, attempt)
		return []byte("wrong"), nil
	})
	problem, ok := errors.AsType[*PassphraseError](err)
	if !ok || !problem.Wrong || !strings.Contains(err.Error(), path) {
		t.Errorf("with a wrong passphrase: got error %v", err)
	}
	if want := []int{1, 2, 3}; !slices.Equal(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
	for _, ask := range []Passphrase{nil, answer("")} {
		_, err = Load(path, ask)
		if problem, ok := errors.AsType[*PassphraseError](err); !ok || problem.Wrong {
			t.Errorf("without a passphrase: got error %v", err)
		}
	}
	_, err = Load(path, func(attempt int) ([]byte, error) {
		return []byte([]string{"wrong", passphrase}[attempt-1]), nil
	})
	if err != nil {
		t.Errorf("right at the second attempt: %v", err)
	}
	if _, err = Load(path, func(int) ([]byte, error) { return nil, fs.ErrClosed }); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("asking fails: got error %v", err)
	}
}

func TestLoadCiphers(t *testing.T) {
	ciphers := strings.Fields(string(tool(t, "ssh", "-Q", "cipher")))
	for _, cipher := range ciphers {
		t.Run(cipher, func(t *testing.T) {
			t.Parallel()
			path := keygen(t, "-t", "ed25519", "-N", passphrase, "-Z", cipher)
			checkKey(t, path, answer(passphrase))
			_, err := Load(path, wrongOnce)
			if problem, ok := errors.AsType[*PassphraseError](err); !ok || !problem.Wrong {
				t.Errorf("with a wrong passphrase: got error %v", err)
			}
		})
	}
	for name := range opensshCiphers() {
		if !slices.Contains(ciphers, name) && name != "rijndael-cbc@lysator.liu.se" {
			t.Errorf("%s was not tried", name)
		}
	}
}

// TestLoadRounds checks the key derivation beyond one round and one block.
func TestLoadRounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "id")
	tool(t, "ssh-keygen", "-q", "-t", "ed25519", "-a", "3", "-N", passphrase, "-f", path)
	checkKey(t, path, answer(passphrase))
}

// TestLoadCipherDamaged flips a bit of the encrypted part, which the ciphers
// that authenticate must notice.
func TestLoadCipherDamaged(t *testing.T) {
	for _, cipher := range []string{"aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"} {
		path := keygen(t, "-t", "ed25519", "-N", passphrase, "-Z", cipher)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		block.Bytes[len(block.Bytes)-17] ^= 1 // before the tag of 16 bytes
		_, err = Parse(pem.EncodeToMemory(block), func(attempt int) ([]byte, error) {
			return []byte([]string{passphrase, ""}[attempt-1]), nil
		})
		if problem, ok := errors.AsType[*PassphraseError](err); !ok || !problem.Wrong {
			t.Errorf("%s: got error %v", cipher, err)
		}
	}
}

// needOpenSSL3 leaves the test out where openssl is another program, as the
// LibreSSL of macOS, which has not all the options.
func needOpenSSL3(t *testing.T) {
	t.Helper()
	version := string(tool(t, "openssl", "version"))
	if !strings.HasPrefix(version, "OpenSSL 3.") {
		opensshtest.Need(t, "OpenSSL 3 instead of "+strings.TrimSpace(version))
	}
}

func TestLoadOpenSSL(t *testing.T) {
	needOpenSSL3(t)
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	tool(t, "openssl", "genrsa", "-traditional", "-out", path("rsa"), "2048")
	tool(t, "openssl", "genpkey", "-algorithm", "ed25519", "-out", path("ed25519"))
	tool(t, "openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", path("params")) // parameters come first
	pass := "pass:" + passphrase
	for _, cipher := range []string{"aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des3"} {
		tool(t, "openssl", "pkcs8", "-topk8", "-v2", cipher, "-in", path("rsa"), "-passout", pass, "-out", path("pkcs8 "+cipher))
	}
	for _, prf := range []string{"hmacWithSHA1", "hmacWithSHA256", "hmacWithSHA384", "hmacWithSHA512"} {
		tool(t, "openssl", "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", prf, "-iter", "77",
			"-in", path("ed25519"), "-passout", pass, "-out", path("pkcs8 "+prf))
	}
	for _, cipher := range []string{"-aes128", "-aes192", "-aes256", "-des3"} {
		tool(t, "openssl", "rsa", "-traditional", cipher, "-in", path("rsa"), "-passout", pass, "-out", path("pem"+cipher))
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 15 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(file.Name(), func(t *testing.T) {
			key := path(file.Name())
			public := tool(t, "openssl", "pkey", "-pubout", "-outform", "DER", "-in", key, "-passin", pass)
			want := fromPKIX(t, public)
			if strings.Contains(file.Name(), "-") || strings.Contains(file.Name(), "hmac") {
				if _, err := Load(key, answer("wrong")); err == nil {
					t.Error("loaded with a wrong passphrase")
				}
			}
			signer, err := Load(key, answer(passphrase))
			if err != nil {
				t.Fatal(err)
			}
			checkSigner(t, signer, want)
		})
	}
	for name, args := range map[string][]string{
		"not PBKDF2":            {"pkcs8", "-topk8", "-scrypt"},
		"outdated or unknown":   {"pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES"},
		"neither AES nor 3DES":  {"pkcs8", "-topk8", "-v2", "camellia-128-cbc"},
		"the unknown function ": {"pkcs8", "-topk8", "-v2", "aes128", "-v2prf", "hmacWithSHA224"},
	} {
		tool(t, "openssl", append(args, "-in", path("rsa"), "-passout", pass, "-out", path("odd"))...)
		if _, err := Load(path("odd"), answer(passphrase)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("openssl %v: got error %v, want one with %q", args, err, name)
		}
	}
}

// fromPKIX reads the public key that openssl prints.
func fromPKIX(t *testing.T, der []byte) ssh.PublicKey {
	t.Helper()
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func TestLoadAll(t *testing.T) {
	for typ, pass := range map[string]string{"rsa": "", "ed25519": passphrase} {
		path := keygen(t, "-t", typ, "-N", pass)
		ca := keygen(t, "-t", "ed25519", "-N", "")
		plain, err := LoadAll(path, answer(passphrase))
		if err != nil || len(plain) != 1 {
			t.Fatalf("without a certificate: got %d signers, %v", len(plain), err)
		}
		tool(t, "ssh-keygen", "-q", "-s", ca, "-I", "me", "-n", "root", path+".pub")
		for name, load := range map[string]func(string, Passphrase) ([]ssh.Signer, error){"LoadAll": LoadAll, "LazyAll": LazyAll} {
			both, err := load(path, answer(passphrase))
			if err != nil || len(both) != 2 {
				t.Fatalf("%s: got %d signers, %v", name, len(both), err)
			}
			cert, ok := both[0].PublicKey().(*ssh.Certificate)
			if !ok || cert.KeyId != "me" {
				t.Errorf("%s: the first signer is for %v", name, both[0].PublicKey())
			}
			if !equal(both[1].PublicKey(), plain[0].PublicKey()) {
				t.Errorf("%s: the second signer is not for the key", name)
			}
			got, want := both[0].(ssh.MultiAlgorithmSigner).Algorithms(), both[1].(ssh.MultiAlgorithmSigner).Algorithms()
			if !slices.Equal(got, want) {
				t.Errorf("%s: the certificate signs with %v, want %v", name, got, want)
			}
		}
		checkBadCertificates(t, path, ca)
	}
}

func checkBadCertificates(t *testing.T, path, ca string) {
	t.Helper()
	other := keygen(t, "-t", "ed25519", "-N", "")
	tool(t, "ssh-keygen", "-q", "-s", ca, "-I", "x", other+".pub")
	foreign := readFile(t, other+certSuffix)
	tool(t, "ssh-keygen", "-q", "-h", "-s", ca, "-I", "x", other+".pub")
	for want, text := range map[string][]byte{
		"for another key":   foreign,
		"for hosts":         readFile(t, other+certSuffix),
		"plain public key":  readFile(t, path+".pub"),
		"no public key":     []byte("garbage"),
		"larger than 10485": bytes.Repeat([]byte("x"), MaxSize+1),
	} {
		if err := os.WriteFile(path+certSuffix, text, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := LazyAll(path, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), certSuffix) {
			t.Errorf("got error %v, want %q and the file", err, want)
		}
	}
}

func TestLazy(t *testing.T) {
	for _, format := range []string{"RFC4716", "PEM", "PKCS8"} {
		path := keygen(t, "-t", "ecdsa", "-m", format, "-N", passphrase)
		var asked atomic.Int32
		ask := func(int) ([]byte, error) {
			asked.Add(1)
			return []byte(passphrase), nil
		}
		signer, err := Lazy(path, ask)
		if err != nil {
			t.Fatal(err)
		}
		want, err := PublicKey(path)
		if err != nil || !equal(signer.PublicKey(), want) || asked.Load() != 0 {
			t.Fatalf("%s: got %v, want %v, %v; asked %d times", format, signer.PublicKey(), want, err, asked.Load())
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { checkSigner(t, signer, want) })
		}
		all.Wait()
		if got := asked.Load(); got != 1 {
			t.Errorf("%s: asked %d times, want once", format, got)
		}
	}
}

// TestLazyWithoutPublic decrypts at once what tells nothing before.
func TestLazyWithoutPublic(t *testing.T) {
	path := keygen(t, "-t", "ecdsa", "-m", "PEM", "-N", passphrase)
	public := path + ".pub"
	want, err := readPublic(public)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(public); err != nil {
		t.Fatal(err)
	}
	signer, err := Lazy(path, answer(passphrase))
	if err != nil || !equal(signer.PublicKey(), want) {
		t.Fatalf("got %v, %v", signer, err)
	}
	if signer, err = Lazy(path, nil); err == nil || signer != nil {
		t.Errorf("without a passphrase: got %v", signer)
	}
	if _, err := PublicKey(path); err == nil {
		t.Error("PublicKey found one")
	}
}

func TestLazyErrors(t *testing.T) {
	path := keygen(t, "-t", "ecdsa", "-m", "PEM", "-N", passphrase)
	asked := 0
	signer, err := Lazy(path, func(int) ([]byte, error) {
		asked++
		return []byte("wrong"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		sig, err := signer.Sign(rand.Reader, nil)
		if problem, ok := errors.AsType[*PassphraseError](err); !ok || !problem.Wrong || sig != nil {
			t.Errorf("got %v, %v", sig, err)
		}
	}
	if asked != MaxAttempts {
		t.Errorf("asked %d times, want %d", asked, MaxAttempts)
	}

	other := keygen(t, "-t", "ecdsa", "-N", "")
	if err := os.Rename(other+".pub", path+".pub"); err != nil {
		t.Fatal(err)
	}
	if signer, err = Lazy(path, answer(passphrase)); err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign(rand.Reader, nil); err == nil || !strings.Contains(err.Error(), ".pub") {
		t.Errorf("the .pub file of another key: got error %v", err)
	}
}

func TestPublicKey(t *testing.T) {
	path := keygen(t, "-t", "ed25519", "-N", passphrase)
	want, err := readPublic(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	check := func(path string) {
		t.Helper()
		if got, err := PublicKey(path); err != nil || !equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	check(path)
	check(path + ".pub") // named instead of the key, for one in an agent
	if err := os.Rename(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	check(path) // the .pub file alone
	check(path + "2")
	if _, err := PublicKey(path + "3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got error %v, want %v", err, fs.ErrNotExist)
	}
}

func TestDefaults(t *testing.T) {
	opensshtest.Need(t, "ssh")
	settings := tool(t, "ssh", "-G", "-F", "none", "host")
	var of []string
	for line := range strings.Lines(string(settings)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "identityfile ~/.ssh/"); ok {
			of = append(of, filepath.Join("home", ".ssh", path))
		}
	}
	at := 0
	for _, path := range Defaults("home") {
		i := slices.Index(of, path)
		if i < at {
			t.Errorf("%s is not where ssh has it: %v", path, of)
		}
		at = i
	}
}

func TestLogin(t *testing.T) {
	rsa, ecdsa, ca := keygen(t, "-t", "rsa", "-N", passphrase), keygen(t, "-t", "ecdsa", "-N", ""), keygen(t, "-t", "ed25519", "-N", "")
	s := opensshtest.Start(t, opensshtest.Config{
		AuthorizedKeys: []string{string(readFile(t, rsa+".pub"))},
		Extra:          []string{`TrustedUserCAKeys "` + ca + `.pub"`},
	})
	tool(t, "ssh-keygen", "-q", "-s", ca, "-I", "me", "-n", s.User, ecdsa+".pub")
	for path, want := range map[string]string{rsa: "RSA SHA256:", ecdsa: "ECDSA-CERT SHA256:"} {
		signers, err := LazyAll(path, answer(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		c, err := ssh.Dial("tcp", s.Addr, &ssh.ClientConfig{
			User:            s.User,
			Auth:            []ssh.AuthMethod{ssh.PublicKeys(signers...)},
			HostKeyCallback: ssh.FixedHostKey(s.HostKey),
		})
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		c.Close()
		s.WaitLog("ssh2: "+want, 1)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// newKeyText is a plain key of OpenSSH's format, made without outside programs.
func newKeyText(tb testing.TB) []byte {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}
