package keyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/crypto/ssh"
)

// certSuffix makes the name of a certificate from that of its key.
const certSuffix = "-cert.pub"

// PublicKey returns the public key of an identity file without decrypting it,
// so that a key which an agent holds can be found by its file. Like ssh it takes
// path as a public key itself, then path.pub, then what the private key in path
// tells in clear.
//
// A key that can be neither found nor read is an error, [fs.ErrNotExist] when
// there is neither path nor path.pub. An encrypted key in an old format that
// tells nothing is a [*PassphraseError].
func PublicKey(path string) (ssh.PublicKey, error) {
	if key, err := readPublic(path); err == nil {
		return key, nil
	}
	if key, err := readPublic(path + ".pub"); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	s, err := open(path)
	if err != nil {
		return nil, err
	}
	if s.public != nil {
		return s.public, nil
	}
	signer, err := s.signer(nil)
	if err != nil {
		return nil, named(path, err)
	}
	return signer.public, nil
}

// Certificate reads the certificate of the key in path from path-cert.pub. That
// it belongs to the key and is still valid is not checked. A missing file is
// [fs.ErrNotExist].
func Certificate(path string) (*ssh.Certificate, error) { return CertificateIn(path + certSuffix) }

// CertificateIn is [Certificate] for the file of the certificate itself.
func CertificateIn(path string) (*ssh.Certificate, error) {
	key, err := readPublic(path)
	if err != nil {
		return nil, err
	}
	cert, ok := key.(*ssh.Certificate)
	switch {
	case !ok:
		return nil, fmt.Errorf("certificate %q: it is a plain public key", path)
	case cert.CertType != ssh.UserCert:
		return nil, fmt.Errorf("certificate %q: it is not for users but for hosts", path)
	}
	return cert, nil
}

// readPublic reads the one public key in a file.
func readPublic(path string) (ssh.PublicKey, error) {
	text, err := read(path, public)
	if err != nil {
		return nil, named(path, err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, named(path, errors.New("no public key in it"))
	}
	return key, nil
}

func equal(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }
