package keyfile

import (
	"crypto"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// opensshMagic begins a key file of OpenSSH (PROTOCOL.key §1).
const opensshMagic = "openssh-key-v1\x00"

// maxRounds bounds the work for one passphrase: 128 times OpenSSH's default,
// which is many seconds. A file that asks for more is meant to keep us busy.
const maxRounds = 2048

// opensshKey is the outer layer of a key file (PROTOCOL.key §1). What follows
// Private is the tag of an authenticating cipher.
type opensshKey struct {
	Cipher     string
	KDF        string
	KDFOptions []byte
	Count      uint32
	Public     []byte
	Private    []byte
	Tag        []byte `ssh:"rest"`
}

// bcryptOptions are the KDFOptions of the KDF "bcrypt" (PROTOCOL.key §2).
type bcryptOptions struct {
	Salt   []byte
	Rounds uint32
}

func parseOpenSSH(data []byte) (*sealed, error) {
	k, err := decodeOpenSSH(data)
	if err != nil {
		return nil, err
	}
	public, err := ssh.ParsePublicKey(k.Public)
	if err != nil {
		return nil, fmt.Errorf("the public key in it: %w", err)
	}
	s := &sealed{public: public, encrypted: k.Cipher != "none"}
	if !s.encrypted {
		if k.KDF != "none" || len(k.Tag) != 0 {
			return nil, errors.New("damaged: encrypted, but with no cipher")
		}
		s.open = func([]byte) (crypto.PrivateKey, error) { return k.inner(k.Private) }
		return s, nil
	}
	c, kdf, err := k.encryption()
	if err != nil {
		return nil, err
	}
	s.open = func(passphrase []byte) (crypto.PrivateKey, error) {
		secret := bcryptPBKDF(passphrase, kdf.Salt, int(kdf.Rounds), c.keyLen+c.ivLen)
		defer clear(secret)
		text, err := c.decrypt(secret[:c.keyLen], secret[c.keyLen:], k.Private, k.Tag)
		if err != nil {
			return nil, err
		}
		defer clear(text)
		if !checked(text) {
			return nil, errWrongPassphrase
		}
		return k.inner(text)
	}
	return s, nil
}

func decodeOpenSSH(data []byte) (*opensshKey, error) {
	if len(data) < len(opensshMagic) || string(data[:len(opensshMagic)]) != opensshMagic {
		return nil, errors.New("damaged: it does not begin as a key of OpenSSH does")
	}
	var k opensshKey
	if err := ssh.Unmarshal(data[len(opensshMagic):], &k); err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	if k.Count != 1 {
		return nil, fmt.Errorf("%d keys in it, where OpenSSH has one", k.Count)
	}
	return &k, nil
}

// encryption checks how the key is encrypted, before any passphrase is asked for.
func (k *opensshKey) encryption() (opensshCipher, bcryptOptions, error) {
	var options bcryptOptions
	c, ok := opensshCiphers()[k.Cipher]
	if !ok {
		return c, options, fmt.Errorf("encrypted with the unknown cipher %.40q", k.Cipher)
	}
	if k.KDF != "bcrypt" {
		return c, options, fmt.Errorf("encrypted with the unknown key derivation %.40q", k.KDF)
	}
	if err := ssh.Unmarshal(k.KDFOptions, &options); err != nil {
		return c, options, fmt.Errorf("damaged: %w", err)
	}
	switch {
	case options.Rounds == 0 || len(options.Salt) == 0:
		return c, options, errors.New("damaged: no rounds or no salt for the passphrase")
	case options.Rounds > maxRounds:
		return c, options, fmt.Errorf("%d rounds of key derivation: at most %d are done", options.Rounds, maxRounds)
	}
	return c, options, nil
}

// checked reports whether the two check numbers at the start of a private
// section agree, which tells the right passphrase (PROTOCOL.key §3).
func checked(text []byte) bool {
	return len(text) >= 8 && binary.BigEndian.Uint32(text) == binary.BigEndian.Uint32(text[4:])
}

// inner reads a decrypted private section. x/crypto/ssh knows how, but only as
// part of a whole key file; so it gets one that is not encrypted.
func (k *opensshKey) inner(text []byte) (crypto.PrivateKey, error) {
	if !checked(text) {
		return nil, errors.New("damaged: the check numbers differ")
	}
	whole := append([]byte(opensshMagic), ssh.Marshal(opensshKey{
		Cipher: "none", KDF: "none", Count: 1, Public: k.Public, Private: text,
	})...)
	defer clear(whole)
	encoded := pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: whole})
	defer clear(encoded)
	return ssh.ParseRawPrivateKey(encoded)
}
