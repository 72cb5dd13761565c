package render

import (
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// appendJSON appends s as a JSON string (RFC 8259 §7). What is not UTF-8 is
// shown as [Sanitize] does, for names and messages have no other form.
func appendJSON(dst []byte, s string) []byte {
	if n := plainJSON(s); n < len(s) && !utf8.ValidString(s[n:]) {
		s = Sanitize(s)
	}
	dst = append(dst, '"')
	dst = appendEscaped(dst, s)
	return append(dst, '"')
}

// appendEscaped appends s, which is UTF-8, with everything escaped that JSON
// requires or that a terminal should not see.
func appendEscaped(dst []byte, s string) []byte {
	for {
		n := plainJSON(s)
		dst = append(dst, s[:n]...)
		if s = s[n:]; s == "" {
			return dst
		}
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case harmless(r, size):
			dst = utf8.AppendRune(dst, r)
		default:
			dst = appendUnicodeEscape(dst, r)
		}
	}
}

func appendUnicodeEscape(dst []byte, r rune) []byte {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return appendUnicodeEscape(appendUnicodeEscape(dst, high), low)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// plainJSON returns how many bytes at the start of s stand for themselves in a
// JSON string. It looks at eight at a time, as plainLen does.
func plainJSON(s string) int {
	i := 0
	for len(s)-i >= 8 {
		x := word(s[i : i+8])
		quote, slash := x^('"'*ones), x^('\\'*ones)
		odd := (x | (x - 0x20*ones) | (x + ones) | (quote-ones)&^quote | (slash-ones)&^slash) & high
		if odd != 0 {
			return i + bits.TrailingZeros64(odd)/8
		}
		i += 8
	}
	for i < len(s) && s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '\\' {
		i++
	}
	return i
}
