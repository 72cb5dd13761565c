package hostlist

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/shoal-ssh/shoal/internal/nearest"
)

// Groups looks up the names that the text of an expression does not say itself.
type Groups interface {
	// Group returns the members of a group, each an expression of its own. An empty
	// source is the default one.
	Group(ctx context.Context, source, name string) ([]string, error)
	// All returns every host of a source.
	All(ctx context.Context, source string) ([]string, error)
	// Names returns the names of a source's groups.
	Names(ctx context.Context, source string) ([]string, error)
}

// groupName is a group of a source.
type groupName struct{ source, name string }

func (g groupName) String() string {
	if g.source == "" {
		return "@" + g.name
	}
	return "@" + g.source + ":" + g.name
}

// all is the name that stands for every host of a source.
const all = "*"

// group returns the hosts of a group, or all of a source; each is looked up once in an
// evaluation. A group that a member names without a source is one of the same source,
// as in ClusterShell.
func (v *evaluation) group(s *scanner, o operand, g groupName) (*Set, error) {
	if set, ok := v.groups[g]; ok {
		return set, nil
	}
	if i := slices.Index(v.within, g); i >= 0 {
		var cycle strings.Builder
		for _, link := range v.within[i:] {
			cycle.WriteString(link.String() + " → ")
		}
		return nil, s.errorf(o.pos, o.end, "take one of them out of the other", "groups go in a circle: %s%s", cycle.String(), g)
	}
	members, err := v.lookUp(g)
	if err != nil {
		return nil, v.unknown(s, o, g, err)
	}
	v.within = append(v.within, g)
	set, err := v.members("in group "+g.String()+": ", members, g.source)
	v.within = v.within[:len(v.within)-1]
	if err == nil {
		v.groups[g] = set
	}
	return set, err
}

func (v *evaluation) lookUp(g groupName) ([]string, error) {
	if g.name == all {
		return v.p.Groups.All(v.ctx, g.source)
	}
	return v.p.Groups.Group(v.ctx, g.source, g.name)
}

// members evaluates expressions that a lookup gave.
func (v *evaluation) members(where string, exprs []string, source string) (*Set, error) {
	set := new(Set)
	for _, expr := range exprs {
		if strings.Trim(expr, blanks) == "" {
			continue
		}
		part, err := v.text(expr, source)
		if err != nil {
			return nil, inside(where, expr, err)
		}
		set.addAll(part.All())
		if err := v.check(expr, set.Len()); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// unknown puts into words that a group was not found, with the name that was probably
// meant.
func (v *evaluation) unknown(s *scanner, o operand, g groupName, err error) error {
	msg := err.Error()
	if !strings.Contains(msg, g.name) {
		msg = g.String() + ": " + msg
	}
	names, listErr := v.p.Groups.Names(v.ctx, g.source)
	if listErr == nil && g.name != all && len(names) > 0 && !slices.Contains(names, g.name) && v.ctx.Err() == nil {
		msg = "unknown group " + quote(g.name)
		if g.source != "" {
			msg += " in source " + quote(g.source)
		}
		if near, ok := nearest.Word(g.name, names); ok {
			msg += " (did you mean " + quote(near) + "?)"
		}
	}
	return &SyntaxError{Expr: s.src, Pos: o.pos, End: o.end, Msg: msg, Err: err}
}

// inside says where expr stood, if that is what has a mistake.
func inside(where, expr string, err error) error {
	if e, ok := errors.AsType[*SyntaxError](err); ok && e.Expr == expr {
		outer := *e
		outer.Msg = where + e.Msg
		return &outer
	}
	return err
}
