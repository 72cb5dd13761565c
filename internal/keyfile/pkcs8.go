package keyfile

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// maxIterations bounds the work for one passphrase to seconds; OpenSSL's
// default is 2048, and 600000 is what is recommended for SHA-256 now.
const maxIterations = 10_000_000

// encryptedPKCS8 is EncryptedPrivateKeyInfo of RFC 5958 §3.
type encryptedPKCS8 struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// pbes2 is PBES2-params of RFC 8018 appendix A.4.
type pbes2 struct {
	KDF    pkix.AlgorithmIdentifier
	Cipher pkix.AlgorithmIdentifier
}

// pbkdf2Params is PBKDF2-params of RFC 8018 appendix A.2.
type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

const (
	oidDSA    = "1.2.840.10040.4.1"
	oidPBES2  = "1.2.840.113549.1.5.13"
	oidPBKDF2 = "1.2.840.113549.1.5.12"
)

// pkcs8Cipher is a block cipher in CBC mode with its key length in bytes.
type pkcs8Cipher struct {
	keyLen int
	block  func([]byte) (cipher.Block, error)
}

// pkcs8Encryption is all that decryption needs but the passphrase.
type pkcs8Encryption struct {
	pkcs8Cipher
	kdf  pbkdf2Params
	hash func() hash.Hash
	iv   []byte
	data []byte
}

func parsePKCS8(der []byte) (crypto.PrivateKey, error) {
	var outer struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	if len(der) > maxDER {
		return nil, errLong
	}
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return nil, readable(err)
	}
	if outer.Algorithm.Algorithm.String() == oidDSA {
		return nil, errDSA
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	return key, readable(err)
}

func parseEncryptedPKCS8(der []byte) (*sealed, error) {
	e, err := decodePKCS8Encryption(der)
	if err != nil {
		return nil, err
	}
	return &sealed{encrypted: true, open: e.open}, nil
}

func decodePKCS8Encryption(der []byte) (*pkcs8Encryption, error) {
	var outer encryptedPKCS8
	if err := unmarshal(der, &outer); err != nil {
		return nil, err
	}
	if oid := outer.Algorithm.Algorithm.String(); oid != oidPBES2 {
		return nil, fmt.Errorf("encrypted by the outdated or unknown scheme %s: re-encrypt it with openssl pkcs8 -topk8 -v2 aes256", oid)
	}
	var params pbes2
	if err := unmarshal(outer.Algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, err
	}
	e := &pkcs8Encryption{data: outer.Data}
	if err := e.setKDF(params.KDF); err != nil {
		return nil, err
	}
	if err := e.setCipher(params.Cipher); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *pkcs8Encryption) setKDF(id pkix.AlgorithmIdentifier) error {
	if oid := id.Algorithm.String(); oid != oidPBKDF2 {
		return fmt.Errorf("encrypted with the key derivation %s, which is not PBKDF2", oid)
	}
	if err := unmarshal(id.Parameters.FullBytes, &e.kdf); err != nil {
		return err
	}
	prf := e.kdf.PRF.Algorithm.String()
	switch prf {
	case "", "1.2.840.113549.2.7": // the default
		e.hash = sha1.New
	case "1.2.840.113549.2.9":
		e.hash = sha256.New
	case "1.2.840.113549.2.10":
		e.hash = sha512.New384
	case "1.2.840.113549.2.11":
		e.hash = sha512.New
	default:
		return fmt.Errorf("encrypted with PBKDF2 over the unknown function %s", prf)
	}
	if n := e.kdf.Iterations; n < 1 || n > maxIterations {
		return fmt.Errorf("%d iterations of key derivation: 1 to %d are done", n, maxIterations)
	}
	return nil
}

func (e *pkcs8Encryption) setCipher(id pkix.AlgorithmIdentifier) error {
	switch oid := id.Algorithm.String(); oid {
	case "2.16.840.1.101.3.4.1.2":
		e.pkcs8Cipher = pkcs8Cipher{16, aes.NewCipher}
	case "2.16.840.1.101.3.4.1.22":
		e.pkcs8Cipher = pkcs8Cipher{24, aes.NewCipher}
	case "2.16.840.1.101.3.4.1.42":
		e.pkcs8Cipher = pkcs8Cipher{32, aes.NewCipher}
	case "1.2.840.113549.3.7":
		e.pkcs8Cipher = pkcs8Cipher{24, des.NewTripleDESCipher}
	default:
		return fmt.Errorf("encrypted with the cipher %s, which is neither AES nor 3DES in CBC mode", oid)
	}
	if n := e.kdf.KeyLength; n != 0 && n != e.keyLen {
		return fmt.Errorf("damaged: a key of %d bytes for a cipher that takes %d", n, e.keyLen)
	}
	return unmarshal(id.Parameters.FullBytes, &e.iv)
}

func (e *pkcs8Encryption) open(passphrase []byte) (crypto.PrivateKey, error) {
	secret, err := pbkdf2.Key(e.hash, string(passphrase), e.kdf.Salt, e.kdf.Iterations, e.keyLen)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	block, err := e.block(secret)
	if err != nil {
		return nil, err
	}
	if len(e.iv) != block.BlockSize() || len(e.data) == 0 || len(e.data)%block.BlockSize() != 0 {
		return nil, errLength
	}
	der := make([]byte, len(e.data))
	defer clear(der)
	cipher.NewCBCDecrypter(block, e.iv).CryptBlocks(der, e.data)
	body, ok := unpad(der, block.BlockSize())
	if !ok || !isSequence(body) {
		return nil, errWrongPassphrase
	}
	return parsePKCS8(body)
}

// unpad takes off the padding of RFC 8018 §6.1.1 step 4: n bytes of value n.
func unpad(text []byte, blockSize int) ([]byte, bool) {
	n := int(text[len(text)-1])
	if n == 0 || n > blockSize {
		return nil, false
	}
	body, pad := text[:len(text)-n], text[len(text)-n:]
	for _, b := range pad {
		if int(b) != n {
			return nil, false
		}
	}
	return body, true
}

// unmarshal reads a complete DER value.
func unmarshal(der []byte, into any) error {
	rest, err := asn1.Unmarshal(der, into)
	if err == nil && len(rest) > 0 {
		return errors.New("damaged: more than one value in it")
	}
	return readable(err)
}
