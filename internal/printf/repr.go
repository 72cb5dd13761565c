package printf

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth bounds the nesting of lists and dicts, which in Go may contain
// themselves. What lies deeper shows as "...".
const maxDepth = 64

// str returns v as Python's str() has it.
func str(v any) string {
	if s, ok := ownText(v); ok {
		return s
	}
	if s, ok := text(v); ok {
		return s
	}
	return repr(v)
}

// repr returns v as Python's repr() has it.
func repr(v any) string {
	return string(appendRepr(nil, reflect.ValueOf(v), 0))
}

// ownText returns what an error or a Stringer says of itself.
func ownText(v any) (string, bool) {
	if r := reflect.ValueOf(v); !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil() {
		return "", false // a method of a nil pointer may well panic
	}
	switch v := v.(type) {
	case *big.Int: // a number like others
	case error:
		return v.Error(), true
	case fmt.Stringer:
		return v.String(), true
	}
	return "", false
}

func appendRepr(b []byte, v reflect.Value, depth int) []byte {
	if v.IsValid() && v.CanInterface() {
		if s, ok := ownText(v.Interface()); ok {
			return append(b, strRepr(s)...)
		}
		if n, ok := v.Interface().(*big.Int); ok && n != nil {
			return n.Append(b, 10)
		}
	}
	v = indirect(v)
	switch {
	case !v.IsValid():
		return append(b, "None"...)
	case depth > maxDepth:
		return append(b, "..."...)
	case v.CanInt():
		return strconv.AppendInt(b, v.Int(), 10)
	case v.CanUint():
		return strconv.AppendUint(b, v.Uint(), 10)
	case v.CanFloat():
		return append(b, floatRepr(v.Float(), v.Type().Bits())...)
	case isBytes(v):
		return append(b, bytesRepr(v.Bytes())...)
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, "True"...)
		}
		return append(b, "False"...)
	case reflect.String:
		return append(b, strRepr(v.String())...)
	case reflect.Slice, reflect.Array:
		return appendList(b, v, depth)
	case reflect.Map:
		return appendDict(b, v, depth)
	}
	return fmt.Append(b, v)
}

func appendList(b []byte, v reflect.Value, depth int) []byte {
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendRepr(b, v.Index(i), depth+1)
	}
	return append(b, ']')
}

// appendDict writes a map in the order of its keys, as a Go map has none.
func appendDict(b []byte, v reflect.Value, depth int) []byte {
	keys := v.MapKeys()
	slices.SortFunc(keys, compareKeys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendRepr(b, k, depth+1)
		b = append(b, ": "...)
		b = appendRepr(b, v.MapIndex(k), depth+1)
	}
	return append(b, '}')
}

func compareKeys(x, y reflect.Value) int {
	x, y = indirect(x), indirect(y)
	switch {
	case !x.IsValid() || !y.IsValid() || x.Kind() != y.Kind():
	case x.CanInt():
		return cmp.Compare(x.Int(), y.Int())
	case x.CanUint():
		return cmp.Compare(x.Uint(), y.Uint())
	case x.CanFloat():
		return cmp.Compare(x.Float(), y.Float())
	case x.Kind() == reflect.String:
		return cmp.Compare(x.String(), y.String())
	}
	return cmp.Compare(fmt.Sprint(x), fmt.Sprint(y))
}

// floatRepr returns the shortest text that reads back as x: with an exponent below
// 1e-4 and from 1e16 on, and never without a point or an exponent.
func floatRepr(x float64, bits int) string {
	switch abs := math.Abs(x); {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 1):
		return "inf"
	case math.IsInf(x, -1):
		return "-inf"
	case abs != 0 && abs < 1e-4, abs >= 1e16:
		return strconv.FormatFloat(x, 'e', -1, bits)
	}
	s := strconv.FormatFloat(x, 'f', -1, bits)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// strRepr quotes s, with double quotes only where that saves escaping. Bytes that are
// not UTF-8 show as Python's "surrogateescape" holds them, \udc80 to \udcff.
func strRepr(s string) string {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b := append(make([]byte, 0, len(s)+2), quote)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = fmt.Appendf(b, `\udc%02x`, s[i])
		case r == rune(quote) || r == '\\':
			b = append(b, '\\', byte(r))
		case unicode.IsPrint(r):
			b = utf8.AppendRune(b, r)
		default:
			b = appendEscape(b, r)
		}
		i += size
	}
	return string(append(b, quote))
}

// bytesRepr quotes p as Python does bytes: b'...'.
func bytesRepr(p []byte) string {
	quote := byte('\'')
	if slices.Contains(p, '\'') && !slices.Contains(p, '"') {
		quote = '"'
	}
	b := append(make([]byte, 0, len(p)+3), 'b', quote)
	for _, c := range p {
		switch {
		case c == quote || c == '\\':
			b = append(b, '\\', c)
		case ' ' <= c && c <= '~':
			b = append(b, c)
		default:
			b = appendEscape(b, rune(c))
		}
	}
	return string(append(b, quote))
}

// ascii escapes what is not ASCII in the result of repr.
func ascii(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r < utf8.RuneSelf {
			b = append(b, byte(r))
		} else {
			b = appendEscape(b, r)
		}
	}
	return string(b)
}

func appendEscape(b []byte, r rune) []byte {
	switch {
	case r == '\t':
		return append(b, `\t`...)
	case r == '\n':
		return append(b, `\n`...)
	case r == '\r':
		return append(b, `\r`...)
	case r < 0x100:
		return fmt.Appendf(b, `\x%02x`, r)
	case r < 0x10000:
		return fmt.Appendf(b, `\u%04x`, r)
	}
	return fmt.Appendf(b, `\U%08x`, r)
}

// indirect follows pointers and interfaces. A nil one gives the zero Value.
func indirect(v reflect.Value) reflect.Value {
	for range maxDepth {
		if v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface {
			break
		}
		v = v.Elem()
	}
	return v
}

func isBytes(v reflect.Value) bool {
	return v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8
}
