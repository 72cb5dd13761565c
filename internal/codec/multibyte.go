package codec

import (
	"slices"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// multibyte is an encoding of one to three bytes without states, in which ASCII is
// itself. A code is its bytes as one number.
type multibyte struct {
	name string
	load func() *tables // made once, when it is first needed
}

type tables struct {
	length [256]int // of codes that begin with the byte; 0 where none does
	decode map[uint32]string
	encode map[rune]uint32
}

func newMultibyte(name string) *multibyte {
	return &multibyte{name, sync.OnceValue(func() *tables { return learnTables(name) })}
}

// learnTables asks golang.org/x/text for every code.
func learnTables(name string) *tables {
	t := &tables{decode: make(map[uint32]string), encode: make(map[rune]uint32)}
	v := newVariant(name)
	l := learner{t, &v, v.base.NewDecoder()}
	for b := range 256 {
		l.learn(byte(b))
	}
	for i := range 0x80 {
		lead := 0x80 + (i+0x21)%0x80 // from A1 on, below it only what Hong Kong added
		if t.length[lead] == 1 {
			continue
		}
		for trail := 0x40; trail < 256; trail++ {
			l.learn(byte(lead), byte(trail))
		}
	}
	if name == "euc_jp" {
		for second := 0xa1; second < 0xff; second++ {
			for third := 0xa1; third < 0xff; third++ {
				l.learn(0x8f, byte(second), byte(third))
			}
		}
	}
	return t
}

type learner struct {
	*tables
	variant *variant
	base    *encoding.Decoder
}

// learn adds a code, if the encoding has it. Of several codes for a character the
// first is the one to encode to.
func (l *learner) learn(code ...byte) {
	var n uint32
	for _, b := range code {
		n = n<<8 | uint32(b)
	}
	var buf [8]byte
	l.base.Reset()
	nDst, nSrc, err := l.base.Transform(buf[:], code, true)
	text := string(buf[:nDst])
	r, size := utf8.DecodeRuneInString(text)
	if err != nil || nSrc != len(code) || r == utf8.RuneError || !l.variant.has(n) {
		return
	}
	if changed, ok := l.variant.changed[n]; ok {
		r, size, text = changed, utf8.RuneLen(changed), string(changed)
	}
	l.length[code[0]] = len(code)
	l.decode[n] = text
	if _, ok := l.encode[r]; !ok && size == len(text) && !slices.Contains(l.variant.second, n) { // big5hkscs has codes for a letter and an accent
		l.encode[r] = n
	}
}

func (m *multibyte) String() string { return m.name }

// NewDecoder implements [encoding.Encoding].
func (m *multibyte) NewDecoder() *encoding.Decoder {
	return &encoding.Decoder{Transformer: multibyteDecoder{tables: m.load()}}
}

// NewEncoder implements [encoding.Encoding].
func (m *multibyte) NewEncoder() *encoding.Encoder {
	t := m.load()
	return newRuneEncoder(m.name, func(b []byte, _ int, r rune) ([]byte, int, bool) {
		code, ok := t.encode[r]
		return appendCode(b, code), 0, ok
	}, nil)
}

func appendCode(b []byte, code uint32) []byte {
	if code > 0xffff {
		b = append(b, byte(code>>16))
	}
	if code > 0xff {
		b = append(b, byte(code>>8))
	}
	return append(b, byte(code))
}

type multibyteDecoder struct {
	transform.NopResetter
	*tables
}

// Transform implements [transform.Transformer].
func (d multibyteDecoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		text, n := d.next(src[nSrc:], atEOF)
		switch {
		case n == 0:
			return nDst, nSrc, transform.ErrShortSrc
		case nDst+len(text) > len(dst):
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += copy(dst[nDst:], text)
		nSrc += n
	}
	return nDst, nSrc, nil
}

const replacement = string(utf8.RuneError)

// next decodes the code that src begins with and returns its length, 0 where more of
// it has to come. A byte that is ASCII is never part of what a U+FFFD stands for, so
// that a broken code takes no line end or quote with it.
func (t *tables) next(src []byte, atEOF bool) (text string, n int) {
	length := t.length[src[0]]
	switch {
	case src[0] < utf8.RuneSelf:
		return string(rune(src[0])), 1
	case length == 0:
		return replacement, 1
	}
	have := min(length, len(src))
	if have < length && !atEOF {
		return "", 0
	}
	var code uint32
	for _, b := range src[:have] {
		code = code<<8 | uint32(b)
	}
	if text, ok := t.decode[code]; ok && have == length {
		return text, length
	}
	for n = 1; n < have && src[n] >= utf8.RuneSelf; n++ {
	}
	return replacement, n
}
