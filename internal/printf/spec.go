package printf

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	verbs     = "diuoxXeEfFgGcsraq"
	modifiers = "hlL" // C's length modifiers: read, without effect
)

// spec is one specifier.
type spec struct {
	key    string
	hasKey bool

	minus, plus, blank, sharp, zero bool

	width   int
	prec    int
	hasPrec bool
	verb    rune
}

// parse reads the specifier at f.pos, its conversion included.
func (f *formatter) parse() (spec, error) {
	var s spec
	start := f.pos
	f.pos++ // the %
	if f.peek() == '%' {
		f.pos++
		s.verb = '%'
		return s, nil
	}
	err := f.parseKey(&s, start)
	if err != nil {
		return s, err
	}
	f.parseFlags(&s)
	if s.width, err = f.parseNumber(start, "width"); err != nil {
		return s, err
	}
	if s.width < 0 { // as a * may say
		s.minus, s.width = true, -s.width
	}
	if f.peek() == '.' {
		f.pos++
		s.hasPrec = true
		if s.prec, err = f.parseNumber(start, "precision"); err != nil {
			return s, err
		}
		s.prec = max(s.prec, 0)
	}
	if c := f.peek(); c != 0 && strings.IndexByte(modifiers, c) >= 0 {
		f.pos++
	}
	return s, f.parseVerb(&s, start)
}

// parseKey reads the name in parentheses, which may nest.
func (f *formatter) parseKey(s *spec, start int) error {
	if f.peek() != '(' {
		return nil
	}
	first, depth := f.pos+1, 0
	for ; f.pos < len(f.format); f.pos++ {
		switch f.format[f.pos] {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 {
			s.key, s.hasKey, f.named = f.format[first:f.pos], true, true
			f.pos++
			return nil
		}
	}
	return f.bad(start, "a name without its closing parenthesis")
}

func (f *formatter) parseFlags(s *spec) {
	for ; ; f.pos++ {
		switch f.peek() {
		case '-':
			s.minus = true
		case '+':
			s.plus = true
		case ' ':
			s.blank = true
		case '#':
			s.sharp = true
		case '0':
			s.zero = true
		default:
			return
		}
	}
}

// parseNumber reads digits, or a * and the argument that it takes. It is 0 where
// neither is there.
func (f *formatter) parseNumber(start int, what string) (int, error) {
	if f.peek() == '*' {
		f.pos++
		return f.star(start, what)
	}
	n := 0
	for c := f.peek(); '0' <= c && c <= '9'; c = f.peek() {
		n = n*10 + int(c-'0')
		if n > maxWidth {
			return 0, f.bad(start, what+" is too large")
		}
		f.pos++
	}
	return n, nil
}

// star returns the next argument as a width or precision.
func (f *formatter) star(start int, what string) (int, error) {
	arg, err := f.argument(start)
	if err != nil {
		return 0, err
	}
	detail := fmt.Sprintf("* wants an integer as %s, not %s", what, typeName(arg))
	if n, ok := integer(arg); ok {
		if n.IsInt64() && -maxWidth <= n.Int64() && n.Int64() <= maxWidth {
			return int(n.Int64()), nil
		}
		detail = what + " is too large"
	}
	return 0, &Error{Err: ErrType, Pos: start, Spec: f.format[start:f.pos], Detail: detail}
}

func (f *formatter) parseVerb(s *spec, start int) error {
	if f.pos >= len(f.format) {
		return f.bad(start, "it ends within a specifier; write %% for a percent sign")
	}
	verb, size := utf8.DecodeRuneInString(f.format[f.pos:])
	if verb == utf8.RuneError || !strings.ContainsRune(verbs, verb) {
		return f.bad(start, fmt.Sprintf("unsupported format character %q; write %%%% for a percent sign", f.format[f.pos:f.pos+size]))
	}
	s.verb = verb
	f.pos += size
	return nil
}

// peek returns the next byte of the format, 0 at its end.
func (f *formatter) peek() byte {
	if f.pos < len(f.format) {
		return f.format[f.pos]
	}
	return 0
}

// bad returns the error for a specifier that begins at start and is wrong at f.pos.
func (f *formatter) bad(start int, detail string) error {
	return &Error{Err: ErrBadFormat, Pos: f.pos, Spec: f.format[start:f.pos], Detail: detail}
}
