package keyfile

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
)

// isEncryptedPEM reports whether a block is encrypted in the way of OpenSSL's
// traditional files (RFC 1421), which ssh-keygen -m PEM still writes.
func isEncryptedPEM(block *pem.Block) bool {
	//lint:ignore SA1019 the scheme is weak, but it is what the user's file has
	return x509.IsEncryptedPEMBlock(block)
}

func parseEncryptedPEM(block *pem.Block) (*sealed, error) {
	return &sealed{encrypted: true, open: func(passphrase []byte) (crypto.PrivateKey, error) {
		//lint:ignore SA1019 see isEncryptedPEM
		der, err := x509.DecryptPEMBlock(block, passphrase)
		if errors.Is(err, x509.IncorrectPasswordError) {
			return nil, errWrongPassphrase
		}
		if err != nil {
			return nil, err
		}
		defer clear(der)
		if !isSequence(der) {
			return nil, errWrongPassphrase
		}
		return parseTraditional(block.Type, der)
	}}, nil
}

// isSequence reports whether der is one ASN.1 SEQUENCE, as all private keys are.
// The encryption of PEM and PKCS#8 files has no check of its own but padding,
// which one wrong passphrase in 256 passes.
func isSequence(der []byte) bool {
	var value asn1.RawValue
	rest, err := asn1.Unmarshal(der, &value)
	return err == nil && len(rest) == 0 && value.Tag == asn1.TagSequence && value.IsCompound
}
