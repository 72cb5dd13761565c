package printf_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/shoal-ssh/shoal/internal/printf"
	"github.com/shoal-ssh/shoal/internal/shell"
)

// TestPython compares with what Python made of the same formats and arguments
// (testdata/cases.py wrote them down).
func TestPython(t *testing.T) {
	text, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases [][3]json.RawMessage
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		var format string
		decode(t, c[0], &format)
		args, vars := arguments(t, c[1])
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			got, err := printf.Format(format, args, vars)
			if c[2][0] == '"' {
				var want string
				decode(t, c[2], &want)
				if got != want || err != nil {
					t.Errorf("Format(%q, %s): got %q, %v, want %q", format, c[1], got, err, want)
				}
				return
			}
			var want [3]any
			decode(t, c[2], &want)
			checkError(t, format, err, want[1].(string), int(want[2].(float64)))
		})
	}
}

// checkError compares err with the kind of Python's error and the index of the
// character that Python says is wrong, if it says one.
func checkError(t *testing.T, format string, err error, kind string, index int) {
	t.Helper()
	want := map[string]error{
		"few":    printf.ErrTooFew,
		"many":   printf.ErrTooMany,
		"key":    printf.ErrMissingKey,
		"format": printf.ErrBadFormat,
		"type":   printf.ErrType,
	}[kind]
	e, ok := errors.AsType[*printf.Error](err)
	if !ok || !errors.Is(err, want) {
		t.Fatalf("Format(%q): got error %v, want %v", format, err, want)
	}
	if index >= 0 && utf8.RuneCountInString(format[:e.Pos]) != index {
		t.Errorf("Format(%q): got position %d, want index %d", format, e.Pos, index)
	}
}

func arguments(t *testing.T, raw json.RawMessage) (args []any, vars map[string]any) {
	if raw[0] == '{' {
		return nil, unpack(t, json.RawMessage(`["dict",`+string(raw)+`]`)).(map[string]any)
	}
	return unpack(t, json.RawMessage(`["list",`+string(raw)+`]`)).([]any), nil
}

// unpack turns a [type, value] pair of the case file into a Go value.
func unpack(t *testing.T, raw json.RawMessage) any {
	var pair [2]json.RawMessage
	decode(t, raw, &pair)
	kind := string(pair[0])
	switch kind {
	case `"list"`:
		var items []json.RawMessage
		decode(t, pair[1], &items)
		list := make([]any, len(items))
		for i, item := range items {
			list[i] = unpack(t, item)
		}
		return list
	case `"dict"`:
		var items map[string]json.RawMessage
		decode(t, pair[1], &items)
		dict := make(map[string]any)
		for k, item := range items {
			dict[k] = unpack(t, item)
		}
		return dict
	}
	var s string
	decode(t, pair[1], &s)
	return scalar(t, kind, s)
}

func scalar(t *testing.T, kind, s string) any {
	switch kind {
	case `"nil"`:
		return nil
	case `"bool"`:
		return s == "true"
	case `"str"`:
		return s
	case `"bytes"`:
		var b []byte
		for _, r := range s {
			b = append(b, byte(r))
		}
		return b
	case `"float"`:
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return x
	case `"int"`:
		n, ok := new(big.Int).SetString(s, 10)
		if !ok {
			t.Fatalf("not an integer: %q", s)
		}
		switch {
		case n.IsInt64():
			return n.Int64()
		case n.IsUint64():
			return n.Uint64()
		}
		return n
	}
	t.Fatalf("unknown type %s", kind)
	return nil
}

func decode(t *testing.T, raw json.RawMessage, to any) {
	t.Helper()
	if err := json.Unmarshal(raw, to); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
}

type name string

type point struct{ X, Y int }

func (p point) String() string { return fmt.Sprintf("%d/%d", p.X, p.Y) }

func TestGoValues(t *testing.T) {
	n := 7
	self := []any{nil}
	self[0] = self
	for _, tt := range []struct {
		format string
		arg    any
		want   string
	}{
		{"%s", []byte("text"), "text"},
		{"%c", []byte("x"), "x"},
		{"%s", name("x"), "x"},
		{"%r", name("x"), "'x'"},
		{"%s", point{1, 2}, "1/2"},
		{"%r", point{1, 2}, "'1/2'"},
		{"%s", []point{{1, 2}}, "['1/2']"},
		{"%s", fs.ErrNotExist, "file does not exist"},
		{"%s", 1500 * time.Millisecond, "1.5s"},
		{"%d", 1500 * time.Millisecond, "1500000000"},
		{"%s", &n, "7"},
		{"%03d", &n, "007"},
		{"%s", (*int)(nil), "None"},
		{"%s", (*point)(nil), "None"},
		{"%s", error(nil), "None"},
		{"%s", float32(0.1), "0.1"},
		{"%.1f", float32(0.25), "0.2"},
		{"%d", uint8(200), "200"},
		{"%x", true, "1"},
		{"%s", [2]bool{true, false}, "[True, False]"},
		{"%s", []string(nil), "[]"},
		{"%s", map[int]string{10: "b", 9: "a"}, "{9: 'a', 10: 'b'}"},
		{"%s", map[any]int{"b": 2, "a": 1}, "{'a': 1, 'b': 2}"},
		{"%s", struct{ A int }{1}, "{1}"},
		{"%r", "\xff", `'\udcff'`},
		{"%.3s", "a\xffbcd", "a\xffb"},
		{"%q", "plain", "plain"},
		{"%q", "it's", `'it'\''s'`},
		{"%q", []byte("$x"), `'$x'`},
		{"%q", 5, "5"},
		{"%q", nil, "None"},
		{"<%8q>", "a b", "<   'a b'>"},
		{"<%-8q>", "a b", "<'a b'   >"},
		{"%.2q", "$x;y", "'$x'"},
		{"%q", "", "''"},
	} {
		got, err := printf.Format(tt.format, []any{tt.arg}, nil)
		if got != tt.want || err != nil {
			t.Errorf("Format(%q, %#v): got %q, %v, want %q", tt.format, tt.arg, got, err, tt.want)
		}
	}
	if got, err := printf.Format("%s", []any{self}, nil); err != nil || !strings.Contains(got, "...") {
		t.Errorf("a list within itself: got %.20q, %v, want it cut off", got, err)
	}
}

