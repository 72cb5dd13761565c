package codec

import (
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// shifted is an encoding of seven bits in which sequences of bytes switch between
// states: ASCII, and tables of two bytes for a character. ISO-2022-JP (RFC 1468) and
// HZ (RFC 1843) are of this kind.
type shifted struct {
	name     string
	table    *multibyte // its two-byte codes, less their high bits, are those of wide
	enter    [3]string  // what an encoder writes to come into a state
	escapes  []escape
	reserved rune // a character that is no text outside escapes; 0 for none
}

// The states. Text begins and ends in narrow.
const (
	narrow = iota // ASCII
	wide          // two bytes for a character
	roman         // JIS X 0201, which is ASCII but for two characters
)

// escape is a sequence of bytes that leads to a state, or stands for text.
type escape struct {
	seq    string
	in, to int // in is anywhere for all states
	text   string
}

const anywhere = -1

func newISO2022JP() *shifted {
	return &shifted{
		name:  "iso2022_jp",
		table: newMultibyte("euc_jp"),
		enter: [3]string{narrow: "\x1b(B", wide: "\x1b$B", roman: "\x1b(J"},
		escapes: []escape{
			{"\x1b(B", anywhere, narrow, ""},
			{"\x1b(J", anywhere, roman, ""},
			{"\x1b$B", anywhere, wide, ""},
			{"\x1b$@", anywhere, wide, ""}, // the edition of 1978
		},
	}
}

func newHZ() *shifted {
	return &shifted{
		name:  "hz",
		table: newMultibyte("gb2312"),
		enter: [3]string{narrow: "~}", wide: "~{"},
		escapes: []escape{
			{"~{", narrow, wide, ""},
			{"~}", wide, narrow, ""},
			{"~~", narrow, narrow, "~"},
			{"~\n", narrow, narrow, ""},
		},
		reserved: '~',
	}
}

func (s *shifted) String() string { return s.name }

// NewDecoder implements [encoding.Encoding].
func (s *shifted) NewDecoder() *encoding.Decoder {
	return &encoding.Decoder{Transformer: &shiftedDecoder{shifted: s}}
}

// NewEncoder implements [encoding.Encoding].
func (s *shifted) NewEncoder() *encoding.Encoder {
	return newRuneEncoder(s.name, s.appendRune, func(b []byte, state int) []byte {
		return s.appendSwitch(b, state, narrow)
	})
}

func (s *shifted) appendSwitch(b []byte, from, to int) []byte {
	if from != to {
		b = append(b, s.enter[to]...)
	}
	return b
}

func (s *shifted) appendRune(b []byte, state int, r rune) ([]byte, int, bool) {
	if r < utf8.RuneSelf {
		b = append(s.appendSwitch(b, state, narrow), byte(r))
		if r == s.reserved && r != 0 {
			b = append(b, byte(r)) // it stands for itself when doubled
		}
		return b, narrow, true
	}
	if c, ok := romanByte(r); ok && s.enter[roman] != "" {
		return append(s.appendSwitch(b, state, roman), c), roman, true
	}
	code := s.table.load().encode[r]
	if code < 0xa1a1 || code > 0xfefe { // half-width katakana, JIS X 0212
		return b, state, false
	}
	return appendCode(s.appendSwitch(b, state, wide), code&0x7f7f), wide, true
}

// romanByte returns the byte of a character that JIS X 0201 has and ASCII has not.
func romanByte(r rune) (byte, bool) {
	switch r {
	case '¥':
		return '\\', true
	case '‾':
		return '~', true
	}
	return 0, false
}

type shiftedDecoder struct {
	*shifted
	state int
}

// Reset implements [transform.Transformer].
func (d *shiftedDecoder) Reset() { d.state = narrow }

// Transform implements [transform.Transformer].
func (d *shiftedDecoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		text, n, state := d.next(src[nSrc:], d.state, atEOF)
		switch {
		case n == 0:
			return nDst, nSrc, transform.ErrShortSrc
		case nDst+len(text) > len(dst):
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += copy(dst[nDst:], text)
		nSrc += n
		d.state = state
	}
	return nDst, nSrc, nil
}

// next decodes what src begins with in a state, and returns its length and the state
// behind it; the length is 0 where more has to come.
func (s *shifted) next(src []byte, state int, atEOF bool) (text string, n, next int) {
	for _, e := range s.escapes {
		if e.in != state && e.in != anywhere {
			continue
		}
		have := min(len(src), len(e.seq))
		switch {
		case string(src[:have]) != e.seq[:have]:
		case have == len(e.seq):
			return e.text, have, e.to
		case !atEOF:
			return "", 0, state
		}
	}
	c := src[0]
	switch {
	case c >= utf8.RuneSelf:
		return replacement, 1, state
	case c == '\n':
		return "\n", 1, narrow // a line begins in ASCII, whatever went wrong before
	case c <= ' ' || c == 0x7f:
		return string(rune(c)), 1, state
	case state == wide:
		text, n = s.nextWide(src, atEOF)
		return text, n, state
	case rune(c) == s.reserved:
		return replacement, 1, state
	case state == roman && c == '\\':
		return "¥", 1, state
	case state == roman && c == '~':
		return "‾", 1, state
	}
	return string(rune(c)), 1, state
}

// nextWide decodes a code of two bytes, of which the first is known to be one.
func (s *shifted) nextWide(src []byte, atEOF bool) (text string, n int) {
	switch {
	case len(src) == 1 && !atEOF:
		return "", 0
	case len(src) == 1 || src[1] <= ' ' || src[1] >= 0x7f:
		return replacement, 1
	}
	if text, ok := s.table.load().decode[uint32(src[0])<<8|uint32(src[1])|0x8080]; ok {
		return text, 2
	}
	return replacement, 2
}
