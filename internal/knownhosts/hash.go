package knownhosts

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash"
	"strings"
	"sync/atomic"
)

const (
	hashPrefix = "|1|"          // HASH_MAGIC
	blockSize  = 64             // of SHA-1
	stateAt    = len("sha\x01") // where a marshaled SHA-1 holds its five words
	innerPad   = 0x36           // ipad of RFC 2104
	outerPad   = 0x5c           // opad
)

// hashed is a hashed host field, |1|salt|HMAC-SHA1(salt, name). Instead of the
// salt it keeps the two states of SHA-1 that HMAC (RFC 2104) reaches after the
// salt, so that testing a name costs two blocks instead of four and no
// allocation.
type hashed struct {
	inner, outer, sum [sha1.Size]byte
	line              *entry
	taken             atomic.Bool // its name was found, so that it can match no other
}

// newHashed parses a hashed host field. Like OpenSSH, which compares the text,
// it accepts only the one spelling that a name can hash to.
func newHashed(field string) (*hashed, error) {
	bad := errors.New("not a hashed host name")
	salt64, sum64, ok := strings.Cut(strings.TrimPrefix(field, hashPrefix), "|")
	if !ok {
		return nil, bad
	}
	salt, err1 := base64.StdEncoding.DecodeString(salt64)
	sum, err2 := base64.StdEncoding.DecodeString(sum64)
	if err1 != nil || err2 != nil || len(salt) != sha1.Size || len(sum) != sha1.Size || hashField(salt, sum) != field {
		return nil, bad
	}
	return &hashed{inner: afterSalt(salt, innerPad), outer: afterSalt(salt, outerPad), sum: [sha1.Size]byte(sum)}, nil
}

// hashName returns name as a hashed host field with a salt of its own.
func hashName(name string) string {
	salt := make([]byte, sha1.Size)
	rand.Read(salt)
	inner, outer := afterSalt(salt, innerPad), afterSalt(salt, outerPad)
	return hashField(salt, newMAC(name).sum(inner[:], outer[:]))
}

func hashField(salt, sum []byte) string {
	return hashPrefix + base64.StdEncoding.EncodeToString(salt) + "|" + base64.StdEncoding.EncodeToString(sum)
}

// mac computes HMAC-SHA1 of one name under many salts.
type mac struct {
	hash  sha1State
	state []byte // a marshaled state after one block, for its words to be replaced
	name  []byte // the name, padded as the end of the inner message
	inner []byte // the inner sum, padded as the end of the outer message
	buf   []byte
}

func newMAC(name string) *mac {
	m := &mac{hash: newSHA1(), buf: make([]byte, 0, 2*blockSize)}
	m.hash.Write(make([]byte, blockSize))
	m.state = marshal(m.hash, nil)
	m.name = pad([]byte(name))
	m.inner = pad(make([]byte, sha1.Size))
	return m
}

func (m *mac) matches(h *hashed) bool {
	return bytes.Equal(m.sum(h.inner[:], h.outer[:]), h.sum[:])
}

// sum returns the HMAC for the salt behind two states; it is valid until the
// next call.
func (m *mac) sum(inner, outer []byte) []byte {
	copy(m.inner, m.run(inner, m.name))
	return m.run(outer, m.inner)
}

// run returns the words of SHA-1 after blocks, begun with those of state. With
// the padding in the blocks they are the sum.
func (m *mac) run(state, blocks []byte) []byte {
	copy(m.state[stateAt:], state)
	if err := m.hash.UnmarshalBinary(m.state); err != nil {
		panic("knownhosts: SHA-1 refuses its own state: " + err.Error())
	}
	m.hash.Write(blocks)
	return marshal(m.hash, m.buf)[stateAt : stateAt+sha1.Size]
}

// sha1State is what the digests of crypto/sha1 are. Reading the state instead
// of asking for a sum saves the padding that Sum does for each: ours is done
// once for all lines.
type sha1State interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

func newSHA1() sha1State { return sha1.New().(sha1State) }

func marshal(h sha1State, buf []byte) []byte {
	state, err := h.AppendBinary(buf)
	if err != nil {
		panic("knownhosts: SHA-1 has no state: " + err.Error())
	}
	return state
}

// afterSalt returns the words of SHA-1 after the salt, padded with zeros to a
// block and xored with pad.
func afterSalt(salt []byte, pad byte) [sha1.Size]byte {
	block := make([]byte, blockSize)
	copy(block, salt)
	for i := range block {
		block[i] ^= pad
	}
	h := newSHA1()
	h.Write(block)
	return [sha1.Size]byte(marshal(h, nil)[stateAt:])
}

// pad pads the end of a message that follows one block (FIPS 180-4 §5.1.1).
func pad(message []byte) []byte {
	bits := uint64(blockSize+len(message)) * 8
	message = append(message, 0x80)
	for len(message)%blockSize != blockSize-8 {
		message = append(message, 0)
	}
	return binary.BigEndian.AppendUint64(message, bits)
}
