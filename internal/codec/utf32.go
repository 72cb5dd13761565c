package codec

import (
	"encoding/binary"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// utf32 is UTF-32. The one of golang.org/x/text fails at the end of a text that is cut
// within its first character.
type utf32 struct {
	name string
	big  bool // the byte order where no mark says another
	mark bool // a byte order mark is read and written
}

func (u utf32) String() string { return u.name }

// NewDecoder implements [encoding.Encoding].
func (u utf32) NewDecoder() *encoding.Decoder {
	return &encoding.Decoder{Transformer: &utf32Decoder{utf32: u}}
}

// NewEncoder implements [encoding.Encoding].
func (u utf32) NewEncoder() *encoding.Encoder {
	appendUint32 := binary.LittleEndian.AppendUint32
	if u.big {
		appendUint32 = binary.BigEndian.AppendUint32
	}
	return newRuneEncoder(u.name, func(b []byte, state int, r rune) ([]byte, int, bool) {
		if u.mark && state == 0 {
			b = appendUint32(b, '\uFEFF')
		}
		return appendUint32(b, uint32(r)), 1, true
	}, nil)
}

type utf32Decoder struct {
	utf32
	begun   bool // behind the first character
	swapped bool // the mark says the other order
}

// Reset implements [transform.Transformer].
func (d *utf32Decoder) Reset() { d.begun, d.swapped = false, false }

// Transform implements [transform.Transformer].
func (d *utf32Decoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		n, r := 4, rune(utf8.RuneError)
		switch rest := src[nSrc:]; {
		case len(rest) >= n:
			r = d.rune([4]byte(rest))
		case !atEOF:
			return nDst, nSrc, transform.ErrShortSrc
		default:
			n = len(rest)
		}
		if r >= 0 {
			if nDst+utf8.RuneLen(r) > len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			nDst += utf8.EncodeRune(dst[nDst:], r)
		}
		nSrc += n
		d.begun = true
	}
	return nDst, nSrc, nil
}

// rune decodes a character. It is -1 for the mark, which is none.
func (d *utf32Decoder) rune(b [4]byte) rune {
	n, other := binary.LittleEndian.Uint32(b[:]), binary.BigEndian.Uint32(b[:])
	if d.big != d.swapped {
		n, other = other, n
	}
	switch {
	case d.mark && !d.begun && n == '\uFEFF':
		return -1
	case d.mark && !d.begun && other == '\uFEFF':
		d.swapped = true
		return -1
	case n > utf8.MaxRune || !utf8.ValidRune(rune(n)):
		return utf8.RuneError
	}
	return rune(n)
}
