package rawssh

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/ssh"
)

// kexInit is RFC 4253 §7.1.
type kexInit struct {
	Cookie                  [16]byte `sshtype:"20"`
	Kex, HostKeys           []string
	CiphersIn, CiphersOut   []string
	MACsIn, MACsOut         []string
	CompressIn, CompressOut []string
	LanguagesIn             []string
	LanguagesOut            []string
	Follows                 bool
	Reserved                uint32
}

type ecdhInit struct {
	Public []byte `sshtype:"30"`
}

type ecdhReply struct {
	HostKey   []byte `sshtype:"31"`
	Public    []byte
	Signature []byte
}

const (
	kexName    = "curve25519-sha256"
	cipherName = "aes128-gcm@openssh.com"
)

// FeignRekey sends a KEXINIT. What the client answers is ignored from then on,
// and other packets can be sent as before.
func (c *Conn) FeignRekey() error {
	c.feigned.Store(true)
	return c.WritePacket(initPacket(c.hostKeys))
}

// initPacket is a KEXINIT of the server.
func initPacket(hostKeys []ssh.Signer) []byte {
	var names []string
	for _, k := range hostKeys {
		names = append(names, algorithms(k)...)
	}
	macs := []string{"hmac-sha2-256"} // not used with an AEAD cipher
	return ssh.Marshal(kexInit{
		Cookie: [16]byte(random(16)),
		Kex:    []string{kexName, kexName + "@libssh.org"}, HostKeys: names,
		CiphersIn: []string{cipherName}, CiphersOut: []string{cipherName},
		MACsIn: macs, MACsOut: macs,
		CompressIn: []string{"none"}, CompressOut: []string{"none"},
	})
}

// algorithms are the names of the signatures that a key can make.
func algorithms(key ssh.Signer) []string {
	switch typ := key.PublicKey().Type(); typ {
	case ssh.KeyAlgoRSA:
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	default:
		return []string{typ}
	}
}

// StartRekey begins a key exchange, in which the host shows these keys. It is
// done by ReadPacket when the client answers; other packets wait until then.
func (c *Conn) StartRekey(hostKeys []ssh.Signer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hostKeys, c.ours = hostKeys, initPacket(hostKeys)
	return c.write(c.ours)
}

// exchange does a key exchange; theirs is the client's KEXINIT if it has been
// read already.
func (c *Conn) exchange(theirs []byte) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ours == nil {
		c.ours = initPacket(c.hostKeys)
		err = c.write(c.ours)
	}
	if theirs == nil && err == nil {
		theirs, err = c.read()
	}
	if err != nil {
		return err
	}
	signer, algorithm, err := negotiate(theirs, c.hostKeys)
	if err != nil {
		return err
	}
	if err := c.agree(c.ours, theirs, signer, algorithm); err != nil {
		return err
	}
	waiting := c.waiting
	c.ours, c.waiting = nil, nil
	for _, p := range waiting {
		if err := c.write(p); err != nil {
			return err
		}
	}
	return nil
}

// negotiate finds the host key that the client likes best.
func negotiate(theirs []byte, hostKeys []ssh.Signer) (ssh.Signer, string, error) {
	var init kexInit
	if err := ssh.Unmarshal(theirs, &init); err != nil {
		return nil, "", err
	}
	if !slices.Contains(init.Kex, kexName) || !slices.Contains(init.CiphersIn, cipherName) || !slices.Contains(init.CiphersOut, cipherName) {
		return nil, "", fmt.Errorf("the client offers no %s or no %s", kexName, cipherName)
	}
	for _, name := range init.HostKeys {
		for _, k := range hostKeys {
			if slices.Contains(algorithms(k), name) {
				return k, name, nil
			}
		}
	}
	return nil, "", errors.New("the client takes no host key of this type")
}

// agree does RFC 5656 §4 with X25519 and puts the new keys to use.
func (c *Conn) agree(ours, theirs []byte, signer ssh.Signer, algorithm string) error {
	p, err := c.read()
	if err != nil {
		return err
	}
	var init ecdhInit
	if err := ssh.Unmarshal(p, &init); err != nil {
		return err
	}
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	public, err := ecdh.X25519().NewPublicKey(init.Public)
	if err != nil {
		return err
	}
	shared, err := key.ECDH(public)
	if err != nil {
		return err
	}
	secret := mpint(shared)
	hostKey := signer.PublicKey().Marshal()
	h := sha256.New()
	for _, part := range [][]byte{c.clientVersion, c.serverVersion, theirs, ours, hostKey, init.Public, key.PublicKey().Bytes()} {
		h.Write(ssh.Marshal(struct{ S []byte }{part}))
	}
	h.Write(secret)
	hash := h.Sum(nil)
	if c.sessionID == nil {
		c.sessionID = hash
	}
	signature, err := sign(signer, algorithm, hash)
	if err != nil {
		return err
	}
	if err := c.write(ssh.Marshal(ecdhReply{hostKey, key.PublicKey().Bytes(), signature})); err != nil {
		return err
	}
	return c.switchKeys(secret, hash)
}

func sign(signer ssh.Signer, algorithm string, data []byte) ([]byte, error) {
	s, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("host key cannot sign with a given algorithm")
	}
	signature, err := s.SignWithAlgorithm(rand.Reader, data, algorithm)
	if err != nil {
		return nil, err
	}
	return ssh.Marshal(signature), nil
}

// mpint encodes a positive number (RFC 4251 §5).
func mpint(b []byte) []byte {
	return ssh.Marshal(struct{ N *big.Int }{new(big.Int).SetBytes(b)})
}

// switchKeys is RFC 4253 §7.2 and §7.3.
func (c *Conn) switchKeys(secret, hash []byte) error {
	derive := func(letter byte, n int) []byte {
		h := sha256.New()
		h.Write(secret)
		h.Write(hash)
		h.Write([]byte{letter})
		h.Write(c.sessionID)
		return h.Sum(nil)[:n]
	}
	if err := c.write([]byte{msgNewKeys}); err != nil {
		return err
	}
	out, err := newSealer(derive('D', 16), derive('B', 12))
	if err != nil {
		return err
	}
	c.out = out
	p, err := c.read()
	if err != nil {
		return err
	}
	if p[0] != msgNewKeys {
		return fmt.Errorf("message %d instead of NEWKEYS", p[0])
	}
	c.in, err = newSealer(derive('C', 16), derive('A', 12))
	return err
}