func TestNamesAndArguments(t *testing.T) {
	args, vars := []any{"a", 2}, map[string]any{"k": "v", "unused": 1}
	for _, tt := range []struct {
		format string
		args   []any
		want   string
		err    error
	}{
		{"%s %(k)s %d", args, "a v 2", nil},
		{"%(k)s", args, "v", nil}, // arguments may be left where names are used
		{"%s", args, "", printf.ErrTooMany},
		{"none", args, "", printf.ErrTooMany},
		{"none", nil, "none", nil},
		{"%(k)s %s", nil, "", printf.ErrTooFew},
		{"%(K)s", args, "", printf.ErrMissingKey},
	} {
		got, err := printf.Format(tt.format, tt.args, vars)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("Format(%q): got %q, %v, want %q, %v", tt.format, got, err, tt.want, tt.err)
		}
	}
}

func TestErrorText(t *testing.T) {
	for _, tt := range []struct {
		format string
		args   []any
		vars   map[string]any
		want   string
	}{
		{"a %s", nil, nil, `format "%s" at byte 2: not enough arguments for format string`},
		{"a", []any{1}, nil, `not all arguments converted`},
		{"%(user)s", nil, map[string]any{}, `format "%(user)s" at byte 0: missing key "user"`},
		{"%(user)s", []any{1}, nil, `format "%(user)s" at byte 0: missing key "user": there are no named values`},
		{"du 5% y", []any{1}, nil, `format "% " at byte 6: bad format: unsupported format character "y"; write %% for a percent sign`},
		{"5%", nil, nil, `format "%" at byte 2: bad format: it ends within a specifier; write %% for a percent sign`},
		{"%05d", []any{"secret"}, nil, `format "%05d" at byte 0: wrong type of argument: a real number is required, not string`},
		{"%*d", []any{"secret", 1}, nil, `format "%*" at byte 0: wrong type of argument: * wants an integer as width, not string`},
		{"%*d", []any{1 << 40, 1}, nil, `format "%*" at byte 0: wrong type of argument: width is too large`},
		{"%q", []any{"x\x00"}, nil, `format "%q" at byte 0: wrong type of argument: byte 1: a NUL byte cannot be passed to a command`},
	} {
		_, err := printf.Format(tt.format, tt.args, tt.vars)
		if err == nil || err.Error() != tt.want {
			t.Errorf("Format(%q): got %v, want %s", tt.format, err, tt.want)
		}
	}
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		if got, err := printf.Format(strings.ReplaceAll(s, "%", "%%"), nil, nil); got != s || err != nil {
			t.Fatalf("escaped text: got %q, %v, want %q", got, err, s)
		}
		if got, err := printf.Format("%s|%(k)s", []any{s}, map[string]any{"k": s}); got != s+"|"+s || err != nil {
			t.Fatalf("%%s: got %q, %v, want %q twice", got, err, s)
		}
		if got, err := printf.Format("%q", []any{s}, nil); err == nil && got != shell.Quote(s) {
			t.Fatalf("%%q: got %q, want %q", got, shell.Quote(s))
		}
	})
}

func FuzzFormat(f *testing.F) {
	for _, s := range []string{"%s", "%d %5.2f", "%(a)s", "%-#+ 010.3lx", "%*.*g", "%q", "%%", "%", "%(a", "%ä", "%c%r%a"} {
		f.Add(s, "text", int64(5), 1.5)
	}
	f.Fuzz(func(t *testing.T, format, s string, n int64, x float64) {
		vars := map[string]any{"a": s, "b": n, "c": x, "": []any{s, n, x, nil}}
		got, err := printf.Format(format, []any{s, n, x, n, s}, vars)
		if err != nil {
			e, ok := errors.AsType[*printf.Error](err)
			if !ok || e.Pos < 0 || e.Pos > len(format) || got != "" {
				t.Errorf("Format(%q): got %q, %#v, want an *Error with a position in the format", format, got, err)
			}
			return
		}
		if !strings.Contains(format, "%") && got != format {
			t.Errorf("Format(%q): got %q, want no change", format, got)
		}
	})
}
