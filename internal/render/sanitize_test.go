package render_test

import (
	"bytes"
	"testing"
	"unicode/utf8"

	"github.com/shoal-ssh/shoal/internal/render"
)

// checkSafe wants none of the bytes and runes in out that RELIABILITY row 75
// keeps from a terminal.
func checkSafe(t *testing.T, out []byte) {
	t.Helper()
	if !utf8.Valid(out) {
		t.Errorf("not UTF-8: %q", out)
	}
	for _, r := range string(out) {
		switch {
		case r == '\n', r == '\t':
		case r < 0x20, r >= 0x7f && r <= 0x9f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069,
			r == 0x200e, r == 0x200f, r == 0x061c, r == 0x2028, r == 0x2029:
			t.Errorf("%U in %q", r, out)
			return
		}
	}
}

func TestSanitize(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"plain text\twith a tab, é, 漢字, 😀, \ufffd", "plain text\twith a tab, é, 漢字, 😀, \ufffd"},
		{"12345678\x1b[2J", `12345678\x1b[2J`},
		{"1234567\x7f", `1234567\x7f`},
		{"a\rb\nc\x00", `a\x0db\x0ac\x00`},
		{"\x9b31m", `\x9b31m`},       // a lone byte
		{"\u009b31m", `\xc2\x9b31m`}, // the same control, encoded
		{"\u0080\u00a0", "\\xc2\\x80\u00a0"},
		{"\u202eevil\u202c", `\xe2\x80\xaeevil\xe2\x80\xac`},
		{"\u2066\u2069\u200e\u200f", `\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\x8e\xe2\x80\x8f`},
		{"\u061c\u2028\u2029", `\xd8\x9c\xe2\x80\xa8\xe2\x80\xa9`},
		{"\xff\xc3(", `\xff\xc3(`},
		{"\xc0\xaf", `\xc0\xaf`},         // overlong
		{"\xed\xa0\x80", `\xed\xa0\x80`}, // a surrogate
		{"cut \xe2\x82", `cut \xe2\x82`},
		{`already \x1b[2J`, `already \x1b[2J`},
	}
	for _, tt := range tests {
		if got := render.Sanitize(tt.in); got != tt.want {
			t.Errorf("Sanitize(%q): got %q, want %q", tt.in, got, tt.want)
		}
	}
}

// TestSanitizeEveryByte puts each byte at each place of a word, where the test
// of eight at a time might miss it.
func TestSanitizeEveryByte(t *testing.T) {
	for b := range 256 {
		for at := range 17 {
			in := bytes.Repeat([]byte{'x'}, 17)
			in[at] = byte(b)
			got := render.Sanitize(string(in))
			plain := b == '\t' || b >= 0x20 && b < 0x7f
			if plain != (got == string(in)) || !plain && len(got) != 20 {
				t.Errorf("byte %#x at %d: got %q", b, at, got)
			}
		}
	}
}

func FuzzSanitize(f *testing.F) {
	for _, seed := range []string{"plain", "\x1b]0;x\x07", "é\u009b\u202e", "\xff\xe2\x82", "a\tb\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := render.Sanitize(in)
		checkSafe(t, []byte(got))
		if bytes.ContainsRune([]byte(got), '\n') {
			t.Errorf("a newline in %q", got)
		}
		if again := render.Sanitize(got); again != got {
			t.Errorf("not idempotent: %q, then %q", got, again)
		}
		if len(got) > 4*len(in) || len(got) < len(in) {
			t.Errorf("%d bytes became %d", len(in), len(got))
		}
		if app := render.AppendSanitized([]byte("x"), in); string(app) != "x"+got {
			t.Errorf("AppendSanitized gives %q, Sanitize %q", app[1:], got)
		}
	})
}
