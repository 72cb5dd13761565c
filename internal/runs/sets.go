package runs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-ssh/shoal/hostlist"
	"github.com/shoal-ssh/shoal/internal/render"
)

// The sets of the hosts of a run. Every host is in exactly one of OK, Failed and
// Rest. Behind RC comes an exit status, as in "rc=3".
const (
	SetAll         = "all"
	SetOK          = "ok"
	SetFailed      = "failed"      // began and did not succeed, for whatever reason
	SetTimeout     = "timeout"     // of the failed, those that timed out
	SetUnreachable = "unreachable" // of the failed, those not reached or lost
	SetRest        = "rest"        // never begun, cancelled, or not over when the run was interrupted
	SetRC          = "rc="
)

// SetNames are the sets, but for those by exit status.
func SetNames() []string {
	return []string{SetAll, SetOK, SetFailed, SetTimeout, SetUnreachable, SetRest}
}

// SetError says that a word is no set of hosts of a run.
type SetError struct{ Word string }

func (e *SetError) Error() string {
	return fmt.Sprintf("%q is no set of the hosts of a run; there are %s and rc=N", e.Word, strings.Join(SetNames(), ", "))
}

// Hosts returns the hosts of the run in any of the sets, in the order of its set,
// each once. Of a run that was interrupted, or still goes on, those that have not
// ended are in Rest. The error is a [*SetError] where there is no such set.
func (r *Run) Hosts(sets ...string) ([]string, error) {
	for _, set := range sets {
		if _, ok := statusCode(set); !ok && !slices.Contains(SetNames(), set) {
			return nil, &SetError{set}
		}
	}
	exits := exitsOf{by: make(map[string]*render.Exit)}
	if err := r.replayExits(&exits); err != nil && !errors.Is(err, render.ErrNoEnd) {
		return nil, err
	}
	all, err := exits.hosts()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", r.ID, err)
	}
	return slices.DeleteFunc(all, func(host string) bool {
		x := exits.by[host]
		return !slices.ContainsFunc(sets, func(set string) bool { return within(set, x) })
	}), nil
}

// within reports whether a host that ended so is in a set; x is nil where it has
// not ended.
func within(set string, x *render.Exit) bool {
	if x == nil {
		return set == SetAll || set == SetRest
	}
	switch set {
	case SetAll:
		return true
	case SetOK:
		return x.Status == render.OK
	case SetRest:
		return x.Status == render.NotRun || x.Status == render.Cancelled
	case SetFailed:
		return !within(SetOK, x) && !within(SetRest, x)
	case SetTimeout:
		return x.Status == render.Timeout
	case SetUnreachable:
		var e render.End
		e.Count(x.Status)
		return e.Unreachable > 0
	}
	code, ok := statusCode(set)
	return ok && x.RC != nil && *x.RC == code
}

func statusCode(set string) (int, bool) {
	number, ok := strings.CutPrefix(set, SetRC)
	code, err := strconv.Atoi(number)
	return code, ok && err == nil
}

// exitsOf gathers how the hosts of a run ended.
type exitsOf struct {
	start render.Start
	by    map[string]*render.Exit
	order []string
}

func (e *exitsOf) Start(s render.Start) { e.start = s }
func (e *exitsOf) Lines([]render.Line)  {}
func (e *exitsOf) Exit(x render.Exit) {
	if e.by[x.Host] == nil {
		e.order = append(e.order, x.Host)
	}
	e.by[x.Host] = &x
}
func (e *exitsOf) End(render.End) error { return nil }

// hosts returns all hosts, also those that have not ended.
func (e *exitsOf) hosts() ([]string, error) {
	all, seen := []string(nil), make(map[string]bool)
	add := func(host string) {
		if !seen[host] {
			seen[host] = true
			all = append(all, host)
		}
	}
	if e.start.Set != "" {
		set, err := hostlist.Parser{Limit: min(max(e.start.Hosts, 1), hostlist.DefaultLimit)}.Parse(e.start.Set)
		if err == nil {
			for host := range set.All() {
				add(host)
			}
		}
	}
	for _, host := range e.order {
		add(host)
	}
	if e.start.Hosts > 0 && len(all) != e.start.Hosts {
		return nil, fmt.Errorf("of its %d hosts the names of %d are known", e.start.Hosts, len(all))
	}
	return all, nil
}

// Group returns the hosts of a set of a run: of "last.failed", or with another
// word of [Journal.Find] before the dot; for groups in host expressions, where the
// source is "run". Without a dot the set is all hosts.
func (j *Journal) Group(_ context.Context, _, name string) ([]string, error) {
	word, set, ok := strings.Cut(name, ".")
	if !ok {
		set = SetAll
	}
	r, err := j.Find(word)
	if err != nil {
		return nil, err
	}
	hosts, err := r.Hosts(set)
	if err != nil {
		return nil, err
	}
	for _, host := range hosts {
		if !plain(host) {
			return nil, fmt.Errorf("run %s: the host %q has no place in an expression; shoal rerun takes it", r.ID, host)
		}
	}
	return hosts, nil
}

// plain reports whether a name stands for itself in an expression.
func plain(host string) bool {
	e, err := hostlist.Parse(host)
	if err != nil || e.Len() != 1 {
		return false
	}
	for name := range e.All() {
		return name == host
	}
	return false
}

// All returns all hosts of the last run.
func (j *Journal) All(ctx context.Context, source string) ([]string, error) {
	return j.Group(ctx, source, "last")
}

// Names returns the sets of the last run, of those by exit status the ones that have
// hosts.
func (j *Journal) Names(context.Context, string) ([]string, error) {
	r, err := j.Find("last")
	if e, ok := errors.AsType[*NotFoundError](err); ok && e.None {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	exits := exitsOf{by: make(map[string]*render.Exit)}
	if err := r.replayExits(&exits); err != nil && !errors.Is(err, render.ErrNoEnd) {
		return nil, err
	}
	names := make(map[string]bool)
	for _, set := range SetNames() {
		names["last."+set] = true
	}
	for _, x := range exits.by {
		if x.RC != nil {
			names["last."+SetRC+strconv.Itoa(*x.RC)] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}
