package keyfile

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func encode(kind string, data []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data})
}

// opensshText is a key file of OpenSSH's format with those parts.
func opensshText(k opensshKey) []byte {
	return encode("OPENSSH PRIVATE KEY", append([]byte(opensshMagic), ssh.Marshal(k)...))
}

// encryptedText is an encrypted key as far as anybody can tell without its
// passphrase.
func encryptedText(tb testing.TB, change func(*opensshKey, *bcryptOptions)) []byte {
	tb.Helper()
	k, err := decodeOpenSSH(decoded(tb, newKeyText(tb)))
	if err != nil {
		tb.Fatal(err)
	}
	k.Cipher, k.KDF = "aes256-ctr", "bcrypt"
	options := bcryptOptions{Salt: []byte("salt"), Rounds: 1}
	change(k, &options)
	k.KDFOptions = ssh.Marshal(options)
	return opensshText(*k)
}

func decoded(tb testing.TB, text []byte) []byte {
	tb.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		tb.Fatalf("no PEM: %q", text)
	}
	return block.Bytes
}

// weakRSA is a key of 1024 bits in two formats.
func weakRSA(tb testing.TB) (traditional, openssh []byte) {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		tb.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		tb.Fatal(err)
	}
	return encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), pem.EncodeToMemory(block)
}

// dsaPKCS8 is the shell of a DSA key.
func dsaPKCS8(tb testing.TB) []byte {
	tb.Helper()
	der, err := asn1.Marshal(struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}{Algorithm: pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}}})
	if err != nil {
		tb.Fatal(err)
	}
	return encode("PRIVATE KEY", der)
}

// publicBlob is the wire form of a public key of any type.
func publicBlob(typ string, fields ...[]byte) []byte {
	blob := ssh.Marshal(struct{ Type string }{typ})
	for _, field := range fields {
		blob = append(blob, ssh.Marshal(struct{ Field []byte }{field})...)
	}
	return blob
}

