package render

import (
	"encoding/binary"
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
	return string(appendText(nil, s))
}

// appendText appends s as [Sanitize] shows it. It allocates only where s is not
// plain, which matters for the label of every line.
func appendText(dst []byte, s string) []byte {
	start := len(dst)
	dst = append(dst, s...)
	if plainLen(dst[start:]) == len(s) {
		return dst
	}
	return AppendSanitized(dst[:start], []byte(s))
}

// AppendSanitized appends src to dst as [Sanitize] shows it.
func AppendSanitized(dst, src []byte) []byte {
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

// harmlessLen returns how many bytes at the start of p may reach a terminal, and
// the size of what follows and may not; 0 at the end of p.
func harmlessLen(p []byte) (n, bad int) {
	for {
		if n += plainLen(p[n:]); n == len(p) {
			return n, 0
		}
		for n < len(p) && (p[n] >= 0x7f || p[n] < 0x20) {
			r, size := utf8.DecodeRune(p[n:])
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

func appendHex(dst, p []byte) []byte {
	const hex = "0123456789abcdef"
	for _, b := range p {
		dst = append(dst, '\\', 'x', hex[b>>4], hex[b&15])
	}
	return dst
}

// plainLen returns how many bytes at the start of p are printable ASCII or
// tabs. Nearly all output is just that, so it looks at eight bytes at a time.
func plainLen(p []byte) int {
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	i := 0
	for len(p)-i >= 8 {
		x := binary.LittleEndian.Uint64(p[i:])
		// With no high bit in x, the subtraction borrows into one only where a
		// byte is below 0x20, and the addition carries into one only at 0x7f.
		// What is above the lowest such byte may be wrong, but not that one.
		odd := (x | (x - 0x20*ones) | (x + ones)) & high
		if odd == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(odd) / 8
		if p[i] != '\t' {
			return i
		}
		i++
	}
	return i + plainBytes(p[i:])
}

func plainBytes(p []byte) int {
	for i, b := range p {
		if (b < 0x20 && b != '\t') || b >= 0x7f {
			return i
		}
	}
	return len(p)
}

// tornRune returns how many bytes at the end of p are the beginning of a rune
// that the next piece may complete.
func tornRune(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		b := p[len(p)-n]
		if b < 0x80 {
			return 0
		}
		if utf8.RuneStart(b) {
			if utf8.FullRune(p[len(p)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}
