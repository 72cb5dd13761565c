package render

import (
	"math/bits"
	"unicode/utf8"
)

// Sanitize returns s fit to be shown as part of one line on a terminal. Shown
// as \xNN, byte by byte, are C0 controls but the tab, DEL, C1 controls whether
// encoded or as single bytes, line and paragraph separators, controls of
// writing direction, and everything that is not UTF-8. All else is kept.
//
// Sanitize(Sanitize(s)) is Sanitize(s), and at most four times as long as s.
func Sanitize(s string) string {
	if n, bad := harmlessLen(s); bad == 0 {
		return s[:n]
	}
	return string(AppendSanitized(nil, s))
}

// AppendSanitized appends src to dst as [Sanitize] shows it.
func AppendSanitized(dst []byte, src string) []byte {
	for {
		n, bad := harmlessLen(src)
		dst = append(dst, src[:n]...)
		if bad == 0 {
			return dst
		}
		dst = appendHex(dst, src[n:n+bad])
		src = src[n+bad:]
	}
}

// harmlessLen returns how many bytes at the start of s may reach a terminal, and
// the size of what follows and may not; 0 at the end of s.
func harmlessLen(s string) (n, bad int) {
	for {
		if n += plainLen(s[n:]); n == len(s) {
			return n, 0
		}
		for n < len(s) && (s[n] >= 0x7f || s[n] < 0x20) {
			r, size := utf8.DecodeRuneInString(s[n:])
			if !harmless(r, size) {
				return n, size
			}
			n += size
		}
	}
}

// harmless reports whether a rune decoded from size bytes may reach a terminal.
func harmless(r rune, size int) bool {
	switch {
	case r == utf8.RuneError && size == 1: // not UTF-8
		return false
	case r < 0x20:
		return r == '\t'
	case r < 0xa0:
		return r < 0x7f
	case r == 0x061c, r == 0x200e, r == 0x200f: // ALM, LRM, RLM
		return false
	case r >= 0x2028 && r <= 0x202e: // LS, PS, LRE … RLO
		return false
	case r >= 0x2066 && r <= 0x2069: // LRI … PDI
		return false
	}
	return true
}

func appendHex(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	for _, b := range []byte(s) {
		dst = append(dst, '\\', 'x', hex[b>>4], hex[b&15])
	}
	return dst
}

const (
	ones = 0x0101010101010101 // one in each byte of a word
	high = 0x80 * ones
)

// plainLen returns how many bytes at the start of s are printable ASCII or
// tabs. Nearly all output is just that, so it looks at eight bytes at a time.
func plainLen(s string) int {
	i := 0
	for len(s)-i >= 8 {
		x := word(s[i : i+8])
		// With no high bit in x, the subtraction borrows into one only where a
		// byte is below 0x20, and the addition carries into one only at 0x7f.
		// What is above the lowest such byte may be wrong, but not that one.
		odd := (x | (x - 0x20*ones) | (x + ones)) & high
		if odd == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(odd) / 8
		if s[i] != '\t' {
			return i
		}
		i++
	}
	for i < len(s) && (s[i] == '\t' || s[i] >= 0x20 && s[i] < 0x7f) {
		i++
	}
	return i
}

// word is binary.LittleEndian.Uint64 of a string; the compiler makes one load
// of it.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// tornRune returns how many bytes at the end of s are the beginning of a rune
// that the next piece may complete.
func tornRune(s string) int {
	for n := 1; n < utf8.UTFMax && n <= len(s); n++ {
		b := s[len(s)-n]
		if b < 0x80 {
			return 0
		}
		if utf8.RuneStart(b) {
			if utf8.FullRuneInString(s[len(s)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}
