package hostlist

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
)

// Step is an operand of an expression and what came of it.
type Step struct {
	// Op is the operator in front of the operand: one of , ! & ^. That of the first
	// operand is a comma, which adds it to nothing.
	Op byte
	// Text is the operand as it was written.
	Text string
	// Set is what the operand stands for.
	Set *Set
	// Steps are those of an operand in parentheses.
	Steps []Step
	// Result is what the expression stands for as far as this operand, from left to
	// right. That of the last step is what the whole stands for.
	Result *Set
}

// Explain evaluates expr as [Parser.Resolve] does and returns its steps, at least one.
func (p Parser) Explain(ctx context.Context, expr string) ([]Step, error) {
	s := scanner{src: expr}
	operands, err := s.expr()
	if err != nil {
		return nil, err
	}
	var steps []Step
	_, err = p.evaluation(ctx).list(&s, operands, "", &steps)
	return steps, err
}

// evaluation is one expression in work, with all that groups and files bring in.
type evaluation struct {
	p      Parser
	ctx    context.Context
	groups map[groupName]*Set // found so far
	within []groupName        // those whose members are in work
	nested int                // how deep in groups and files the expression in work is
}

func (p Parser) evaluation(ctx context.Context) *evaluation {
	return &evaluation{p: p, ctx: ctx, groups: make(map[groupName]*Set)}
}

// check returns an error where n hosts are too many.
func (v *evaluation) check(expr string, n int) error {
	limit := v.p.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	if limit > 0 && n > limit {
		return &LimitError{Expr: expr, Count: n, Limit: limit}
	}
	return nil
}

// text evaluates an expression that a lookup in source or a file gave.
func (v *evaluation) text(expr, source string) (*Set, error) {
	s := scanner{src: expr}
	operands, err := s.expr()
	if err != nil {
		return nil, err
	}
	v.nested++
	defer func() { v.nested-- }()
	return v.list(&s, operands, source, nil)
}

// list evaluates operands from left to right. It appends to steps unless that is nil.
func (v *evaluation) list(s *scanner, operands []operand, source string, steps *[]Step) (*Set, error) {
	result := new(Set)
	for i, o := range operands {
		var inner []Step
		set, err := v.operand(s, o, source, steps, &inner)
		if err != nil {
			return nil, err
		}
		switch {
		case o.op == ',' && i == 0:
			result = set
		case o.op == ',' && steps == nil && i > 1:
			result.addAll(set.All()) // our own since the second operand
		default:
			result = combine(result, o.op, set)
		}
		if err := v.check(s.src, result.Len()); err != nil {
			return nil, err
		}
		if steps != nil {
			*steps = append(*steps, Step{Op: o.op, Text: s.src[o.pos:o.end], Set: set, Steps: inner, Result: result})
		}
	}
	return result, nil
}

func combine(a *Set, op byte, b *Set) *Set {
	switch op {
	case '!':
		return a.Difference(b)
	case '&':
		return a.Intersection(b)
	case '^':
		return a.SymmetricDifference(b)
	}
	return a.Union(b)
}

// operand evaluates o. The steps of what stands in parentheses are put into inner,
// unless steps is nil.
func (v *evaluation) operand(s *scanner, o operand, source string, steps, inner *[]Step) (*Set, error) {
	if steps == nil {
		inner = nil
	}
	switch {
	case o.kind == parens:
		return v.list(s, o.inner, source, inner)
	case o.kind == hosts:
		return v.expand(s, o)
	case o.kind == file:
		return v.file(s, o)
	case v.p.Groups == nil && o.kind == group:
		return nil, s.errorf(o.pos, o.end, "", "groups are not known here")
	case v.p.Groups == nil:
		return nil, s.errorf(o.pos, o.end, "", "there is no list of all hosts to match here")
	case o.kind == group:
		return v.groupsOf(s, o, source)
	}
	known, err := v.group(s, o, groupName{source, all})
	if err != nil {
		return nil, err
	}
	match := func(name string) bool { return o.regexp.MatchString(name) }
	if o.kind == glob {
		if match, err = v.glob(s, o); err != nil {
			return nil, err
		}
	}
	return known.filter(func(name string) bool { return match(name) || match(bare(name)) }), v.ctx.Err()
}

