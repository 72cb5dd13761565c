package hostlist

import (
	"iter"
	"math"
)

// DefaultLimit is how many hosts an expression may stand for where [Parser.Limit] is
// zero.
const DefaultLimit = 1_000_000

// Parser reads host expressions. The zero Parser is ready to use. It is safe for
// concurrent use as long as its fields do not change.
type Parser struct {
	// Limit is how many hosts one expression may stand for: more is a [*LimitError].
	// Zero is [DefaultLimit], a negative number no limit.
	Limit int
}

// Parse reads expr with the zero [Parser].
func Parse(expr string) (*Expr, error) { return Parser{}.Parse(expr) }

// Parse reads expr, which is in the grammar that the package's documentation gives.
// The error is a [*SyntaxError] or a [*LimitError]. Nothing is expanded yet: the time
// and the memory that Parse takes depend on the length of expr only.
func (p Parser) Parse(expr string) (*Expr, error) {
	s := scanner{src: expr}
	operands, err := s.expr()
	if err != nil {
		return nil, err
	}
	e := &Expr{src: expr, operands: operands}
	limit := p.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	if n := e.Len(); limit > 0 && n > limit {
		return nil, &LimitError{Expr: expr, Count: n, Limit: limit}
	}
	return e, nil
}

// Expr is an expression that has been read. It does not change and is safe for
// concurrent use. The zero Expr stands for no host.
type Expr struct {
	src      string
	operands []pattern
}

// All returns the hosts in the order of the expression, one that appears twice twice.
// Each is a word: [user@]host[:port], an IPv6 address with a port in brackets. They
// are made one at a time, so that the memory in use does not grow with their number.
// The sequence can be ranged over any number of times.
func (e *Expr) All() iter.Seq[string] {
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
	var n uint64
	for _, p := range e.operands {
		n = saturatingAdd(n, p.len())
	}
	return int(min(n, math.MaxInt))
}

// String returns the expression as it was given to Parse.
func (e *Expr) String() string { return e.src }
