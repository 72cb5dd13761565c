package sshtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"net"

	"golang.org/x/crypto/ssh"
)

// GenerateKey makes a new private key of the type "ed25519", "ecdsa" (P-256)
// or "rsa" (3072 bits, which takes a while), for [Config.HostKeys],
// [Config.HostCA] or [User.Keys].
func GenerateKey(typ string) (ssh.Signer, error) {
	key, err := generate(typ)
	if err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(key)
}

func generate(typ string) (crypto.Signer, error) {
	switch typ {
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case "ecdsa":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		return rsa.GenerateKey(rand.Reader, 3072)
	}
	return nil, fmt.Errorf("sshtest: key type %q: want ed25519, ecdsa or rsa", typ)
}

// makeClientKey generates the fleet's own client key.
func (f *Fleet) makeClientKey() error {
	key, err := generate("ed25519")
	if err != nil {
		return err
	}
	if f.client, err = ssh.NewSignerFromKey(key); err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(key, "sshtest")
	if err != nil {
		return err
	}
	f.clientPEM = pem.EncodeToMemory(block)
	return nil
}

// ClientSigner returns the generated private key that [DefaultUser], and every
// [User] with ClientKey, may log in with.
func (f *Fleet) ClientSigner() ssh.Signer { return f.client }

// ClientKeyPEM returns the same key in OpenSSH's private key format, not
// encrypted. Write it to a file of mode 0600 to give it to ssh.
func (f *Fleet) ClientKeyPEM() []byte { return bytes.Clone(f.clientPEM) }

// AuthorizedKey returns the public half as a line of authorized_keys(5).
func (f *Fleet) AuthorizedKey() []byte {
	return ssh.MarshalAuthorizedKey(f.client.PublicKey())
}

// KnownHosts returns the host keys as the text of a known_hosts file: each
// host by its address and its name, and HostCA's line if there is one.
func (f *Fleet) KnownHosts() []byte {
	var b bytes.Buffer
	if ca := f.cfg.HostCA; ca != nil {
		fmt.Fprintf(&b, "@cert-authority * %s", ssh.MarshalAuthorizedKey(ca.PublicKey()))
	}
	for _, h := range f.hosts {
		address, port, _ := net.SplitHostPort(h.Addr)
		names := knownHostsName(address, port)
		if h.Name != address {
			names += "," + knownHostsName(h.Name, port)
		}
		for _, key := range h.HostKeys {
			fmt.Fprintf(&b, "%s %s", names, ssh.MarshalAuthorizedKey(key))
		}
	}
	return b.Bytes()
}

// knownHostsName writes an address as sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT",
// wants it: the port only if it is not 22.
func knownHostsName(address, port string) string {
	if port == "22" {
		return address
	}
	return "[" + address + "]:" + port
}

// makeHostKeys gives every host its keys.
func (f *Fleet) makeHostKeys() error {
	keys, err := f.hostKeySource()
	if err != nil {
		return err
	}
	for _, h := range f.hosts {
		if h.signers, err = keys(h.Index); err != nil {
			return err
		}
		if len(h.signers) == 0 {
			return fmt.Errorf("sshtest: host %d has no host key", h.Index)
		}
		for _, s := range h.signers {
			h.HostKeys = append(h.HostKeys, s.PublicKey())
		}
		h.HostKey = h.HostKeys[0]
	}
	return nil
}

func (f *Fleet) hostKeySource() (func(host int) ([]ssh.Signer, error), error) {
	fresh := func(int) ([]ssh.Signer, error) {
		s, err := GenerateKey("ed25519")
		return []ssh.Signer{s}, err
	}
	switch {
	case f.cfg.HostKeys != nil:
		return func(host int) ([]ssh.Signer, error) { return f.cfg.HostKeys(host), nil }, nil
	case f.cfg.SharedHostKey:
		shared, err := fresh(0)
		return func(int) ([]ssh.Signer, error) { return shared, nil }, err
	}
	return fresh, nil
}

// certify adds a certificate for each of the host's keys.
func (h *host) certify(ca ssh.Signer) error {
	address, _, _ := net.SplitHostPort(h.Addr)
	for _, s := range h.signers[:len(h.HostKeys)] {
		cert := &ssh.Certificate{
			Key:             s.PublicKey(),
			Serial:          uint64(h.Index),
			CertType:        ssh.HostCert,
			KeyId:           h.Name,
			ValidPrincipals: []string{h.Name, address},
			ValidBefore:     ssh.CertTimeInfinity,
		}
		if err := cert.SignCert(rand.Reader, ca); err != nil {
			return fmt.Errorf("sshtest: host certificate: %w", err)
		}
		signer, err := ssh.NewCertSigner(cert, s)
		if err != nil {
			return fmt.Errorf("sshtest: host certificate: %w", err)
		}
		h.signers = append(h.signers, signer)
	}
	return nil
}