func TestParseErrors(t *testing.T) {
	weak, weakOpenSSH := weakRSA(t)
	ed25519 := make([]byte, 32)
	point := bytes.Repeat([]byte{1}, 128)
	tests := []struct {
		name string
		text []byte
		want string
	}{
		{"empty", nil, "the file is empty"},
		{"blank", []byte(" \r\n"), "the file is empty"},
		{"prose", []byte("-----BEGIN nothing"), "no private key in it"},
		{"PPK", []byte("PuTTY-User-Key-File-3: ssh-ed25519\r\n"), "puttygen"},
		{"SSH1", []byte("SSH PRIVATE KEY FILE FORMAT 1.1\n\x00"), "protocol 1"},
		{"ssh.com", []byte("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n"), "ssh.com"},
		{"public line", []byte("ssh-ed25519 " + "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA me\n"), "a public key"},
		{"public RFC 4716", []byte("---- BEGIN SSH2 PUBLIC KEY ----\n"), "a public key"},
		{"public PKIX", encode("PUBLIC KEY", []byte("x")), "a public key"},
		{"certificate", encode("CERTIFICATE", []byte("x")), "a public key"},
		{"unknown kind", encode("ODD PRIVATE KEY", []byte("x")), `unknown kind of private key "ODD PRIVATE KEY"`},
		{"DSA", encode("DSA PRIVATE KEY", []byte("x")), "DSA"},
		{"DSA in PKCS8", dsaPKCS8(t), "DSA"},
		{"DSA of OpenSSH", encryptedText(t, func(k *opensshKey, _ *bcryptOptions) {
			k.Public = publicBlob("ssh-dss", bytes.Repeat([]byte{1}, 128), bytes.Repeat([]byte{1}, 20), []byte{2}, []byte{3})
		}), "DSA"},
		{"security key", encryptedText(t, func(k *opensshKey, _ *bcryptOptions) {
			k.Public = publicBlob(ssh.KeyAlgoSKED25519, ed25519, []byte("ssh:"))
		}), "security key"},
		{"weak RSA", weak, "1024 bits"},
		{"weak RSA of OpenSSH", weakOpenSSH, "1024 bits"},
		{"weak RSA encrypted", encryptedText(t, func(k *opensshKey, _ *bcryptOptions) {
			k.Public = publicBlob("ssh-rsa", []byte{1, 0, 1}, point[:127])
		}), "1009 bits"},
		{"long PKCS1", encode("RSA PRIVATE KEY", make([]byte, maxDER+1)), "longer"},
		{"noise PKCS1", encode("RSA PRIVATE KEY", point), "damaged"},
		{"noise PKCS8", encode("PRIVATE KEY", point), "damaged"},
		{"noise encrypted PKCS8", encode("ENCRYPTED PRIVATE KEY", point), "damaged"},
		{"noise OpenSSH", encode("OPENSSH PRIVATE KEY", point), "damaged"},
		{"cut OpenSSH", encode("OPENSSH PRIVATE KEY", []byte(opensshMagic+"\x00\x00")), "damaged"},
		{"two keys", encryptedText(t, func(k *opensshKey, _ *bcryptOptions) { k.Count = 2 }), "2 keys"},
		{"unknown cipher", encryptedText(t, func(k *opensshKey, _ *bcryptOptions) { k.Cipher = "rot13" }), `cipher "rot13"`},
		{"unknown KDF", encryptedText(t, func(k *opensshKey, _ *bcryptOptions) { k.KDF = "none" }), `derivation "none"`},
		{"KDF without cipher", encryptedText(t, func(k *opensshKey, _ *bcryptOptions) { k.Cipher = "none" }), "damaged"},
		{"no rounds", encryptedText(t, func(_ *opensshKey, o *bcryptOptions) { o.Rounds = 0 }), "damaged"},
		{"no salt", encryptedText(t, func(_ *opensshKey, o *bcryptOptions) { o.Salt = nil }), "damaged"},
		{"rounds bomb", encryptedText(t, func(_ *opensshKey, o *bcryptOptions) { o.Rounds = 1 << 31 }), "2147483648 rounds"},
		{"odd length", encryptedText(t, func(k *opensshKey, _ *bcryptOptions) { k.Private = k.Private[:9] }), "impossible length"},
		{"bad public", encryptedText(t, func(k *opensshKey, _ *bcryptOptions) { k.Public = point }), "public key in it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			signer, err := Parse(test.text, answer(passphrase))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
			if signer != nil {
				t.Errorf("got the signer %v besides the error", signer)
			}
		})
	}
}

// TestParseHalves has the public key of one key and the private key of another.
func TestParseHalves(t *testing.T) {
	one, err := decodeOpenSSH(decoded(t, newKeyText(t)))
	if err != nil {
		t.Fatal(err)
	}
	other, err := decodeOpenSSH(decoded(t, newKeyText(t)))
	if err != nil {
		t.Fatal(err)
	}
	one.Public = other.Public
	if _, err := Parse(opensshText(*one), nil); err == nil || !strings.Contains(err.Error(), "halves") {
		t.Errorf("got error %v", err)
	}
	one.Private[0] ^= 1
	if _, err := Parse(opensshText(*one), nil); err == nil || !strings.Contains(err.Error(), "check numbers") {
		t.Errorf("got error %v", err)
	}
}

// TestParsePKCS8Limits builds encryption parameters that no program writes.
func TestParsePKCS8Limits(t *testing.T) {
	for _, test := range []struct {
		kdf  pbkdf2Params
		iv   []byte
		data []byte
		want string
	}{
		{pbkdf2Params{Iterations: maxIterations + 1}, nil, nil, "10000001 iterations"},
		{pbkdf2Params{Iterations: 0}, nil, nil, "0 iterations"},
		{pbkdf2Params{Iterations: 1, KeyLength: 1 << 30}, nil, nil, "1073741824 bytes"},
		{pbkdf2Params{Iterations: 1}, make([]byte, 3), make([]byte, 16), "impossible length"},
		{pbkdf2Params{Iterations: 1}, make([]byte, 16), make([]byte, 15), "impossible length"},
		{pbkdf2Params{Iterations: 1}, make([]byte, 16), nil, "impossible length"},
	} {
		test.kdf.Salt = []byte("salt")
		_, err := Parse(encryptedPKCS8Text(t, test.kdf, test.iv, test.data), answer(passphrase))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got error %v, want one with %q", err, test.want)
		}
	}
}

