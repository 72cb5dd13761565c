package printf

import (
	"errors"
	"fmt"
)

// What can be wrong with a format and its arguments. An [*Error] wraps one of them.
var (
	// ErrTooFew: a specifier has no argument left.
	ErrTooFew = errors.New("not enough arguments for format string")
	// ErrTooMany: an argument has no specifier.
	ErrTooMany = errors.New("not all arguments converted")
	// ErrMissingKey: the mapping lacks the name of a %(name) specifier, or there is
	// no mapping.
	ErrMissingKey = errors.New("missing key")
	// ErrBadFormat: the format itself is not well formed.
	ErrBadFormat = errors.New("bad format")
	// ErrType: an argument is of a type, or has a value, that its specifier cannot
	// show.
	ErrType = errors.New("wrong type of argument")
)

// Error is a format and arguments that do not fit. It never holds the text of an
// argument, which may be a secret.
type Error struct {
	// Err is one of the errors of this package.
	Err error
	// Pos is the byte offset in the format: of the character that is wrong for
	// [ErrBadFormat], of the specifier's % for the others, the format's length for
	// [ErrTooMany].
	Pos int
	// Spec is the specifier, as in "%05d"; up to the wrong character for
	// [ErrBadFormat], empty for [ErrTooMany].
	Spec string
	// Key is the name in %(name)s; empty where there is none.
	Key string
	// Detail says more; it may be empty.
	Detail string
}

// Error returns one line such as
//
//	format "%d" at byte 5: wrong type of argument: an integer is required, not string
func (e *Error) Error() string {
	s := e.Err.Error()
	if e.Spec != "" {
		s = fmt.Sprintf("format %q at byte %d: %s", e.Spec, e.Pos, s)
	}
	if e.Err == ErrMissingKey {
		s += fmt.Sprintf(" %q", e.Key)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }
