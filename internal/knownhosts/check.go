package knownhosts

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"golang.org/x/crypto/ssh"
)

const (
	// minRSA is the size in bits below which an RSA key is refused.
	minRSA = 2048
	// maxSameKey bounds UnknownError.SameKey.
	maxSameKey = 8
)

// Check verifies the key that a server sent for addr, which is "host:port" as
// it was dialled by name, or a name without a port that is looked up as it is
// (HostKeyAlias). It returns nil, an [*UnknownError], a [*ChangedError], a
// [*RevokedError] or a [*WeakKeyError]. It is what an ssh.HostKeyCallback
// needs.
func (db *DB) Check(addr string, key ssh.PublicKey) error {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.check(parseAddr(addr), key)
}

func (db *DB) check(n hostName, key ssh.PublicKey) error {
	if key == nil {
		return fmt.Errorf("host key for %s: the server sent none", n)
	}
	if weak(plainKey(key)) {
		return &WeakKeyError{n.addr, plainKey(key)}
	}
	c := &checking{DB: db, x: db.view(), n: n, got: key}
	if cert, ok := key.(*ssh.Certificate); ok {
		if trusted, err := c.certificate(cert); trusted || err != nil {
			return err
		}
	}
	return c.plain(keyID{Known, string(plainKey(key).Marshal())})
}

// weak reports whether a key is refused by its kind alone.
func weak(key ssh.PublicKey) bool {
	bits := rsaBits(key)
	//lint:ignore SA1019 named to be refused
	return bits > 0 && bits < minRSA || key.Type() == ssh.InsecureKeyAlgoDSA
}

// checking is one key on its way through check_host_key of OpenSSH's
// sshconnect.c.
type checking struct {
	*DB
	x       *index
	n       hostName
	got     ssh.PublicKey
	refused *CertificateError // the certificate was no good, so the plain key decides
}

// revoked returns an error if a line for name revokes the key or the CA of its
// certificate.
func (c *checking) revoked(name string) error {
	keys := []ssh.PublicKey{plainKey(c.got)}
	if cert, ok := c.got.(*ssh.Certificate); ok {
		keys = append(keys, cert.SignatureKey)
	}
	for _, key := range keys {
		if e := c.x.find(name, keyID{Revoked, string(key.Marshal())}); e != nil {
			return &RevokedError{c.n.addr, c.got, e.KnownKey}
		}
	}
	return nil
}

// certificate reports whether cert is good because of a CA. If it is not and
// there is no error either, the plain key in it is to be checked.
func (c *checking) certificate(cert *ssh.Certificate) (trusted bool, err error) {
	if cert.SignatureKey == nil || cert.Signature == nil {
		return false, fmt.Errorf("host key for %s: the server sent a certificate without a signature", c.n)
	}
	name := c.n.name
	if err := c.revoked(name); err != nil {
		return false, err
	}
	authority := keyID{Authority, string(cert.SignatureKey.Marshal())}
	ca := c.x.find(name, authority)
	if ca == nil && c.n.bare != "" {
		if err := c.revoked(c.n.bare); err != nil {
			return false, err
		}
		ca = c.x.find(c.n.bare, authority)
	}
	if ca == nil {
		return false, nil
	}
	if weak(cert.SignatureKey) {
		return false, &WeakKeyError{c.n.addr, cert.SignatureKey}
	}
	if err := c.valid(cert); err != nil {
		c.refused = &CertificateError{c.n.addr, cert, ca.KnownKey, err}
		return false, nil
	}
	return true, nil
}

// valid checks everything about a certificate by a CA that is trusted for the
// host: its type, principals, validity, critical options and signature.
func (c *checking) valid(cert *ssh.Certificate) error {
	// CASignatureAlgorithms of OpenSSH has no SHA-1 either.
	//lint:ignore SA1019 named to be refused
	if f := cert.Signature.Format; f == ssh.KeyAlgoRSA || f == ssh.InsecureKeyAlgoDSA {
		return fmt.Errorf("signed with %s, which is too weak", f)
	}
	if c.CAAlgorithms != nil && !slices.Contains(c.CAAlgorithms, cert.Signature.Format) {
		return fmt.Errorf("signed with %.60q, which CASignatureAlgorithms does not allow", cert.Signature.Format)
	}
	if _, ok := cert.SignatureKey.(*ssh.Certificate); ok {
		return errors.New("signed by a certificate")
	}
	checker := ssh.CertChecker{
		IsHostAuthority: func(ssh.PublicKey, string) bool { return true }, // that was looked up before
		IsUserAuthority: func(ssh.PublicKey) bool { return false },
		UserKeyFallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			return nil, errors.New("not a user key")
		},
		HostKeyFallback: func(string, net.Addr, ssh.PublicKey) error { return errors.New("not a certificate") },
		IsRevoked:       func(*ssh.Certificate) bool { return c.revoked(c.n.name) != nil },
		Clock:           c.now,
	}
	// The port is not part of a principal; CheckHostKey takes it off again.
	return checker.CheckHostKey(net.JoinHostPort(c.n.host, "22"), nil, cert)
}

// plain checks a plain key.
func (c *checking) plain(key keyID) error {
	if err := c.revoked(c.n.name); err != nil {
		return err
	}
	if c.x.find(c.n.name, key) != nil {
		return nil
	}
	if known := c.x.all(c.n.name, Known); len(known) > 0 {
		return &ChangedError{c.n.addr, c.got, keysOf(known), c.refused}
	}
	if c.n.bare != "" {
		if err := c.revoked(c.n.bare); err != nil {
			return err
		}
		if c.x.find(c.n.bare, key) != nil {
			return nil
		}
	}
	return c.unknown(key)
}

func (c *checking) unknown(key keyID) error {
	e := &UnknownError{Addr: c.n.addr, Got: c.got, Cert: c.refused}
	for _, f := range c.files {
		e.Files = append(e.Files, f.path)
	}
	same := c.x.byKey[key]
	e.SameKey = keysOf(same[:min(len(same), maxSameKey)])
	return e
}
