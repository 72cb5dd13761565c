package render

import (
	"unicode/utf16"
	"unicode/utf8"
)

// appendJSON appends s as a JSON string (RFC 8259 §7). What is not UTF-8 is
// shown as [Sanitize] does, for names and messages have no other form.
func appendJSON(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := len(dst)
	dst = append(dst, s...)
	n := plainJSON(dst[start:])
	if n < len(s) {
		if !utf8.ValidString(s) {
			s = Sanitize(s)
			n = 0
		}
		dst = appendEscaped(dst[:start+n], []byte(s[n:]))
	}
	return append(dst, '"')
}

// appendEscaped appends p, which is UTF-8, with everything escaped that JSON
// requires or that a terminal should not see.
func appendEscaped(dst, p []byte) []byte {
	for len(p) > 0 {
		n := plainJSON(p)
		dst = append(dst, p[:n]...)
		if p = p[n:]; len(p) == 0 {
			break
		}
		r, size := utf8.DecodeRune(p)
		p = p[size:]
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
	return dst
}

func appendUnicodeEscape(dst []byte, r rune) []byte {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return appendUnicodeEscape(appendUnicodeEscape(dst, high), low)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// plainJSON returns how many bytes at the start of p stand for themselves in a
// JSON string.
func plainJSON(p []byte) int {
	for i, b := range p {
		if b < 0x20 || b >= 0x7f || b == '"' || b == '\\' {
			return i
		}
	}
	return len(p)
}
