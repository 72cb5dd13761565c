package knownhosts

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// maxLine bounds a line: ten thousand names of a hundred bytes fit, a file
// that is no known_hosts file does not.
const maxLine = 1 << 20

// minRSAStored is the size below which OpenSSH does not even load a key
// (SSH_RSA_MINIMUM_MODULUS_SIZE).
const minRSAStored = 1024

// Marker tells what a line of a known_hosts file says about its key.
type Marker int

const (
	// Known marks the key of a host. It is the zero value.
	Known Marker = iota
	// Authority marks the key of a CA that signs host certificates, the
	// @cert-authority lines.
	Authority
	// Revoked marks a key that must never be accepted, the @revoked lines.
	Revoked
)

// String returns the marker as known_hosts spells it, empty for [Known].
func (m Marker) String() string {
	switch m {
	case Authority:
		return "@cert-authority"
	case Revoked:
		return "@revoked"
	}
	return ""
}

// KnownKey is one line of a known_hosts file.
type KnownKey struct {
	File   string // empty when the key is known to the [DB] only
	Line   int    // counted from 1
	Marker Marker
	Hosts  string // the host field, as written but in lower case unless hashed
	Key    ssh.PublicKey
}

// String returns where the line is and its key's type and SHA-256 fingerprint.
func (k KnownKey) String() string {
	return fmt.Sprintf("%s (%s)", k.Place(), describe(k.Key))
}

// Place returns "file:line".
func (k KnownKey) Place() string {
	if k.File == "" {
		return "learned in this run"
	}
	return fmt.Sprintf("%s:%d", printable(k.File), k.Line)
}

// entry is a line in the index.
type entry struct {
	KnownKey
	seq  int     // order of loading, which is OpenSSH's order of trying
	blob string  // what the key is compared by
	hash *hashed // nil unless the host field is hashed
}

// parseLine parses one line without its line end. It returns nil for a line
// that says nothing: an empty one or a comment.
func parseLine(line []byte) (*entry, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("longer than %d bytes", maxLine)
	}
	if i := bytes.IndexByte(line, 0); i >= 0 {
		line = line[:i] // the end of a C string
	}
	rest := strings.Trim(string(line), " \t\r")
	if rest == "" || rest[0] == '#' {
		return nil, nil
	}
	marker, rest, err := cutMarker(rest)
	if err != nil {
		return nil, err
	}
	hosts, rest := cutField(rest)
	name, rest := cutField(rest)
	text, _ := cutField(rest)
	if text == "" || name[0] == '#' {
		return nil, errors.New("not a host, a key type and a key")
	}
	key, err := parseKey(name, text)
	if err != nil {
		return nil, err
	}
	return newEntry(marker, hosts, key)
}

// newEntry makes the index entry of a parsed line.
func newEntry(marker Marker, hosts string, key ssh.PublicKey) (*entry, error) {
	hosts = strings.Clone(hosts) // not the whole line
	e := &entry{KnownKey: KnownKey{Marker: marker, Hosts: hosts, Key: key}}
	if marker == Known {
		e.blob = string(key.Marshal())
	} else {
		e.blob = string(plainKey(key).Marshal())
	}
	if !strings.HasPrefix(hosts, "|") {
		e.Hosts = lower(hosts)
		return e, nil
	}
	var err error
	e.hash, err = newHashed(hosts)
	return e, err
}

// cutField cuts the first field; fields are separated by spaces and tabs only.
func cutField(s string) (field, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}

// cutMarker cuts a marker off the front, at most one.
func cutMarker(s string) (Marker, string, error) {
	if s[0] != '@' {
		return Known, s, nil
	}
	word, rest := cutField(s)
	if strings.HasPrefix(rest, "@") {
		return 0, "", errors.New("more than one marker")
	}
	for _, m := range []Marker{Authority, Revoked} {
		if word == m.String() {
			return m, rest, nil
		}
	}
	return 0, "", fmt.Errorf("unknown marker %.40q", word)
}

// parseKey decodes a key, whose type must be the one that the line names.
func parseKey(name, text string) (ssh.PublicKey, error) {
	if strings.ContainsAny(text, "\v\f") { // b64_pton leaves them out, as Go does \r
		text = strings.NewReplacer("\v", "", "\f", "").Replace(text)
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errors.New("key is not base64")
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return nil, fmt.Errorf("cannot read the %.40q key: %.100q", name, err.Error())
	}
	if formatOf(name) != key.Type() {
		return nil, fmt.Errorf("key of type %q is called %.40q", key.Type(), name)
	}
	if bits := rsaBits(key); bits > 0 && bits < minRSAStored {
		return nil, fmt.Errorf("RSA key of %d bits is too short", bits)
	}
	return key, nil
}

// formatOf returns the key format for a key type or signature algorithm name
// (RFC 8332 §2): programs write both.
func formatOf(name string) string {
	switch name {
	case ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512:
		return ssh.KeyAlgoRSA
	case ssh.CertAlgoRSASHA256v01, ssh.CertAlgoRSASHA512v01:
		return ssh.CertAlgoRSAv01
	}
	return name
}

// plainKey returns the key that a certificate certifies, any other as it is.
func plainKey(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

// rsaBits returns the size of an RSA key, zero for keys of other types.
func rsaBits(key ssh.PublicKey) int {
	if k, ok := plainKey(key).(ssh.CryptoPublicKey); ok {
		if k, ok := k.CryptoPublicKey().(*rsa.PublicKey); ok {
			return k.N.BitLen()
		}
	}
	return 0
}

// describe returns a key's type and its SHA-256 fingerprint, of a certificate
// those of the key in it.
func describe(key ssh.PublicKey) string {
	key = plainKey(key)
	return key.Type() + " " + ssh.FingerprintSHA256(key)
}
