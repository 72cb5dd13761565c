package opensshtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// writeKeys makes the keys of the server and of its client.
func (s *Server) writeKeys() {
	types := s.cfg.HostKeyTypes
	if len(types) == 0 {
		types = []string{"ed25519"}
	}
	for i, typ := range types {
		host := s.writeKey(fmt.Sprintf("host_key_%d", i), typ)
		s.HostKeys = append(s.HostKeys, host.PublicKey())
	}
	s.HostKey = s.HostKeys[0]
	s.Signer = s.writeKey("id_ed25519", "ed25519")
	s.KeyFile = s.path("id_ed25519")
	lines := append([]string{s.authorizedLine()}, s.cfg.AuthorizedKeys...)
	s.AuthorizedKeysFile = s.write("authorized_keys", strings.Join(lines, "\n")+"\n")
}

func (s *Server) hostKeyFile(i int) string { return s.path(fmt.Sprintf("host_key_%d", i)) }

// authorizedLine is the line of authorized_keys for the client's key.
func (s *Server) authorizedLine() string {
	key := string(ssh.MarshalAuthorizedKey(s.Signer.PublicKey()))
	return strings.TrimSpace(s.cfg.KeyOptions + " " + strings.TrimSpace(key))
}

// writeKey makes a key of that type and writes its two files.
func (s *Server) writeKey(name, typ string) ssh.Signer {
	s.tb.Helper()
	private, err := newKey(typ)
	check(s.tb, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	check(s.tb, err)
	signer, err := ssh.NewSignerFromKey(private)
	check(s.tb, err)
	s.write(name, string(pem.EncodeToMemory(block)))
	s.write(name+".pub", string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	return signer
}

func newKey(typ string) (crypto.Signer, error) {
	switch typ {
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case "ecdsa":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return nil, fmt.Errorf("key type %q is none of ed25519, ecdsa, rsa", typ)
}

// write writes a file of the server and returns its path.
func (s *Server) write(name, text string) string {
	s.tb.Helper()
	path := s.path(name)
	check(s.tb, os.WriteFile(path, []byte(text), 0o600))
	return path
}
