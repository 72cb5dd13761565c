package keyfile

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// sealed is a private key as read, perhaps encrypted.
type sealed struct {
	public    ssh.PublicKey // nil when only the private part tells it
	encrypted bool
	// open returns the private key. The passphrase is not used when the key is
	// not encrypted. The error for a wrong one is errWrongPassphrase.
	open func(passphrase []byte) (crypto.PrivateKey, error)
}

var (
	errWrongPassphrase = errors.New("wrong passphrase")
	errDSA             = errors.New("DSA keys are too weak and are not used any more")
	errSecurityKey     = errors.New("this key needs its hardware security key: add it to ssh-agent, which can sign with it")
)

// parse tells the format of a key file and reads what is not encrypted.
func parse(text []byte) (*sealed, error) {
	for rest := text; ; {
		block, after := pem.Decode(rest)
		if block == nil {
			return nil, notPrivate(text)
		}
		// Other blocks may come first: openssl writes EC PARAMETERS.
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return parseBlock(block)
		}
		rest = after
	}
}

func parseBlock(block *pem.Block) (*sealed, error) {
	switch block.Type {
	case "OPENSSH PRIVATE KEY":
		return parseOpenSSH(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return parseEncryptedPKCS8(block.Bytes)
	case "PRIVATE KEY":
		return plain(parsePKCS8(block.Bytes))
	case "DSA PRIVATE KEY":
		return nil, errDSA
	case "RSA PRIVATE KEY", "EC PRIVATE KEY":
		if isEncryptedPEM(block) {
			return parseEncryptedPEM(block)
		}
		return plain(parseTraditional(block.Type, block.Bytes))
	}
	return nil, fmt.Errorf("unknown kind of private key %.40q", block.Type)
}

// plain is a key that was not encrypted.
func plain(key crypto.PrivateKey, err error) (*sealed, error) {
	if err != nil {
		return nil, err
	}
	return &sealed{open: func([]byte) (crypto.PrivateKey, error) { return key, nil }}, nil
}

// maxDER is twice what an RSA key of 16384 bits takes, the longest that OpenSSH
// makes. Checking the arithmetic of a longer one can take minutes.
const maxDER = 20 << 10

var errLong = errors.New("longer than any key in use")

// parseTraditional reads the DER of OpenSSL's older formats.
func parseTraditional(kind string, der []byte) (crypto.PrivateKey, error) {
	if len(der) > maxDER {
		return nil, errLong
	}
	if kind == "RSA PRIVATE KEY" {
		key, err := x509.ParsePKCS1PrivateKey(der)
		return key, readable(err)
	}
	key, err := x509.ParseECPrivateKey(der)
	return key, readable(err)
}

// readable replaces the errors of encoding/asn1, which list its inner state.
func readable(err error) error {
	_, structural := errors.AsType[asn1.StructuralError](err)
	_, syntax := errors.AsType[asn1.SyntaxError](err)
	if structural || syntax {
		return errors.New("damaged: what is in it is no key")
	}
	return err
}

// notPrivate says what a file is instead of a private key.
func notPrivate(text []byte) error {
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0:
		return errors.New("the file is empty")
	case bytes.HasPrefix(text, []byte("PuTTY-User-Key-File-")):
		return errors.New("a PuTTY key: convert it with puttygen KEY -O private-openssh-new -o NEWKEY")
	case bytes.HasPrefix(text, []byte("SSH PRIVATE KEY FILE FORMAT")):
		return errors.New("a key for SSH protocol 1, which is not used any more")
	case bytes.HasPrefix(text, []byte("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY")):
		return errors.New("a key of ssh.com's format: convert it with puttygen KEY -O private-openssh-new -o NEWKEY")
	case isPublic(text):
		return errors.New("a public key or certificate, not a private key")
	}
	return errors.New("no private key in it")
}

func isPublic(text []byte) bool {
	for _, begin := range []string{
		"---- BEGIN SSH2 PUBLIC KEY", "-----BEGIN PUBLIC KEY", "-----BEGIN RSA PUBLIC KEY", "-----BEGIN CERTIFICATE",
	} {
		if bytes.Contains(text, []byte(begin)) {
			return true
		}
	}
	_, _, _, _, err := ssh.ParseAuthorizedKey(text)
	return err == nil
}

// unlock decrypts the key, asking for a passphrase when it needs one.
func (s *sealed) unlock(ask Passphrase) (crypto.PrivateKey, error) {
	if !s.encrypted {
		return s.open(nil)
	}
	if ask == nil {
		return nil, &PassphraseError{PublicKey: s.public}
	}
	for attempt := 1; attempt <= MaxAttempts; attempt++ {
		passphrase, err := ask(attempt)
		if err != nil {
			return nil, fmt.Errorf("passphrase: %w", err)
		}
		if len(passphrase) == 0 {
			return nil, &PassphraseError{PublicKey: s.public, Wrong: attempt > 1}
		}
		key, err := s.open(passphrase)
		if !errors.Is(err, errWrongPassphrase) {
			return key, err
		}
	}
	return nil, &PassphraseError{PublicKey: s.public, Wrong: true}
}

// signer decrypts the key and makes it a signer.
func (s *sealed) signer(ask Passphrase) (*signer, error) {
	if err := acceptable(s.public); err != nil {
		return nil, err // before anybody is asked for a passphrase
	}
	key, err := s.unlock(ask)
	if err != nil {
		return nil, err
	}
	signer, err := newSigner(key)
	if err != nil {
		return nil, err
	}
	if s.public != nil && !equal(s.public, signer.public) {
		return nil, errors.New("damaged: its two halves do not belong together")
	}
	return signer, nil
}

// newSigner makes a signer of a private key that is strong enough.
func newSigner(key crypto.PrivateKey) (*signer, error) {
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, err
	}
	with, ok := s.(ssh.AlgorithmSigner)
	if !ok {
		return nil, fmt.Errorf("unusable key type %s", s.PublicKey().Type())
	}
	if err := acceptable(s.PublicKey()); err != nil {
		return nil, err
	}
	return &signer{
		public: s.PublicKey(),
		open:   func() (ssh.AlgorithmSigner, error) { return with, nil },
	}, nil
}

// acceptable refuses weak keys, and those that a file alone cannot sign with.
// It accepts nil, the public key that is not known yet.
func acceptable(key ssh.PublicKey) error {
	if key == nil {
		return nil
	}
	switch key.Type() {
	//lint:ignore SA1019 named to be refused
	case ssh.InsecureKeyAlgoDSA:
		return errDSA
	case ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoSKED25519:
		return errSecurityKey
	}
	with, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return nil
	}
	if key, ok := with.CryptoPublicKey().(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
		return fmt.Errorf("RSA key of %d bits: 2048 is the least that is safe", key.N.BitLen())
	}
	return nil
}
