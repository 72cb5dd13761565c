package printf

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/shoal-ssh/shoal/internal/shell"
)

// convert returns arg as s wants it. The error says what is wrong with arg's type.
func (s *spec) convert(arg any) (string, error) {
	switch s.verb {
	case 's':
		return s.pad("", s.cut(str(arg)), false), nil
	case 'r':
		return s.pad("", s.cut(repr(arg)), false), nil
	case 'a':
		return s.pad("", s.cut(ascii(repr(arg))), false), nil
	case 'q':
		return s.quoted(arg)
	case 'c':
		return s.char(arg)
	case 'd', 'i', 'u':
		return s.decimal(arg)
	case 'o', 'x', 'X':
		return s.based(arg)
	default:
		return s.float(arg)
	}
}

// cut shortens text to the precision, counted in characters.
func (s *spec) cut(text string) string {
	if !s.hasPrec {
		return text
	}
	n := 0
	for i := range text {
		if n == s.prec {
			return text[:i]
		}
		n++
	}
	return text
}

// pad brings sign (with 0x and the like) and body to the width; zeros says whether
// the 0 flag applies.
func (s *spec) pad(sign, body string, zeros bool) string {
	n := s.width - utf8.RuneCountInString(sign) - utf8.RuneCountInString(body)
	switch {
	case n <= 0:
		return sign + body
	case s.minus:
		return sign + body + strings.Repeat(" ", n)
	case s.zero && zeros:
		return sign + strings.Repeat("0", n) + body
	}
	return strings.Repeat(" ", n) + sign + body
}

func (s *spec) quoted(arg any) (string, error) {
	word := s.cut(str(arg))
	if err := shell.Check(word); err != nil {
		return "", err
	}
	return s.pad("", shell.Quote(word), false), nil
}

// char is %c: a code point's number, or text of one character.
func (s *spec) char(arg any) (string, error) {
	if text, ok := text(arg); ok {
		if utf8.RuneCountInString(text) != 1 {
			return "", errors.New("%c requires an integer or one character")
		}
		return s.pad("", text, false), nil
	}
	n, ok := integer(arg)
	switch {
	case !ok:
		return "", fmt.Errorf("%%c requires an integer or one character, not %s", typeName(arg))
	case !n.IsInt64() || n.Int64() != int64(rune(n.Int64())) || !utf8.ValidRune(rune(n.Int64())):
		return "", errors.New("not the number of a Unicode character")
	}
	return s.pad("", string(rune(n.Int64())), false), nil
}

// decimal is %d, which cuts a float's fraction off.
func (s *spec) decimal(arg any) (string, error) {
	n, ok := integer(arg)
	if !ok {
		x, isFloat := floating(arg)
		switch {
		case !isFloat:
			return "", fmt.Errorf("a real number is required, not %s", typeName(arg))
		case math.IsInf(x, 0) || math.IsNaN(x):
			return "", errors.New("infinity and NaN are not integers")
		}
		n, _ = big.NewFloat(x).Int(nil)
	}
	return s.pad(s.sign(n.Sign() < 0), s.digits(n, 10), true), nil
}

// based is %o, %x and %X.
func (s *spec) based(arg any) (string, error) {
	n, ok := integer(arg)
	if !ok {
		return "", fmt.Errorf("an integer is required, not %s", typeName(arg))
	}
	sign, base := s.sign(n.Sign() < 0), 16
	if s.verb == 'o' {
		base = 8
	}
	if s.sharp {
		sign += "0" + string(s.verb)
	}
	digits := s.digits(n, base)
	if s.verb == 'X' {
		digits = strings.ToUpper(digits)
	}
	return s.pad(sign, digits, true), nil
}

// digits returns |n|, with at least as many digits as the precision asks for.
func (s *spec) digits(n *big.Int, base int) string {
	digits := new(big.Int).Abs(n).Text(base)
	return strings.Repeat("0", max(0, s.prec-len(digits))) + digits
}

func (s *spec) sign(negative bool) string {
	switch {
	case negative:
		return "-"
	case s.plus:
		return "+"
	case s.blank:
		return " "
	}
	return ""
}

// float is %e, %f, %g and their capital forms.
func (s *spec) float(arg any) (string, error) {
	x, ok := floating(arg)
	if !ok {
		n, isInt := integer(arg)
		if !isInt {
			return "", fmt.Errorf("a real number is required, not %s", typeName(arg))
		}
		if x, _ = new(big.Float).SetInt(n).Float64(); math.IsInf(x, 0) {
			return "", errors.New("the integer is too large for a float")
		}
	}
	prec := 6
	if s.hasPrec {
		prec = s.prec
	}
	form := "%.*" + string(s.verb)
	if s.sharp {
		form = "%#.*" + string(s.verb)
	}
	body := strings.TrimLeft(fmt.Sprintf(form, prec, math.Abs(x)), "+")
	if math.IsInf(x, 0) || math.IsNaN(x) {
		body = strings.ToLower(body)
		if s.verb < 'a' {
			body = strings.ToUpper(body)
		}
	}
	negative := math.Signbit(x) && !math.IsNaN(x)
	return s.pad(s.sign(negative), body, true), nil
}

// integer returns arg as an integer where it is one; bools are.
func integer(arg any) (*big.Int, bool) {
	if n, ok := arg.(*big.Int); ok {
		return n, n != nil
	}
	v := indirect(reflect.ValueOf(arg))
	switch {
	case !v.IsValid():
		return nil, false
	case v.CanInt():
		return big.NewInt(v.Int()), true
	case v.CanUint():
		return new(big.Int).SetUint64(v.Uint()), true
	case v.Kind() == reflect.Bool && v.Bool():
		return big.NewInt(1), true
	case v.Kind() == reflect.Bool:
		return new(big.Int), true
	}
	return nil, false
}

// floating returns arg's value where it is a float.
func floating(arg any) (float64, bool) {
	v := indirect(reflect.ValueOf(arg))
	if v.IsValid() && v.CanFloat() {
		return v.Float(), true
	}
	return 0, false
}

// text returns arg's value where it is a string or bytes.
func text(arg any) (string, bool) {
	v := indirect(reflect.ValueOf(arg))
	switch {
	case !v.IsValid():
		return "", false
	case v.Kind() == reflect.String:
		return v.String(), true
	case isBytes(v):
		return string(v.Bytes()), true
	}
	return "", false
}

func typeName(arg any) string {
	if arg == nil {
		return "nil"
	}
	return reflect.TypeOf(arg).String()
}
