package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Lazy is [Load] for a key whose passphrase is asked for only when a server has
// accepted the key, as ssh does. The file is read at once, and a key that is
// not encrypted is loaded at once. The public key of an encrypted one comes from
// the file itself, whose newer formats have it in clear, or else from path.pub.
// With neither the key is decrypted at once.
//
// The signer asks once, at its first use, and keeps the answer or the error.
func Lazy(path string, ask Passphrase) (ssh.Signer, error) {
	s, err := open(path)
	if err != nil {
		return nil, err
	}
	known := s.public
	if s.encrypted && known == nil {
		if known, err = readPublic(path + ".pub"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if !s.encrypted || known == nil {
		signer, err := s.signer(ask)
		if err != nil {
			return nil, named(path, err)
		}
		return signer, nil
	}
	if err := acceptable(known); err != nil {
		return nil, named(path, err)
	}
	return &signer{public: known, open: sync.OnceValues(func() (ssh.AlgorithmSigner, error) {
		signer, err := s.signer(ask)
		if err == nil && !equal(signer.public, known) {
			err = errors.New("its public key is not the one in the .pub file")
		}
		if err != nil {
			return nil, named(path, err)
		}
		return signer, nil
	})}, nil
}

// LazyAll is [LoadAll] with a key as from [Lazy].
func LazyAll(path string, ask Passphrase) ([]ssh.Signer, error) {
	signer, err := Lazy(path, ask)
	if err != nil {
		return nil, err
	}
	return withCertificate(path, signer)
}

// withCertificate puts the certificate of a key, if there is one, before it.
func withCertificate(path string, signer ssh.Signer) ([]ssh.Signer, error) {
	cert, err := Certificate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return []ssh.Signer{signer}, nil
	}
	if err != nil {
		return nil, err
	}
	with, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		return nil, fmt.Errorf("key %q: the certificate in %q is for another key", path, path+certSuffix)
	}
	return []ssh.Signer{with, signer}, nil
}
