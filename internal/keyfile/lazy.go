package keyfile

import (
	"context"
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
// The signer asks once, at its first use, and keeps the answer or the error, but
// not the end of a context.
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
	return &signer{public: known, open: once(func() (ssh.AlgorithmSigner, error) {
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

// once is [sync.OnceValues] except that the end of a context, which is one
// caller's and not the key's, is not kept.
func once(open func() (ssh.AlgorithmSigner, error)) func() (ssh.AlgorithmSigner, error) {
	var mu sync.Mutex
	var done bool
	var signer ssh.AlgorithmSigner
	var err error
	return func() (ssh.AlgorithmSigner, error) {
		mu.Lock()
		defer mu.Unlock()
		if !done {
			signer, err = open()
			done = !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
		}
		return signer, err
	}
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
