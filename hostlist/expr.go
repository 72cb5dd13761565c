package hostlist

import (
	"context"
	"io"
	"iter"
	"math"
	"slices"
)

// DefaultLimit is how many hosts an expression may stand for where [Parser.Limit] is
// zero.
const DefaultLimit = 1_000_000

// Parser reads host expressions. The zero Parser is ready to use. It is safe for
// concurrent use as long as its fields do not change.
type Parser struct {
	// Limit is how many hosts one expression, and each part of it, may stand for:
	// more is a [*LimitError]. Zero is [DefaultLimit], a negative number no limit.
	Limit int
	// Groups looks up groups, and the hosts that globs and regular expressions are
	// matched against. Where it is nil, they are an error.
	Groups Groups
	// Open opens the hosts files that an expression names by ^file. Where it is nil,
	// they are an error.
	Open func(name string) (io.ReadCloser, error)
}

// Parse reads expr with the zero [Parser].
func Parse(expr string) (*Expr, error) { return Parser{}.Parse(expr) }

// Parse reads expr, which is in the grammar that the package's documentation gives,
// as far as the text alone says which hosts are meant: it looks nothing up, and
// groups, globs, regular expressions and files are an error. The error is a
// [*SyntaxError] or a [*LimitError].
//
// Hosts with commas between them are not expanded yet: the time and the memory that
// Parse takes then depend on the length of expr only. Operators other than the comma
// and parentheses make a [Set] of what they stand for.
func (p Parser) Parse(expr string) (*Expr, error) {
	return Parser{Limit: p.Limit}.Resolve(context.Background(), expr)
}

// Resolve is [Parser.Parse] for the whole grammar: it looks groups and hosts up in
// Parser.Groups, and reads hosts files. The context is passed on to them. The error is
// a [*SyntaxError], which wraps the error of a lookup that failed, or a [*LimitError].
func (p Parser) Resolve(ctx context.Context, expr string) (*Expr, error) {
	s := scanner{src: expr}
	operands, err := s.expr()
	if err != nil {
		return nil, err
	}
	v := p.evaluation(ctx)
	e := &Expr{src: expr}
	if isList(operands) {
		e.operands = make([]pattern, len(operands))
		for i, o := range operands {
			e.operands[i] = o.pattern
		}
	} else if e.set, err = v.list(&s, operands, "", nil); err != nil {
		return nil, err
	}
	if err := v.check(expr, e.Len()); err != nil {
		return nil, err
	}
	return e, nil
}

// isList reports whether operands are hosts with commas between them.
func isList(operands []operand) bool {
	return !slices.ContainsFunc(operands, func(o operand) bool { return o.kind != hosts || o.op != ',' })
}

// Expr is an expression that has been read. It does not change and is safe for
// concurrent use. The zero Expr stands for no host.
type Expr struct {
	src      string
	operands []pattern
	set      *Set // what is not a list has been evaluated
}

// All returns the hosts in the order of the expression. Where it is a list with commas
// only, a host that appears twice comes twice, and they are made one at a time, so that
// the memory in use does not grow with their number; otherwise each comes once.
// Each is a word: [user@]host[:port], an IPv6 address with a port in brackets.
// The sequence can be ranged over any number of times.
func (e *Expr) All() iter.Seq[string] {
	if e.set != nil {
		return e.set.All()
	}
	return func(yield func(string) bool) {
		buf := make([]byte, 0, 256)
		for _, p := range e.operands {
			if !p.all(buf, func(word []byte) bool {
				return yield(string(word))
			}) {
				return
			}
		}
	}
}

// Len returns how many hosts All has, without making them; at most math.MaxInt, which
// only a negative [Parser.Limit] lets happen.
func (e *Expr) Len() int {
	if e.set != nil {
		return e.set.Len()
	}
	var n uint64
	for _, p := range e.operands {
		n = saturatingAdd(n, p.len())
	}
	return int(min(n, math.MaxInt))
}

// Contains reports whether All has name, without making the hosts.
func (e *Expr) Contains(name string) bool {
	if e.set != nil {
		return e.set.Contains(name)
	}
	return slices.ContainsFunc(e.operands, func(p pattern) bool { return p.contains(name) })
}

// String returns the expression as it was given to Parse.
func (e *Expr) String() string { return e.src }
