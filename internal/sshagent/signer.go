package sshagent

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// signer is a key of the agent.
type signer struct {
	client *Client
	public ssh.PublicKey // a certificate for a key that the agent has one for
	blob   []byte        // its wire form
}

var _ ssh.MultiAlgorithmSigner = (*signer)(nil)

// PublicKey implements [ssh.Signer].
func (s *signer) PublicKey() ssh.PublicKey { return s.public }

// Algorithms implements [ssh.MultiAlgorithmSigner], in OpenSSH's order of
// preference. ssh-rsa, which is SHA-1, is not among them (RFC 8332).
func (s *signer) Algorithms() []string {
	typ := plainKey(s.public).Type()
	if typ == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{typ}
}

// Sign implements [ssh.Signer] with the preferred algorithm. Randomness is the
// agent's business.
func (s *signer) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm implements [ssh.AlgorithmSigner]. An empty algorithm is the
// preferred one.
func (s *signer) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	known := s.Algorithms()
	if algorithm == "" {
		algorithm = known[0]
	}
	if !slices.Contains(known, algorithm) {
		return nil, s.wrap(fmt.Errorf("it does not sign with %q", algorithm))
	}
	sig, err := s.client.sign(s.blob, data, algorithm)
	if err != nil {
		return nil, s.wrap(err)
	}
	return sig, nil
}

func (s *signer) wrap(err error) error {
	if errors.Is(err, ErrClosed) {
		return err
	}
	return &Error{Op: "sign", Key: s.public, Err: err}
}

// sign has the agent sign, once there is a free slot.
func (c *Client) sign(blob, data []byte, algorithm string) (*ssh.Signature, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-c.life.Done():
		return nil, ErrClosed
	}
	key := string(blob)
	if err := c.stuckSince(key); err != nil {
		return nil, err
	}
	reply, err := c.exchange(key, signRequest(blob, data, algorithm), c.signBudget(key))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.setStuck(key, err)
	}
	if err != nil {
		return nil, err
	}
	return parseSignature(reply, algorithm)
}

// signBudget is the time for a signature with a key, by its wire form.
func (c *Client) signBudget(key string) time.Duration {
	if len(key) > 4 && strings.HasPrefix(key[4:], "sk-") { // behind the length of its type
		return c.options.TouchBudget
	}
	return c.options.SignBudget
}

// stuckSince returns the error of a key that the agent did not answer for.
func (c *Client) stuckSince(key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stuck[key]
}

func (c *Client) setStuck(key string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stuck[key] = err
}

// plainKey is the key in a certificate, or the key itself.
func plainKey(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

// usable reports whether a key is strong enough to be offered.
func usable(key ssh.PublicKey) bool {
	key = plainKey(key)
	//lint:ignore SA1019 named to be refused
	if key.Type() == ssh.InsecureKeyAlgoDSA {
		return false
	}
	with, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return true
	}
	rsaKey, ok := with.CryptoPublicKey().(*rsa.PublicKey)
	return !ok || rsaKey.N.BitLen() >= 2048
}