// encryptedPKCS8Text is a key encrypted with AES-128 and those parameters.
func encryptedPKCS8Text(tb testing.TB, kdf pbkdf2Params, iv, data []byte) []byte {
	tb.Helper()
	return encode("ENCRYPTED PRIVATE KEY", marshal(tb, encryptedPKCS8{
		Algorithm: identifier(tb, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, pbes2{
			KDF:    identifier(tb, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, kdf),
			Cipher: identifier(tb, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}, iv),
		}),
		Data: data,
	}))
}

func identifier(tb testing.TB, oid asn1.ObjectIdentifier, params any) pkix.AlgorithmIdentifier {
	tb.Helper()
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: marshal(tb, params)}}
}

func marshal(tb testing.TB, value any) []byte {
	tb.Helper()
	// encoding/asn1 cannot leave out a struct that is optional, such as the PRF.
	if kdf, ok := value.(pbkdf2Params); ok {
		value = []int{kdf.Iterations}
		if kdf.KeyLength != 0 {
			value = []int{kdf.Iterations, kdf.KeyLength}
		}
		ints, err := asn1.Marshal(value)
		if err != nil {
			tb.Fatal(err)
		}
		value = struct {
			Salt []byte
			Rest asn1.RawValue
		}{kdf.Salt, asn1.RawValue{FullBytes: ints[2:]}}
	}
	der, err := asn1.Marshal(value)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

// TestParseTolerance reads texts that editors and clipboards make of keys.
func TestParseTolerance(t *testing.T) {
	text := newKeyText(t)
	for name, text := range map[string][]byte{
		"CRLF":            bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")),
		"no last newline": bytes.TrimSpace(text),
		"prose before":    append([]byte("Bag Attributes\n  name: me\n"), text...),
	} {
		if _, err := Parse(text, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(newKeyText(f))
	f.Add([]byte("ssh-ed25519 AAAA"))
	traditional, openssh := weakRSA(f)
	f.Add(traditional)
	f.Add(openssh)
	f.Add(dsaPKCS8(f))
	f.Add(encryptedText(f, func(*opensshKey, *bcryptOptions) {}))
	f.Add(encryptedText(f, func(k *opensshKey, _ *bcryptOptions) { k.Cipher = "aes128-gcm@openssh.com" }))
	f.Add(encryptedPKCS8Text(f, pbkdf2Params{Salt: []byte("salt"), Iterations: 1}, make([]byte, 16), make([]byte, 32)))
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC," +
		"00000000000000000000000000000000\n\nAAAAAAAAAAAAAAAAAAAAAA==\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		ask := answer(passphrase)
		if expensive(text) {
			ask = nil
		}
		signer, err := Parse(text, ask)
		if (err == nil) == (signer == nil) {
			t.Fatalf("got %v, %v", signer, err)
		}
		if err != nil {
			return
		}
		sig, err := signer.Sign(rand.Reader, []byte("data"))
		if err != nil {
			return // keys may be too odd for crypto/rsa
		}
		if err := signer.PublicKey().Verify([]byte("data"), sig); err != nil {
			t.Errorf("its own signature is wrong: %v", err)
		}
	})
}

// expensive reports whether a passphrase takes long to try.
func expensive(text []byte) bool {
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}
	if k, err := decodeOpenSSH(block.Bytes); err == nil {
		_, options, err := k.encryption()
		return err == nil && options.Rounds > 1
	}
	e, err := decodePKCS8Encryption(block.Bytes)
	return err == nil && e.kdf.Iterations > 1000
}
