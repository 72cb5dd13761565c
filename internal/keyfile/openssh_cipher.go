package keyfile

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"errors"
	"slices"

	"golang.org/x/crypto/chacha20"
	//lint:ignore SA1019 OpenSSH's cipher is not the AEAD of RFC 8439, so its parts are needed
	"golang.org/x/crypto/poly1305"
)

// opensshCipher is a cipher that ssh-keygen -Z offers, with the lengths in bytes
// of the key and initialisation vector that it takes of the derived secret.
// For decrypt a tag that is wrong means a wrong passphrase.
type opensshCipher struct {
	keyLen, ivLen int
	decrypt       func(key, iv, text, tag []byte) ([]byte, error)
}

// opensshCiphers are the ciphers by name.
func opensshCiphers() map[string]opensshCipher {
	return map[string]opensshCipher{
		"3des-cbc":                      {24, 8, cbc(des.NewTripleDESCipher)},
		"aes128-cbc":                    {16, 16, cbc(aes.NewCipher)},
		"aes192-cbc":                    {24, 16, cbc(aes.NewCipher)},
		"aes256-cbc":                    {32, 16, cbc(aes.NewCipher)},
		"rijndael-cbc@lysator.liu.se":   {32, 16, cbc(aes.NewCipher)}, // an older name
		"aes128-ctr":                    {16, 16, ctr},
		"aes192-ctr":                    {24, 16, ctr},
		"aes256-ctr":                    {32, 16, ctr},
		"aes128-gcm@openssh.com":        {16, 12, gcm},
		"aes256-gcm@openssh.com":        {32, 12, gcm},
		"chacha20-poly1305@openssh.com": {64, 0, chachaPoly},
	}
}

var errLength = errors.New("damaged: the encrypted part has an impossible length")

func cbc(newCipher func([]byte) (cipher.Block, error)) func(key, iv, text, tag []byte) ([]byte, error) {
	return func(key, iv, text, tag []byte) ([]byte, error) {
		block, err := newCipher(key)
		if err != nil {
			return nil, err
		}
		if len(text) == 0 || len(text)%block.BlockSize() != 0 || len(tag) != 0 {
			return nil, errLength
		}
		out := make([]byte, len(text))
		cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, text)
		return out, nil
	}
}

func ctr(key, iv, text, tag []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if len(text)%aes.BlockSize != 0 || len(tag) != 0 {
		return nil, errLength
	}
	out := make([]byte, len(text))
	cipher.NewCTR(block, iv).XORKeyStream(out, text)
	return out, nil
}

func gcm(key, iv, text, tag []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	if len(tag) != aead.Overhead() {
		return nil, errLength
	}
	out, err := aead.Open(nil, iv, slices.Concat(text, tag), nil)
	if err != nil {
		return nil, errWrongPassphrase
	}
	return out, nil
}

// chachaPoly is PROTOCOL.chacha20poly1305 for packet 0, without the encrypted
// length, and hence without the second half of the key.
func chachaPoly(key, _, text, tag []byte) ([]byte, error) {
	if len(tag) != poly1305.TagSize {
		return nil, errLength
	}
	stream, err := chacha20.NewUnauthenticatedCipher(key[:chacha20.KeySize], make([]byte, chacha20.NonceSize))
	if err != nil {
		return nil, err
	}
	var polyKey [32]byte
	stream.XORKeyStream(polyKey[:], polyKey[:])
	if !poly1305.Verify((*[poly1305.TagSize]byte)(tag), text, &polyKey) {
		return nil, errWrongPassphrase
	}
	stream.SetCounter(1)
	out := make([]byte, len(text))
	stream.XORKeyStream(out, text)
	return out, nil
}
