package codec

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// RuneError is a character that an encoding does not have. Encoders of this package's
// own report it; the others have an error of golang.org/x/text.
type RuneError struct {
	// Encoding is the name of the encoding.
	Encoding string
	// Rune is the character: U+FFFD also for bytes that are not UTF-8.
	Rune rune
}

// Error returns one line with the encoding and the character.
func (e *RuneError) Error() string {
	return fmt.Sprintf("encoding %s has no character %q (%U)", e.Encoding, e.Rune, e.Rune)
}

// appendFunc appends the bytes of r, which follow text that left the encoder in state,
// and returns the state behind them; ok is false where r has none. Text begins in
// state 0.
type appendFunc func(b []byte, state int, r rune) (out []byte, next int, ok bool)

// runeEncoder is an encoder that takes one character after the other.
type runeEncoder struct {
	name   string
	append appendFunc
	finish func(b []byte, state int) []byte // appends what ends a text; nil for nothing
	state  int
	buf    [16]byte
}

func newRuneEncoder(name string, append appendFunc, finish func([]byte, int) []byte) *encoding.Encoder {
	return &encoding.Encoder{Transformer: &runeEncoder{name: name, append: append, finish: finish}}
}

// Reset implements [transform.Transformer].
func (e *runeEncoder) Reset() { e.state = 0 }

// Transform implements [transform.Transformer].
func (e *runeEncoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if !atEOF && !utf8.FullRune(src[nSrc:]) {
			return nDst, nSrc, transform.ErrShortSrc
		}
		r, size := utf8.DecodeRune(src[nSrc:])
		out, next, ok := e.append(e.buf[:0], e.state, r)
		switch {
		case !ok || r == utf8.RuneError && size == 1:
			return nDst, nSrc, &RuneError{Encoding: e.name, Rune: r}
		case nDst+len(out) > len(dst):
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += copy(dst[nDst:], out)
		nSrc += size
		e.state = next
	}
	if atEOF && e.finish != nil {
		out := e.finish(e.buf[:0], e.state)
		if nDst+len(out) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += copy(dst[nDst:], out)
		e.state = 0
	}
	return nDst, nSrc, nil
}
