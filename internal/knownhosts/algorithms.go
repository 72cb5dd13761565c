package knownhosts

import (
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// defaultAlgorithms returns OpenSSH 9.2's HostkeyAlgorithms
// (KEX_DEFAULT_PK_ALG in myproposal.h).
func defaultAlgorithms() []string {
	return []string{
		ssh.CertAlgoED25519v01,
		ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
		ssh.CertAlgoSKED25519v01, ssh.CertAlgoSKECDSA256v01,
		ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
		ssh.KeyAlgoED25519,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
}

// Algorithms returns the host key algorithms to offer to addr, as OpenSSH
// orders them. For a host that is unknown, or known with an ed25519 key, that
// is the default order, ed25519 first; for any other, those of its known keys
// come first, and the certificate algorithms too if a @cert-authority line
// matches it. Without this a host that is known by its RSA key only would send
// another key and look changed. The list never has ssh-rsa (SHA-1) or ssh-dss.
func (db *DB) Algorithms(addr string) []string {
	db.mu.RLock()
	defer db.mu.RUnlock()
	x, name := db.view(), parseAddr(addr).name
	list := defaultAlgorithms()
	if !x.mayReorder(name) {
		return list
	}
	revoked := x.all(name, Revoked)
	if x.knowsType(name, ssh.KeyAlgoED25519, revoked) {
		return list
	}
	ca := len(x.all(name, Authority)) > 0
	known := make(map[string]bool)
	var first, last []string
	for _, algorithm := range list {
		format, cert := plainFormat(algorithm)
		if _, ok := known[format]; !ok {
			known[format] = x.knowsType(name, format, revoked)
		}
		if known[format] || cert && ca {
			first = append(first, algorithm)
		} else {
			last = append(last, algorithm)
		}
	}
	return append(first, last...)
}

// plainFormat returns the type of the plain key behind an algorithm, and
// whether it is a certificate algorithm.
func plainFormat(algorithm string) (format string, cert bool) {
	name, cert := strings.CutSuffix(algorithm, "-cert-v01@openssh.com")
	if cert && strings.HasPrefix(name, "sk-") {
		name += "@openssh.com"
	}
	return formatOf(name), cert
}

// mayReorder reports whether name could match anything but ed25519 keys. It
// saves the search through hashed lines where those are all of that type: then
// the order is the default one, whether the host is known or not.
func (x *index) mayReorder(name string) bool {
	matters := func(c class) bool {
		return c.marker == Authority || c.marker == Known && c.typ != ssh.KeyAlgoED25519
	}
	for e := range x.clear(name) {
		if matters(e.class()) {
			return true
		}
	}
	for c := range x.hashed {
		if matters(c) {
			return true
		}
	}
	return false
}

// knowsType reports whether a key of that type, none of the revoked ones, is
// known for name.
func (x *index) knowsType(name, typ string, revoked []*entry) bool {
	return x.hasType(name, class{Known, typ}, func(e *entry) bool {
		return slices.ContainsFunc(revoked, func(r *entry) bool { return r.blob == e.blob })
	})
}
