// Package keyfile loads private keys from files as ssh(1) does.
//
// It reads the formats of OpenSSH (openssh-key-v1 with every cipher that
// ssh-keygen -Z offers), of OpenSSL's traditional PEM files and of PKCS#8, plain
// or encrypted. Files that others may read are refused, and so are DSA keys and
// RSA keys shorter than 2048 bits. RSA keys sign with SHA-2 only.
//
// Nothing in a path is expanded: no ~, no %.
package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// MaxSize is the size in bytes of the largest file that is read, the same as
// in OpenSSH.
const MaxSize = 1 << 20

// MaxAttempts is how often a passphrase is asked for, as in the default of
// OpenSSH's NumberOfPasswordPrompts.
const MaxAttempts = 3

// Passphrase is asked for the passphrase of an encrypted key, with attempt
// counting from 1 up to [MaxAttempts] as long as the answers are wrong. Nil or
// an empty answer means that there is none. The answer is neither kept nor
// changed.
type Passphrase func(attempt int) ([]byte, error)

// PassphraseError says that a key is encrypted and that it could not be
// decrypted for want of the right passphrase.
type PassphraseError struct {
	Wrong     bool          // a passphrase was given; false: there was none
	PublicKey ssh.PublicKey // nil when the file tells it only once decrypted
}

// Error implements error.
func (e *PassphraseError) Error() string {
	if e.Wrong {
		return "wrong passphrase"
	}
	return "encrypted, and no passphrase was given"
}

// Load loads the private key in a file.
//
// The file must be regular and at most [MaxSize] bytes long and, when the user
// owns it, closed to everybody else (not on Windows). A missing file is
// [fs.ErrNotExist]; an encrypted key that stays closed is a [*PassphraseError].
//
// The signer implements [ssh.MultiAlgorithmSigner] and is safe for concurrent
// use.
func Load(path string, ask Passphrase) (ssh.Signer, error) {
	s, err := open(path)
	if err != nil {
		return nil, err
	}
	signer, err := s.signer(ask)
	if err != nil {
		return nil, named(path, err)
	}
	return signer, nil
}

// Parse is [Load] for the text of a key file.
func Parse(text []byte, ask Passphrase) (ssh.Signer, error) {
	s, err := parse(text)
	if err != nil {
		return nil, err
	}
	signer, err := s.signer(ask)
	if err != nil {
		return nil, err
	}
	return signer, nil
}

// LoadAll loads the private key in a file and, when there is a file path-cert.pub
// beside it, its certificate. The signers are to be offered in their order: the
// one with the certificate, if any, then the one with the plain key. OpenSSH has
// that order for a CertificateFile, but not for one found as here; where
// certificates are in use the plain key seldom opens a door and costs a try.
//
// A certificate of another key is an error.
func LoadAll(path string, ask Passphrase) ([]ssh.Signer, error) {
	signer, err := Load(path, ask)
	if err != nil {
		return nil, err
	}
	return withCertificate(path, signer)
}

// Defaults returns the files that ssh tries when it is told of none, in its
// order, for the user whose home folder it is given. Some or all may not exist.
// DSA keys are left out, as in OpenSSH since 10.0.
//
// Keys on security keys (_sk) are listed for their public halves, see
// [PublicKey]: only an agent can sign with them.
func Defaults(home string) []string {
	names := []string{"id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"}
	for i, name := range names {
		names[i] = filepath.Join(home, ".ssh", name)
	}
	return names
}

// open reads and parses a file, without decrypting anything.
func open(path string) (*sealed, error) {
	text, err := read(path, private)
	if err != nil {
		return nil, named(path, err)
	}
	s, err := parse(text)
	return s, named(path, err)
}

// named adds the name of the file to an error about it.
func named(path string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // it repeats the name
	}
	return fmt.Errorf("key %q: %w", path, err)
}
