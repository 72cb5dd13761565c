package codec

import (
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// charmap is an encoding with one byte for each character.
type charmap struct {
	name   string
	decode [256]rune
	encode map[rune]byte
}

// newCharmap makes the encoding from its characters as singleByte has them.
func newCharmap(name, chars string) *charmap {
	c := &charmap{name: name, encode: make(map[rune]byte)}
	b := 0
	if utf8.RuneCountInString(chars) == 128 {
		for ; b < 128; b++ {
			c.set(b, rune(b))
		}
	}
	for _, r := range chars {
		c.set(b, r)
		b++
	}
	return c
}

// set makes b stand for r. The first of several bytes for r is the one to encode to:
// mac_arabic has a second blank for text from right to left.
func (c *charmap) set(b int, r rune) {
	c.decode[b] = r
	if _, ok := c.encode[r]; !ok && r != utf8.RuneError {
		c.encode[r] = byte(b)
	}
}

func (c *charmap) String() string { return c.name }

// NewDecoder implements [encoding.Encoding].
func (c *charmap) NewDecoder() *encoding.Decoder {
	return &encoding.Decoder{Transformer: charmapDecoder{charmap: c}}
}

// NewEncoder implements [encoding.Encoding].
func (c *charmap) NewEncoder() *encoding.Encoder {
	return newRuneEncoder(c.name, func(b []byte, _ int, r rune) ([]byte, int, bool) {
		code, ok := c.encode[r]
		return append(b, code), 0, ok
	}, nil)
}

type charmapDecoder struct {
	transform.NopResetter
	*charmap
}

// Transform implements [transform.Transformer].
func (d charmapDecoder) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	for _, b := range src {
		r := d.decode[b]
		if nDst+utf8.RuneLen(r) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc++
	}
	return nDst, nSrc, nil
}
