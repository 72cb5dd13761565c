package shoal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// krlMagic begins OpenSSH's binary key revocation lists (PROTOCOL.krl).
const krlMagic = "SSHKRL\n\x00"

// maxRevoked bounds the size of a file of revoked keys, in bytes.
const maxRevoked = 64 << 20

// revocationListError is a [KnownHosts.Revoked] that cannot be read. Nothing is
// known then about any key.
type revocationListError struct {
	file string
	err  error
}

func (e *revocationListError) Error() string {
	return fmt.Sprintf("RevokedHostKeys %s: %v; no host is trusted without it", e.file, e.err)
}

func (e *revocationListError) Unwrap() error { return e.err }

// readRevoked reads a file of public keys, in the format of authorized_keys
// without options; comments and empty lines are passed over.
func readRevoked(path string) (map[string]bool, error) {
	info, err := os.Stat(path)
	var text []byte
	switch {
	case err != nil:
	case info.Size() > maxRevoked:
		err = fmt.Errorf("it is larger than %d MiB", maxRevoked>>20)
	default:
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, &revocationListError{path, err}
	}
	if bytes.HasPrefix(text, []byte(krlMagic)) {
		return nil, &revocationListError{path, errors.New("it is a binary key revocation list, which is not supported; " +
			"list the public keys in a text file, one a line, or have ssh connect with --transport openssh")}
	}
	return parseRevoked(path, string(text))
}

func parseRevoked(path, text string) (map[string]bool, error) {
	revoked := map[string]bool{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || len(options) > 0 {
			return nil, &revocationListError{path, fmt.Errorf("line %d is no public key", n)}
		}
		revoked[string(key.Marshal())] = true
	}
	return revoked, nil
}

// revokedError is a host key, or the key of its authority, in the file.
type revokedError struct {
	addr, file string
	key        ssh.PublicKey
	authority  bool
}

func (e *revokedError) Error() string {
	what := "host key for"
	if e.authority {
		what = "the authority of the host certificate for"
	}
	return fmt.Sprintf("%s %s is revoked in %s: %s %s", what, e.addr, e.file, e.key.Type(), ssh.FingerprintSHA256(e.key))
}

func (k *KnownHosts) checkRevoked(addr string, key ssh.PublicKey) error {
	keys := []ssh.PublicKey{key}
	if cert, ok := key.(*ssh.Certificate); ok {
		keys = append(keys, cert.Key, cert.SignatureKey)
	}
	for i, own := range keys {
		if own != nil && k.revoked[string(own.Marshal())] {
			return &revokedError{addr, k.Revoked, own, i == 2}
		}
	}
	return nil
}
