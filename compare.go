package shoal

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/internal/knownhosts"
)

// HostKeyState says what known_hosts files make of a host key.
type HostKeyState string

// The states of a host key.
const (
	HostKeyKnown      HostKeyState = "known"       // a line has it, or a @cert-authority line vouches for it
	HostKeyNew        HostKeyState = "new"         // no line contradicts it, and none has it
	HostKeyChanged    HostKeyState = "changed"     // lines have another key of its type, or only keys that the host did not show
	HostKeyRevoked    HostKeyState = "revoked"     // a @revoked line has it, or the key that signed it
	HostKeyWeak       HostKeyState = "weak"        // refused whatever is known: RSA below 2048 bits, DSA
	HostKeyNotOffered HostKeyState = "not offered" // a line has it, and the host did not show it
)

// ComparedHostKey is a host key beside what known_hosts files have: see
// [KnownHosts.Compare].
type ComparedHostKey struct {
	Key   ssh.PublicKey
	State HostKeyState
	// Lines are those that have the key, contradict or revoke it.
	Lines []HostKeyLine
	// Err is why a login would refuse the key; nil where it would not.
	Err error
	// CertificateErr is why a certificate is not accepted although a line has
	// the authority that signed it; nil where that is not so.
	CertificateErr error
}

// HostKeyLine is a line of a known_hosts file.
type HostKeyLine struct {
	Place string // "file:line"
	Key   ssh.PublicKey
}

func lineOf(l knownhosts.KnownKey) HostKeyLine { return HostKeyLine{l.Place(), l.Key} }

// Type is the key's type, such as "ssh-ed25519".
func (k ComparedHostKey) Type() string { return k.Key.Type() }

// Fingerprint is "SHA256:…", of a certificate that of the key in it, as
// "ssh-keygen -l" has it.
func (k ComparedHostKey) Fingerprint() string { return fingerprint(k.Key) }

// Fingerprint is "SHA256:…".
func (l HostKeyLine) Fingerprint() string { return fingerprint(l.Key) }

func fingerprint(key ssh.PublicKey) string { return ssh.FingerprintSHA256(bareKey(key)) }

// bareKey is the key in a certificate, any other key as it is.
func bareKey(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

func equalKeys(a, b ssh.PublicKey) bool {
	return string(bareKey(a).Marshal()) == string(bareKey(b).Marshal())
}

// Compare says of each of a host's keys, as [Client.ScanHostKeys] found them,
// how it stands to the files, and then which other keys the files have for the
// host. The mode does not matter, and nothing is learned.
//
// Check refuses every key of a host that is known by another one. Compare is for
// a person who reviews all of them together: a key of a further type is new and
// not changed where the host showed a key that is known. It is not verified by
// that one.
func (k *KnownHosts) Compare(addr string, keys ...ssh.PublicKey) ([]ComparedHostKey, error) {
	db, err := k.load()
	if err != nil {
		return nil, err
	}
	lines := slices.DeleteFunc(db.Lookup(addr), func(l knownhosts.KnownKey) bool { return l.Marker != knownhosts.Known })
	all := make([]ComparedHostKey, len(keys))
	for i, key := range keys {
		all[i] = compared(key, db.Check(addr, key), lines)
	}
	settleStates(all, lines)
	for _, l := range lines {
		if !slices.ContainsFunc(all, func(c ComparedHostKey) bool { return c.mentions(l.Key) }) {
			all = append(all, ComparedHostKey{Key: l.Key, State: HostKeyNotOffered, Lines: []HostKeyLine{lineOf(l)}})
		}
	}
	return all, nil
}

// compared is one key by itself.
func compared(key ssh.PublicKey, refused error, lines []knownhosts.KnownKey) ComparedHostKey {
	c := ComparedHostKey{Key: key, State: HostKeyNew, Err: refused}
	if revoked, ok := errors.AsType[*knownhosts.RevokedError](refused); ok {
		c.State, c.Lines = HostKeyRevoked, []HostKeyLine{lineOf(revoked.Line)}
		return c
	}
	if _, ok := errors.AsType[*knownhosts.WeakKeyError](refused); ok {
		c.State = HostKeyWeak
		return c
	}
	if refused == nil {
		c.State = HostKeyKnown
	}
	if e, ok := errors.AsType[*knownhosts.CertificateError](refused); ok {
		c.CertificateErr = e
	}
	_, changed := errors.AsType[*knownhosts.ChangedError](refused)
	for _, l := range lines {
		same := l.Key.Type() == bareKey(key).Type()
		switch {
		case refused == nil && equalKeys(l.Key, key), changed && same:
			c.Lines = append(c.Lines, lineOf(l))
		}
	}
	if changed {
		c.State = HostKeyChanged
	}
	return c
}

// settleStates settles what only all keys of the host together say.
func settleStates(all []ComparedHostKey, lines []knownhosts.KnownKey) {
	known := slices.ContainsFunc(all, func(c ComparedHostKey) bool { return c.State == HostKeyKnown })
	for i := range all {
		c := &all[i]
		vouched := func(o ComparedHostKey) bool { return o.State == HostKeyKnown && equalKeys(o.Key, c.Key) }
		switch {
		case c.State != HostKeyNew && c.State != HostKeyChanged:
		case slices.ContainsFunc(all, vouched): // in a certificate that is good
			c.State, c.Lines, c.Err = HostKeyKnown, nil, nil
		case known && len(c.Lines) == 0:
			c.State = HostKeyNew
		case c.State == HostKeyChanged && len(c.Lines) == 0:
			for _, l := range lines {
				c.Lines = append(c.Lines, lineOf(l))
			}
		}
	}
}

// mentions reports whether the key is this one, or among those it changed from.
func (k ComparedHostKey) mentions(key ssh.PublicKey) bool {
	return equalKeys(k.Key, key) || slices.ContainsFunc(k.Lines, func(l HostKeyLine) bool { return equalKeys(l.Key, key) })
}

// File returns the file that keys are learned into; empty where there is none.
func (k *KnownHosts) File() (string, error) {
	db, err := k.load()
	if err != nil {
		return "", err
	}
	return db.File(), nil
}

// Learn makes keys known for a host, after whatever review they deserve, and
// returns how many were added to the first file, in lines of their own: a key
// that is known is not added again. Where a host is known by other keys, and none
// of them is among keys, nothing is learned; see [KnownHosts.Replace]. The file
// is locked meanwhile, and made with mode 0600 where there is none.
func (k *KnownHosts) Learn(addr string, keys ...ssh.PublicKey) (added int, err error) {
	db, err := k.load()
	if err != nil {
		return 0, err
	}
	return db.Add(addr, keys...)
}

// Replace makes keys the only known keys of a host whose keys have changed for a
// reason that somebody has made sure of: lines that know it by others are taken
// out of the first file, which is kept as it was with ".old" behind its name. It
// is an error, and nothing is changed, where other files or lines with patterns
// know it by others too.
func (k *KnownHosts) Replace(addr string, keys ...ssh.PublicKey) (removed, added int, err error) {
	db, err := k.load()
	if err != nil {
		return 0, 0, err
	}
	return db.Replace(addr, keys...)
}

// Line returns the line of a known_hosts file for a host and a key, hashed where
// Hash says so.
func (k *KnownHosts) Line(addr string, key ssh.PublicKey) (string, error) {
	line, err := (&knownhosts.DB{Hash: k.Hash}).Line(addr, key)
	if err != nil {
		return "", fmt.Errorf("known_hosts: %w", err)
	}
	return line, nil
}
