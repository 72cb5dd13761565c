package hostlist

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SyntaxError is an expression that cannot be read, or one that names what is not
// there. An expression that is wrong within a group or a file is shown by itself: Msg
// says where it stands.
type SyntaxError struct {
	// Expr is the whole expression.
	Expr string
	// Pos and End are byte offsets in Expr: the part that is wrong lies between
	// them. They are equal where something is missing.
	Pos, End int
	// Msg says what is wrong, in lower case and without a full stop.
	Msg string
	// Hint says what to write instead; it may be empty.
	Hint string
	// Err is the error of a lookup in Groups or of a file; nil where the text itself
	// is wrong.
	Err error
}

// Unwrap returns e.Err.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Error returns one line with the message, the byte offset and the hint. The
// expression is quoted, and cut where it is long.
func (e *SyntaxError) Error() string {
	expr := e.Expr
	if len(expr) > shown {
		expr = expr[:shown] + "…"
	}
	s := fmt.Sprintf("host expression %q: byte %d: %s", expr, e.Pos, e.Msg)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// shown is how much of an expression an error shows, in bytes or columns.
const shown = 72

// Caret returns two lines, without a newline at the end: the expression, and under
// it carets that mark the part that is wrong. A long expression is cut around that
// part, and characters that could upset a terminal are replaced.
//
//	node[1-3,9-5]
//	         ^^^
func (e *SyntaxError) Caret() string {
	line := []rune(strings.Map(plain, strings.ToValidUTF8(e.Expr, "?")))
	pos := columns(e.Expr, e.Pos)
	end := max(columns(e.Expr, e.End), pos+1)
	var cut string
	if from := pos - shown/2; from > 0 && len(line) > shown {
		cut = "…"
		line, pos, end = line[from:], pos-from, end-from
	}
	indent := strings.Repeat(" ", utf8.RuneCountInString(cut)+pos)
	if len(line) > shown {
		line = append(line[:shown:shown], '…')
		end = max(min(end, shown), pos+1)
	}
	return cut + string(line) + "\n" + indent + strings.Repeat("^", end-pos)
}

// columns returns the column of the byte offset n, one for each character. Bytes
// that are not UTF-8 count as strings.ToValidUTF8 makes them: a run is one.
func columns(s string, n int) int {
	n = max(0, min(n, len(s)))
	return utf8.RuneCountInString(strings.ToValidUTF8(s[:n], "?"))
}

// plain replaces what is not a visible character of one column.
func plain(r rune) rune {
	switch {
	case r == ' ' || unicode.IsGraphic(r) && !unicode.In(r, unicode.M, unicode.Z):
		return r
	}
	return '?'
}

// LimitError is an expression that stands for more hosts than allowed, by mistake in
// most cases.
type LimitError struct {
	// Expr is the whole expression.
	Expr string
	// Count is how many hosts it stands for, at most math.MaxInt.
	Count int
	// Limit is how many were allowed.
	Limit int
}

// Error returns one line with both numbers.
func (e *LimitError) Error() string {
	expr := e.Expr
	if len(expr) > shown {
		expr = expr[:shown] + "…"
	}
	return fmt.Sprintf("host expression %q: it stands for %d hosts, more than the limit of %d", expr, e.Count, e.Limit)
}

// LineError is a line of a hosts file that cannot be read.
type LineError struct {
	// Line counts from 1.
	Line int
	// Err says what is wrong, often a [*SyntaxError].
	Err error
}

// Error returns the line's number and what is wrong with it.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns e.Err.
func (e *LineError) Unwrap() error { return e.Err }
