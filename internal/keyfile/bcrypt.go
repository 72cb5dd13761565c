package keyfile

import (
	"crypto/sha512"
	"encoding/binary"

	//lint:ignore SA1019 bcrypt_pbkdf, which OpenSSH encrypts keys with, is made of it
	"golang.org/x/crypto/blowfish"
)

// bcryptPBKDF derives size bytes from a passphrase as bcrypt_pbkdf(3) of
// OpenBSD: PBKDF2 with a hash made of bcrypt and SHA-512, whose output blocks
// are spread over the result. Neither the passphrase nor the salt may be empty.
func bcryptPBKDF(passphrase, salt []byte, rounds, size int) []byte {
	pass := sha512.Sum512(passphrase)
	blocks := (size + len(bcryptBlock{}) - 1) / len(bcryptBlock{})
	out := make([]byte, size)
	for n := range blocks {
		seed := binary.BigEndian.AppendUint32(append([]byte(nil), salt...), uint32(n+1))
		sum := bcryptBlock{}
		for range rounds {
			block := bcryptHash(pass, sha512.Sum512(seed))
			for i := range sum {
				sum[i] ^= block[i]
			}
			seed = block[:]
		}
		for i, at := 0, n; at < size; i, at = i+1, at+blocks {
			out[at] = sum[i]
		}
	}
	return out
}

type bcryptBlock [32]byte

// bcryptHash is one round: bcrypt at cost 6 with hashes for password and salt.
func bcryptHash(pass, salt [sha512.Size]byte) bcryptBlock {
	c, err := blowfish.NewSaltedCipher(pass[:], salt[:])
	if err != nil {
		panic(err) // only for an empty key
	}
	for range 64 {
		blowfish.ExpandKey(salt[:], c)
		blowfish.ExpandKey(pass[:], c)
	}
	out := bcryptBlock([]byte("OxychromaticBlowfishSwatDynamite"))
	for at := 0; at < len(out); at += blowfish.BlockSize {
		for range 64 {
			c.Encrypt(out[at:], out[at:])
		}
	}
	// Blowfish works on big-endian words, bcrypt_pbkdf gives little-endian ones.
	for at := 0; at < len(out); at += 4 {
		binary.LittleEndian.PutUint32(out[at:], binary.BigEndian.Uint32(out[at:]))
	}
	return out
}
