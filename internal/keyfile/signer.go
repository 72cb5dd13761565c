package keyfile

import (
	"fmt"
	"io"
	"slices"

	"golang.org/x/crypto/ssh"
)

// signer signs with a private key that it gets when it has to. It never uses
// SHA-1: an RSA key signs with SHA-2 (RFC 8332) or not at all.
type signer struct {
	public ssh.PublicKey
	open   func() (ssh.AlgorithmSigner, error) // safe for concurrent use
}

var _ ssh.MultiAlgorithmSigner = (*signer)(nil)

// PublicKey implements [ssh.Signer].
func (s *signer) PublicKey() ssh.PublicKey { return s.public }

// Algorithms implements [ssh.MultiAlgorithmSigner], in OpenSSH's order of
// preference.
func (s *signer) Algorithms() []string {
	if s.public.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{s.public.Type()}
}

// Sign implements [ssh.Signer] with the preferred algorithm.
func (s *signer) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm implements [ssh.AlgorithmSigner]. An empty algorithm is the
// preferred one.
func (s *signer) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	known := s.Algorithms()
	if algorithm == "" {
		algorithm = known[0]
	}
	if !slices.Contains(known, algorithm) {
		return nil, fmt.Errorf("a key of type %s does not sign with %q", s.public.Type(), algorithm)
	}
	key, err := s.open()
	if err != nil {
		return nil, err
	}
	return key.SignWithAlgorithm(rand, data, algorithm)
}
