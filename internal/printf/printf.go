// Package printf formats as the % operator of Python's strings does, with one
// conversion more: %q writes a word quoted for a POSIX shell.
//
// The grammar is that of "printf-style String Formatting" in the documentation of
// Python's standard types:
//
//	%[(name)][flags][width][.precision][h|l|L]conversion
//
// Flags are any of "#0- +"; width and precision are numbers or *, which takes the
// next argument; the conversions are d i u o x X e E f F g G c s r a and q. A percent
// sign is %% and nothing longer.
//
// # Go values
//
// Numbers and booleans of every type, strings, slices, arrays and maps show as
// Python shows its own: a bool is True or False, nil is None, a float of 1 is 1.0, a
// slice is a list, and a map is a dict in the order of its keys. Three rules are
// Go's: an error or a [fmt.Stringer] shows as the text it gives of itself, a []byte
// is text wherever a string is (%r alone tells them apart), and anything else shows
// as [fmt.Sprint] has it.
package printf

import "strings"

// maxWidth bounds width and precision, which a * can take from anywhere.
const maxWidth = 1 << 20

// Format returns format with its specifiers replaced by args, in order, and by vars,
// for those that name a key, as in %(name)s. Both may be nil, and both may be used in
// one format. Arguments that no specifier takes are an error, except where the format
// uses names: then it need not use args as well. Keys of vars may stay unused.
//
// The error is always an [*Error]. Format is safe for concurrent use as long as the
// arguments do not change.
func Format(format string, args []any, vars map[string]any) (string, error) {
	f := formatter{format: format, args: args, vars: vars}
	for f.pos < len(format) {
		text, _, more := strings.Cut(format[f.pos:], "%")
		f.out.WriteString(text)
		f.pos += len(text)
		if !more {
			break
		}
		if err := f.specifier(); err != nil {
			return "", err
		}
	}
	if f.next < len(args) && !f.named {
		return "", &Error{Err: ErrTooMany, Pos: len(format)}
	}
	return f.out.String(), nil
}

// formatter is one call of Format.
type formatter struct {
	format string
	args   []any
	vars   map[string]any

	out   strings.Builder
	pos   int  // the next byte of format
	next  int  // the next argument
	named bool // a %(name) was seen
}

// specifier reads the specifier at f.pos and writes what it stands for.
func (f *formatter) specifier() error {
	start := f.pos
	s, err := f.parse()
	if err != nil {
		return err
	}
	if s.verb == '%' {
		f.out.WriteByte('%')
		return nil
	}
	fail := func(err error, detail string) error {
		return &Error{Err: err, Pos: start, Spec: f.format[start:f.pos], Key: s.key, Detail: detail}
	}
	var arg any
	if s.hasKey {
		v, ok := f.vars[s.key]
		switch {
		case f.vars == nil:
			return fail(ErrMissingKey, "there are no named values")
		case !ok:
			return fail(ErrMissingKey, "")
		}
		arg = v
	} else if arg, err = f.argument(start); err != nil {
		return err
	}
	text, err := s.convert(arg)
	if err != nil {
		return fail(ErrType, err.Error())
	}
	f.out.WriteString(text)
	return nil
}

// argument takes the next argument for the specifier that begins at start and has
// been read up to f.pos.
func (f *formatter) argument(start int) (any, error) {
	if f.next >= len(f.args) {
		return nil, &Error{Err: ErrTooFew, Pos: start, Spec: f.format[start:f.pos]}
	}
	f.next++
	return f.args[f.next-1], nil
}
