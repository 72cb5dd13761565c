package hostlist

import "context"

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