// expand makes the hosts of o.
func (v *evaluation) expand(s *scanner, o operand) (*Set, error) {
	if err := v.check(s.src, int(min(o.pattern.len(), math.MaxInt))); err != nil {
		return nil, err
	}
	e := Expr{operands: []pattern{o.pattern}}
	set := makeSet(e.Len())
	set.addAll(e.All())
	return set, nil
}

// groupsOf returns the hosts of the group or the groups of which o is the name.
func (v *evaluation) groupsOf(s *scanner, o operand, source string) (*Set, error) {
	if o.source != "" {
		source = o.source
	}
	if len(o.pattern) == 1 && o.pattern[0].text == all {
		return v.group(s, o, groupName{source, all})
	}
	names, err := v.groupNames(s, o, source)
	if err != nil {
		return nil, err
	}
	set := new(Set)
	for _, name := range names {
		g, err := v.group(s, o, groupName{source, name})
		if err != nil {
			return nil, err
		}
		set.addAll(g.All())
		if err := v.check(s.src, set.Len()); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// groupNames returns the names of the groups that o means.
func (v *evaluation) groupNames(s *scanner, o operand, source string) ([]string, error) {
	if !o.wild {
		names, err := v.expand(s, o)
		if err != nil {
			return nil, err
		}
		return names.names, nil
	}
	match, err := v.glob(s, o)
	if err != nil {
		return nil, err
	}
	names, err := v.p.Groups.Names(v.ctx, source)
	if err != nil {
		return nil, &SyntaxError{Expr: s.src, Pos: o.pos, End: o.end, Msg: "the names of groups: " + err.Error(), Err: err}
	}
	found := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !match(name) })
	if len(found) == 0 {
		return nil, s.errorf(o.pos, o.end, "", "no group has such a name")
	}
	return found, nil
}

// glob returns what matches the globs that o stands for: * is any text, ? any
// character.
func (v *evaluation) glob(s *scanner, o operand) (func(string) bool, error) {
	globs, err := v.expand(s, o)
	if err != nil {
		return nil, err
	}
	return func(name string) bool {
		return slices.ContainsFunc(globs.names, func(glob string) bool {
			ok, err := path.Match(glob, name)
			return ok && err == nil
		})
	}, nil
}

// file returns the hosts of a file.
func (v *evaluation) file(s *scanner, o operand) (*Set, error) {
	switch {
	case v.nested > 0:
		return nil, s.errorf(o.pos, o.end, "", "only the expression that was given can name a file")
	case v.p.Open == nil:
		return nil, s.errorf(o.pos, o.end, "", "files are not read here")
	}
	r, err := v.p.Open(o.file)
	if err != nil {
		return nil, &SyntaxError{Expr: s.src, Pos: o.pos, End: o.end, Msg: err.Error(), Err: err}
	}
	defer r.Close()
	set := new(Set)
	for name, err := range readHosts(r, func(expr string) (iterable, error) { return v.text(expr, "") }) {
		if err != nil {
			return nil, fileError(s, o, err)
		}
		set.Add(name)
		if err := v.check(s.src, set.Len()); err != nil {
			return nil, err
		}
	}
	return set, v.ctx.Err()
}

// fileError says in which line of a file a mistake is.
func fileError(s *scanner, o operand, err error) error {
	where := o.file + ": "
	if e, ok := errors.AsType[*LineError](err); ok {
		where = fmt.Sprintf("%s:%d: ", o.file, e.Line)
		err = e.Err
	}
	if e, ok := errors.AsType[*SyntaxError](err); ok {
		return inside(where, e.Expr, err)
	}
	return &SyntaxError{Expr: s.src, Pos: o.pos, End: o.end, Msg: where + err.Error(), Err: err}
}

func quote(s string) string { return `"` + strings.ToValidUTF8(s, "?") + `"` }
